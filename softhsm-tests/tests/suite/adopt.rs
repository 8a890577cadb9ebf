//! AdoptKey: keys that others made in the token, with `pkcs11-tool`, taken over by the
//! gateway and used with it; and what is not taken over.

mod refused;

use std::{fs, process::Command, time::Duration};

use skms::{client::Client, proto};
use skms_backend::SignatureAlgorithm;
use skms_tests::{conformance::openssl, gateway::Home, softhsm::SoftHsm};

use crate::ask::{PROGRAM, full, metadata, outcome, rotate, sign};

/// A key that is named so, to become one of this id.
fn adopt(uri: &str, id: &str) -> proto::AdoptKeyRequest {
    proto::AdoptKeyRequest { pkcs11_uri: uri.into(), key_id: id.into(), ..Default::default() }
}

async fn adopted(client: &Client, uri: &str, id: &str) -> (proto::KeyResponse, proto::Custody) {
    let answer = client.adopt_key(adopt(uri, id)).await.unwrap();
    (answer.key.unwrap(), answer.custody.unwrap())
}

/// A home with a token, unless the tests leave it out.
fn home() -> Option<Home> {
    let home = Home::new(PROGRAM);
    home.softhsm().is_some().then_some(home)
}

fn token(home: &Home) -> &SoftHsm {
    home.softhsm().unwrap()
}

/// What a gateway says of a key, apart from when.
fn purpose(key: &proto::KeyResponse) -> proto::KeyPurpose {
    metadata(key).params.as_ref().unwrap().purpose()
}

fn encrypt(id: &str) -> proto::EncryptRequest {
    proto::EncryptRequest { key_id: id.into(), plaintext: "text".into(), ..Default::default() }
}

fn mac(id: &str) -> proto::GenerateMacRequest {
    proto::GenerateMacRequest { key_id: id.into(), message: "text".into(), ..Default::default() }
}

#[tokio::test]
async fn key_pairs_of_others_sign_and_survive_a_restart() {
    let Some(home) = home() else { return };
    token(&home).make("rsa:2048", "01", "rsa", &["--usage-sign", "--sensitive"]);
    token(&home).make("EC:prime256v1", "02", "ec", &["--usage-sign", "--extractable"]);
    let objects = token(&home).list();
    let gateway = home.start();
    let client = gateway.client().await;
    let uri = format!("pkcs11:token={};id=%01;type=private", token(&home).label());
    let (rsa, kept) = adopted(&client, &uri, "rsa").await;
    assert_eq!((kept.sensitive, kept.extractable, kept.local), (Some(true), Some(false), Some(true)));
    assert_eq!((kept.always_sensitive, kept.never_extractable), (Some(true), Some(true)));
    let (ec, kept) = adopted(&client, "pkcs11:object=ec", "ec").await;
    assert_eq!(
        (kept.sensitive, kept.extractable, kept.never_extractable),
        (Some(true), Some(true), Some(false))
    );
    assert_eq!(metadata(&ec).key_type, "ec-p256");
    assert_eq!(token(&home).list(), objects, "nothing in the token changes");

    let shown = client.get_key(full("rsa")).await.unwrap();
    let version = &metadata(&shown).versions[0];
    assert_eq!((version.origin(), version.backend.as_str()), (proto::KeyOrigin::Discovered, "hsm"));
    assert_eq!(version.protection_level(), proto::ProtectionLevel::Hsm);

    let signs = async |client: &Client| {
        for (key, algorithm) in
            [(&rsa, SignatureAlgorithm::RsaPssSha256), (&ec, SignatureAlgorithm::EcdsaP256Sha256)]
        {
            let signed = client.sign(sign(&key.id, "a message")).await.unwrap();
            assert!(
                openssl::agrees(&key.public_key, algorithm, b"a message", &signed.signature),
                "{}",
                key.id
            );
        }
    };
    signs(&client).await;
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    signs(&gateway.client().await).await;
}

#[tokio::test]
async fn what_openssl_encrypted_for_a_key_of_others_is_decrypted() {
    let Some(home) = home() else { return };
    token(&home).make("rsa:2048", "01", "rsa", &["--usage-decrypt"]);
    let gateway = home.start();
    let client = gateway.client().await;
    let params = proto::KeyParams { purpose: proto::KeyPurpose::EncryptDecrypt.into(), ..Default::default() };
    let request = proto::AdoptKeyRequest { params: Some(params), ..adopt("pkcs11:id=%01", "rsa") };
    let key = client.adopt_key(request).await.unwrap().key.unwrap();
    assert_eq!(purpose(&key), proto::KeyPurpose::EncryptDecrypt);

    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("key.pem"), &key.public_key).unwrap();
    fs::write(path("text"), "from outside").unwrap();
    let done = Command::new("openssl")
        .args(["pkeyutl", "-encrypt", "-pubin", "-pkeyopt", "rsa_padding_mode:oaep"])
        .args(["-pkeyopt", "rsa_oaep_md:sha1", "-inkey"])
        .arg(path("key.pem"))
        .arg("-in")
        .arg(path("text"))
        .arg("-out")
        .arg(path("ciphertext"))
        .status();
    assert!(done.unwrap().success());
    let ciphertext = fs::read(path("ciphertext")).unwrap();
    let request =
        proto::DecryptRequest { key_id: "rsa".into(), ciphertext: ciphertext.into(), ..Default::default() };
    assert_eq!(client.decrypt(request).await.unwrap().plaintext, "from outside");
}

#[tokio::test]
async fn a_code_of_a_key_of_others_is_the_code_that_others_make() {
    let Some(home) = home() else { return };
    token(&home).make("GENERIC:32", "04", "hmac", &["--usage-sign", "--extractable"]);
    let gateway = home.start();
    let client = gateway.client().await;
    let (key, kept) = adopted(&client, "pkcs11:object=hmac;type=secret-key", "hmac").await;
    assert_eq!((metadata(&key).key_type.as_str(), kept.sensitive), ("hmac-sha256", Some(false)));
    assert_eq!((kept.extractable, key.public_key.as_str()), (Some(true), ""));
    let made = client.generate_mac(mac("hmac")).await.unwrap().mac;

    let path = |name: &str| home.path().join(name).display().to_string();
    fs::write(path("text"), "text").unwrap();
    token(&home).tool(&[
        "--sign",
        "-m",
        "SHA256-HMAC",
        "--id",
        "04",
        "-i",
        &path("text"),
        "-o",
        &path("code"),
    ]);
    assert_eq!(made, fs::read(path("code")).unwrap());
}

#[tokio::test]
async fn an_aes_key_of_others_encrypts_only_after_a_rotation() {
    let Some(home) = home() else { return };
    token(&home).make("AES:32", "03", "aes", &["--usage-decrypt", "--sensitive"]);
    let gateway = home.start();
    let client = gateway.client().await;
    let (key, _) = adopted(&client, "pkcs11:object=aes", "aes").await;
    assert_eq!(
        (metadata(&key).key_type.as_str(), purpose(&key)),
        ("aes-256", proto::KeyPurpose::EncryptDecrypt)
    );
    let refused = client.encrypt(encrypt("aes")).await;
    assert_eq!(outcome(&refused), "FailedPrecondition KEY_DECRYPTS_ONLY");
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("rotate the key"), "{text}");

    let rotated = client.rotate_key(rotate("aes")).await.unwrap();
    assert_eq!(metadata(&rotated).primary_version, 2);
    client.encrypt(encrypt("aes")).await.unwrap();
    let shown = client.get_key(full("aes")).await.unwrap();
    let origins: Vec<_> = metadata(&shown).versions.iter().map(|version| version.origin()).collect();
    assert_eq!(origins, [proto::KeyOrigin::Discovered, proto::KeyOrigin::Generated]);
}

#[tokio::test]
async fn a_public_half_is_taken_from_where_the_token_shows_it() {
    let Some(home) = home() else { return };
    token(&home).make("rsa:2048", "01", "rsa", &[]);
    token(&home).make("EC:prime256v1", "02", "ec", &[]);
    token(&home).remove("pubkey", "01");
    let gateway = home.start();
    let client = gateway.client().await;
    let (ec, _) = adopted(&client, "pkcs11:id=%02", "ec").await;
    token(&home).remove("pubkey", "02");
    client.sign(sign("ec", "text")).await.unwrap();
    let rsa = adopted(&client, "pkcs11:id=%01", "rsa").await.0;
    client.sign(sign("rsa", "text")).await.unwrap();
    assert!(rsa.public_key.starts_with("-----BEGIN PUBLIC KEY-----"));

    token(&home).make("EC:prime256v1", "05", "other", &[]);
    let public = home.path().join("public.der").display().to_string();
    token(&home).tool(&["--read-object", "--type", "pubkey", "--id", "05", "-o", &public]);
    token(&home).remove("pubkey", "05");
    let missing = client.adopt_key(adopt("pkcs11:id=%05", "other")).await.unwrap_err().to_string();
    assert!(missing.contains("its public half is missing"), "{missing}");
    token(&home).write_certificate(&certificate(&home, &public), "05");
    let other = adopted(&client, "pkcs11:id=%05", "other").await.0;
    assert_ne!(other.public_key, ec.public_key);
    client.sign(sign("other", "text")).await.unwrap();
}

/// A certificate for a public key (SubjectPublicKeyInfo), of some authority.
fn certificate(home: &Home, public: &str) -> Vec<u8> {
    let path = |name: &str| home.path().join(name).display().to_string();
    let (authority, certificate) = (path("authority.key"), path("certificate.der"));
    for arguments in [
        vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &authority],
        vec![
            "x509",
            "-new",
            "-subj",
            "/CN=token",
            "-force_pubkey",
            public,
            "-key",
            &authority,
            "-outform",
            "DER",
            "-out",
            &certificate,
        ],
    ] {
        assert!(Command::new("openssl").args(arguments).status().unwrap().success());
    }
    fs::read(certificate).unwrap()
}

#[tokio::test]
async fn a_destroyed_key_is_forgotten_and_stays_in_the_token() {
    let Some(home) = home() else { return };
    let home = home.configured("[limits]\nmin_destroy_scheduled_duration = \"1s\"\n");
    token(&home).make("EC:prime256v1", "02", "ec", &[]);
    let objects = token(&home).list();
    let gateway = home.start();
    let client = gateway.client().await;
    client.adopt_key(for_a_while(adopt("pkcs11:id=%02", "ec"))).await.unwrap();
    client.sign(sign("ec", "text")).await.unwrap();
    destroyed(&client, "ec").await;
    assert_eq!(token(&home).list(), objects);
    assert_eq!(what_became(&home), [("ec".to_owned(), "left".to_owned())]);
    assert!(token(&home).tool(&["--list-objects", "--type", "privkey"]).contains("ec"));
    // It is nobody's again.
    adopted(&client, "pkcs11:id=%02", "again").await;
    client.sign(sign("again", "text")).await.unwrap();
}

/// Has the gateway destroy a key, as soon as it may.
async fn destroyed(client: &Client, id: &str) {
    let request = proto::ScheduleKeyDestructionRequest { key_id: id.into(), ..Default::default() };
    client.schedule_key_destruction(request).await.unwrap();
    crate::lifecycle::until(client, id, |key| key.versions[0].state() == proto::KeyState::Destroyed).await;
}

/// The same as an adoption that can be destroyed in a second.
fn for_a_while(request: proto::AdoptKeyRequest) -> proto::AdoptKeyRequest {
    let params = proto::KeyParams {
        destroy_scheduled_duration: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    proto::AdoptKeyRequest { params: Some(params), ..request }
}

fn what_became(home: &Home) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let records = home.audit();
    let told = records.iter().filter(|record| record["adopted"].is_string());
    told.map(|record| (text(&record["key"]), text(&record["adopted"]))).collect()
}

#[tokio::test]
async fn a_destroyed_key_goes_from_the_token_where_the_configuration_says_so() {
    let Some(home) = home() else { return };
    let home = home.configured("[limits]\nmin_destroy_scheduled_duration = \"1s\"\n");
    token(&home).make("EC:prime256v1", "05", "stays", &["--usage-sign"]);
    let stays = token(&home).list();
    token(&home).make("EC:prime256v1", "02", "ec", &["--usage-sign"]);
    token(&home).make("rsa:2048", "03", "rsa", &["--usage-decrypt"]);
    token(&home).make("GENERIC:32", "04", "hmac", &["--usage-sign"]);
    let gateway = home.start_with([("SKMS__BACKENDS__PKCS11__HSM__DESTROY_ADOPTED", "true".into())]);
    let client = gateway.client().await;
    for (uri, id) in [("pkcs11:id=%02", "ec"), ("pkcs11:id=%04", "hmac")] {
        client.adopt_key(for_a_while(adopt(uri, id))).await.unwrap();
    }
    let mut request = for_a_while(adopt("pkcs11:id=%03", "rsa"));
    request.params.as_mut().unwrap().purpose = proto::KeyPurpose::EncryptDecrypt.into();
    client.adopt_key(request).await.unwrap();
    for id in ["ec", "rsa", "hmac"] {
        destroyed(&client, id).await;
    }
    assert_eq!(token(&home).list(), stays);
    let expected = ["ec", "rsa", "hmac"].map(|id| (id.to_owned(), "removed".to_owned()));
    assert_eq!(what_became(&home), expected);
}

#[tokio::test]
async fn another_key_in_the_place_of_a_destroyed_one_is_not_removed() {
    let Some(home) = home() else { return };
    let home = home.configured("[limits]\nmin_destroy_scheduled_duration = \"1s\"\n");
    token(&home).make("EC:prime256v1", "02", "ec", &["--usage-sign"]);
    let gateway = home.start_with([("SKMS__BACKENDS__PKCS11__HSM__DESTROY_ADOPTED", "true".into())]);
    let client = gateway.client().await;
    client.adopt_key(for_a_while(adopt("pkcs11:id=%02", "ec"))).await.unwrap();
    for class in ["privkey", "pubkey"] {
        token(&home).remove(class, "02");
    }
    token(&home).make("EC:prime256v1", "02", "ec", &["--usage-sign"]);
    let objects = token(&home).list();
    let request = proto::ScheduleKeyDestructionRequest { key_id: "ec".into(), ..Default::default() };
    client.schedule_key_destruction(request).await.unwrap();
    let refused = async {
        let refused = |record: &serde_json::Value| {
            record["action"] == "destroy-key" && record["result"] == "KEY_MATERIAL_MISSING"
        };
        while !home.audit().iter().any(refused) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert_eq!(token(&home).list(), objects);
    let shown = client.get_key(full("ec")).await.unwrap();
    assert_eq!(metadata(&shown).versions[0].state(), proto::KeyState::DestroyScheduled);
    // With the strange key out of the way there is nothing left to remove.
    for class in ["privkey", "pubkey"] {
        token(&home).remove(class, "02");
    }
    crate::lifecycle::until(&client, "ec", |key| key.versions[0].state() == proto::KeyState::Destroyed).await;
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_answer() {
    let Some(home) = home() else { return };
    token(&home).make("EC:prime256v1", "02", "ec", &[]);
    let gateway = home.start();
    let client = gateway.client().await;
    let tried = proto::AdoptKeyRequest { validate_only: true, ..adopt("pkcs11:id=%02", "ec") };
    let tried = client.adopt_key(tried).await.unwrap();
    assert!(tried.custody.is_some());
    assert_eq!(outcome(&client.sign(sign("ec", "text")).await), "NotFound KEY_NOT_FOUND");
    let request =
        proto::AdoptKeyRequest { request_id: crate::ask::request_id(), ..adopt("pkcs11:id=%02", "ec") };
    let first = client.adopt_key(request.clone()).await.unwrap();
    let again = client.adopt_key(request.clone()).await.unwrap();
    assert_eq!((again.key, again.custody), (first.key, None));
    let other = proto::AdoptKeyRequest { pkcs11_uri: "pkcs11:object=ec".into(), ..request };
    assert_eq!(outcome(&client.adopt_key(other).await), "InvalidArgument REQUEST_ID_REUSED");
}
