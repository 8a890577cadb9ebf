//! Keys that were made elsewhere: both ways in, and what keeps others out.

mod job;
mod material;
mod refused;

use skms::{
    client::Client,
    proto::{self, ImportMethod, KeyOrigin, KeyPurpose},
};
use skms_backend::SignatureAlgorithm;
use skms_tests::{
    conformance::openssl::agrees,
    gateway::{Gateway, Home},
};

use self::material::{OpenSsl, job, plain, version, wrapped};
use crate::ask::{PROGRAM, create, metadata, outcome, request_id, rotate, sign};

const PAIRS: [&str; 9] = [
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
    "ec-p256",
    "ec-p384",
    "ec-p521",
    "ec-secp256k1",
    "ed25519",
    "x25519",
];
const SECRETS: [&str; 5] = ["aes-128", "aes-256", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

#[tokio::test(flavor = "multi_thread")]
async fn what_openssl_made_is_imported_both_ways_and_then_used() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let job = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256Aes256, "job")).await.unwrap();
    let mut used = 0;
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap().key_types;
        let imports =
            |key_type: &str| offered.iter().any(|offered| offered.key_type == key_type && offered.import);
        for key_type in PAIRS.into_iter().chain(SECRETS).filter(|key_type| imports(key_type)) {
            let material = openssl.make(key_type);
            for clear in [true, false] {
                let id = format!("{backend}.{key_type}.{clear}");
                let mut request = plain(key_type, &id, &material);
                if !clear {
                    request = wrapped(key_type, &id, "job", &openssl.wrap(&job, &material));
                }
                request.params.as_mut().unwrap().backend = backend.into();
                let key = client.import_key(request).await.unwrap_or_else(|error| panic!("{id}: {error:?}"));
                assert_eq!(metadata(&key).params.as_ref().unwrap().backend, backend);
                use_it(&client, &openssl, &key, key_type, &material).await;
                used += 1;
            }
        }
    }
    assert!(used >= 28, "{used} keys");
}

/// Holds what the key does against what openssl does with the same material.
async fn use_it(
    client: &Client,
    openssl: &OpenSsl,
    key: &proto::KeyResponse,
    key_type: &str,
    material: &[u8],
) {
    let id = key.id.as_str();
    let shown = client.get_key(crate::ask::full(id)).await.unwrap();
    assert_eq!(metadata(&shown).versions[0].origin(), KeyOrigin::Imported, "{id}");
    if PAIRS.contains(&key_type) {
        assert_eq!(key.public_key, openssl.public(key_type), "{id}");
    }
    match key_type {
        "x25519" => {
            openssl.run("genpkey -algorithm X25519 -out peer.pem", &[]);
            let peer = openssl.run("pkey -pubout -outform DER -in peer.pem", &[]);
            openssl.file("own.pub", key.public_key.as_bytes());
            let there = openssl.run("pkeyutl -derive -inkey peer.pem -peerkey own.pub", &[]);
            let request = proto::DeriveSharedSecretRequest {
                key_id: id.into(),
                peer_public_key: peer.into(),
                raw: true,
                ..Default::default()
            };
            assert_eq!(client.derive_shared_secret(request).await.unwrap().secret, there, "{id}");
        }
        pair if PAIRS.contains(&pair) => {
            let signed = client.sign(sign(id, "text")).await.unwrap();
            let algorithm = SignatureAlgorithm::of(pair.parse().unwrap()).find(|algorithm| {
                let name =
                    format!("SIGNATURE_ALGORITHM_{}", algorithm.name().replace('-', "_").to_uppercase());
                signed.algorithm().as_str_name() == name
            });
            let algorithm = algorithm.unwrap_or_else(|| panic!("{:?}", signed.algorithm()));
            assert!(agrees(&openssl.public(pair), algorithm, b"text", &signed.signature), "{id}");
        }
        "aes-128" | "aes-256" => {
            let request =
                proto::EncryptRequest { key_id: id.into(), plaintext: "text".into(), ..Default::default() };
            let encrypted = client.encrypt(request).await;
            if id.starts_with("hsm") {
                // Others may be counting the same nonces.
                assert_eq!(outcome(&encrypted), "FailedPrecondition KEY_DECRYPTS_ONLY", "{id}");
                return;
            }
            let ciphertext = encrypted.unwrap().ciphertext;
            let request = proto::DecryptRequest { key_id: id.into(), ciphertext, ..Default::default() };
            assert_eq!(client.decrypt(request).await.unwrap().plaintext, "text", "{id}");
        }
        hmac => {
            openssl.file("text", b"text");
            let key = format!("hexkey:{}", hex::encode(material));
            let digest = hmac.replace("hmac-", "");
            let line = format!("mac -digest {digest} -in text -binary -macopt");
            let expected = openssl.run(&line, &[&key, "HMAC"]);
            let request =
                proto::GenerateMacRequest { key_id: id.into(), message: "text".into(), ..Default::default() };
            assert_eq!(client.generate_mac(request).await.unwrap().mac, expected, "{id}");
        }
    }
}

#[tokio::test]
async fn every_method_unwraps_and_an_imported_rsa_key_decrypts_what_openssl_encrypted() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    for (method, key_type) in [
        (ImportMethod::RsaOaep3072Sha256, "aes-256"),
        (ImportMethod::RsaOaep4096Sha256, "ec-p256"),
        (ImportMethod::RsaOaep4096Sha256Aes256, "rsa-2048"),
    ] {
        let id = format!("of-{key_type}");
        let job = client.create_import_job(job(method, &id)).await.unwrap();
        assert_eq!((job.method(), job.state()), (method, proto::ImportJobState::Active));
        let material = openssl.make(key_type);
        let mut request = wrapped(key_type, key_type, &id, &openssl.wrap(&job, &material));
        if key_type == "rsa-2048" {
            request.params.as_mut().unwrap().purpose = KeyPurpose::EncryptDecrypt.into();
        }
        client.import_key(request).await.unwrap();
    }
    let ciphertext = openssl.oaep(&openssl.public("rsa-2048"), b"secret").into();
    let request = proto::DecryptRequest { key_id: "rsa-2048".into(), ciphertext, ..Default::default() };
    assert_eq!(client.decrypt(request).await.unwrap().plaintext, "secret");
}

#[tokio::test]
async fn a_new_version_is_imported_by_the_rules_of_rotation() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let mut request = plain("ec-p256", "key", &openssl.make("ec-p256"));
    request.params.as_mut().unwrap().import_only = true;
    let key = client.import_key(request).await.unwrap();
    assert!(metadata(&key).params.as_ref().unwrap().import_only);
    assert_eq!(outcome(&client.rotate_key(rotate("key")).await), "FailedPrecondition ROTATION_NOT_SUPPORTED");

    let wrong = proto::ImportKeyRequest { etag: "x".into(), ..version("key", &openssl.make("ec-p256")) };
    assert_eq!(outcome(&client.import_key(wrong).await), "Aborted ETAG_MISMATCH");
    let wrong =
        proto::ImportKeyRequest { expected_primary_version: 7, ..version("key", &openssl.make("ec-p256")) };
    assert_eq!(outcome(&client.import_key(wrong).await), "Aborted PRIMARY_VERSION_CHANGED");
    let wrong = proto::ImportKeyRequest { key_type: "ed25519".into(), ..version("key", b"x") };
    assert_eq!(outcome(&client.import_key(wrong).await), "InvalidArgument FIELD_INVALID");
    let wrong = version("key", &openssl.make("ed25519"));
    assert_eq!(outcome(&client.import_key(wrong).await), "InvalidArgument IMPORT_MATERIAL_INVALID");
    assert_eq!(outcome(&client.import_key(version("none", b"x")).await), "NotFound KEY_NOT_FOUND");

    let etag = metadata(&client.get_key(crate::ask::full("key")).await.unwrap()).etag.clone();
    let next = proto::ImportKeyRequest { etag, ..version("key", &openssl.make("ec-p256")) };
    let key = client.import_key(next).await.unwrap();
    assert_eq!((metadata(&key).primary_version, key.public_key), (2, openssl.public("ec-p256")));
    let staged = proto::ImportKeyRequest { stage_only: true, ..version("key", &openssl.make("ec-p256")) };
    let key = client.import_key(staged).await.unwrap();
    assert_eq!((metadata(&key).primary_version, metadata(&key).latest_version), (2, 3));

    // Who imports knows what it imports, and nobody what the gateway made.
    client.create_key(create("ec-p256", "made", "soft")).await.unwrap();
    let refused = client.import_key(version("made", &openssl.make("ec-p256"))).await;
    assert_eq!(outcome(&refused), "InvalidArgument FIELD_INVALID");
}

#[tokio::test]
async fn a_call_that_is_made_again_imports_nothing_again() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let mut request = plain("ec-p256", "", &openssl.make("ec-p256"));
    request.request_id = request_id();
    let key = client.import_key(request.clone()).await.unwrap();
    assert_eq!(client.import_key(request.clone()).await.unwrap(), key);
    let other = plain("ec-p256", "", &openssl.make("ec-p256"));
    let other = proto::ImportKeyRequest { request_id: request.request_id, ..other };
    assert_eq!(outcome(&client.import_key(other).await), "InvalidArgument REQUEST_ID_REUSED");
    let keys = client.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys;
    assert_eq!(keys.len(), 1);

    let mut request = job(ImportMethod::RsaOaep3072Sha256, "");
    request.request_id = request_id();
    let made = client.create_import_job(request.clone()).await.unwrap();
    assert_eq!(client.create_import_job(request.clone()).await.unwrap(), made);
    request.method = ImportMethod::RsaOaep4096Sha256.into();
    assert_eq!(outcome(&client.create_import_job(request).await), "InvalidArgument REQUEST_ID_REUSED");
}

#[tokio::test]
async fn no_material_stands_in_the_audit_log_or_the_log() {
    let home = Home::software(PROGRAM).configured("");
    let gateway = home.start_with([("SKMS__LOG__LEVEL", "trace".into())]);
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let job = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256Aes256, "job")).await.unwrap();
    let material = openssl.make("hmac-sha512");
    let wrapping = openssl.wrap(&job, &material);
    client.import_key(plain("hmac-sha512", "plain", &material)).await.unwrap();
    client.import_key(wrapped("hmac-sha512", "wrapped", "job", &wrapping)).await.unwrap();
    let wrong = client.import_key(wrapped("ec-p256", "other", "job", &wrapping)).await;
    assert_eq!(outcome(&wrong), "InvalidArgument IMPORT_MATERIAL_INVALID");
    let audit = std::fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""import_job":"job""#) && audit.contains("import-key-plain"), "{audit}");
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(&material);
    let decimal = format!("{material:?}");
    for secret in [hex::encode(&material), base64, decimal.trim_matches(['[', ']']).to_owned()] {
        assert!(!audit.contains(&secret), "`{secret}` stands in the audit log");
        assert!(!gateway.log().contains(&secret), "`{secret}` stands in the log");
    }
}

/// A gateway, and a caller with these roles beside its admin.
async fn with_caller(home: &Home, roles: &[&str]) -> (Gateway, Client, Client) {
    let gateway = home.start();
    let other = gateway.client_of(&home.idp().token("other", roles)).await;
    let admin = gateway.client().await;
    (gateway, admin, other)
}
