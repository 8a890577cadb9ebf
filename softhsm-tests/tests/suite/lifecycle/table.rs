//! Every use and every verb, on a key of every type and purpose, in every state and with
//! every flag: what it answers is one row of `table.txt` for all types of a kind and for
//! all backends, and what is refused changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
    process::Command,
};

use skms::{
    client::{Client, Error},
    proto,
};
use skms_backend::KeyType;
use skms_tests::gateway::Home;

use super::{Verb, lead, turn, update};
use crate::ask::{
    PROGRAM, create, der_of, full, metadata, outcome, public, rotate, sign, stop_and_set_states, verify,
};

/// How a key is, besides its type and its purpose.
const LOOKS: [&str; 9] = [
    "enabled",
    "disabled",
    "compromised",
    "destroy-scheduled",
    "destroyed",
    "generation-failed",
    "not-yet-valid",
    "expired",
    "import-only",
];

const USES: [&str; 20] = [
    "get-key",
    "get-public-key",
    "sign",
    "verify",
    "encrypt",
    "decrypt",
    "data-key",
    "mac",
    "verify-mac",
    "derive",
    "csr",
    "describe",
    "enable",
    "disable",
    "compromise",
    "destroy",
    "restore",
    "lead",
    "import",
    "rotate",
];

/// What a key is made of and for.
#[derive(Clone, Copy)]
struct Made {
    backend: &'static str,
    key_type: KeyType,
    purpose: proto::KeyPurpose,
}

impl Made {
    fn id(&self, look: &str) -> String {
        let purpose = self.purpose.as_str_name().trim_start_matches("KEY_PURPOSE_").to_lowercase();
        format!("{}.{}.{}.{look}", self.backend, self.key_type, purpose.replace('_', "-"))
    }

    /// What answers alike, whatever its type.
    fn kind(&self) -> String {
        let purpose = self.purpose.as_str_name().trim_start_matches("KEY_PURPOSE_").to_lowercase();
        let family = match self.key_type.secret_bytes() {
            Some(_) => "secret",
            None if self.key_type.name().starts_with("rsa") => "rsa",
            None => "pair",
        };
        format!("{purpose} {family}")
    }
}

/// Everything that the backends offer.
async fn offered(home: &Home, client: &Client) -> Vec<Made> {
    let mut made = Vec::new();
    for backend in home.backends() {
        for offer in client.get_backend(backend).await.unwrap().key_types {
            let key_type: KeyType = offer.key_type.parse().unwrap();
            let purposes = [
                (!offer.signature_algorithms.is_empty()).then_some(proto::KeyPurpose::SignVerify),
                (!offer.encryption_algorithms.is_empty()).then_some(proto::KeyPurpose::EncryptDecrypt),
                offer.mac.then_some(proto::KeyPurpose::Mac),
                offer.key_agreement.then_some(proto::KeyPurpose::KeyAgreement),
            ];
            made.extend(purposes.into_iter().flatten().map(|purpose| Made { backend, key_type, purpose }));
        }
    }
    made
}

/// An RSA key of this length, made once: they take too long to make one for each row.
fn rsa(home: &Home, key_type: KeyType) -> Vec<u8> {
    let path = home.path().join(format!("{key_type}.der"));
    if !path.exists() {
        let bits = format!("rsa_keygen_bits:{}", key_type.name().trim_start_matches("rsa-"));
        let (pem, der) = (path.with_extension("pem").display().to_string(), path.display().to_string());
        for line in [
            vec!["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits, "-out", &pem],
            vec!["pkcs8", "-topk8", "-nocrypt", "-in", &pem, "-outform", "DER", "-out", &der],
        ] {
            let done = Command::new("openssl").args(line).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
    fs::read(path).unwrap()
}

/// Makes the key so that it looks so, as far as that is done by calls.
async fn make(home: &Home, client: &Client, made: Made, look: &str) {
    let id = made.id(look);
    let mut params = create(made.key_type.name(), &id, made.backend).params.unwrap();
    params.purpose = made.purpose.into();
    let now = prost_types::Timestamp::from(std::time::SystemTime::now());
    let at = |seconds| Some(prost_types::Timestamp { seconds: now.seconds + seconds, nanos: 0 });
    match look {
        "not-yet-valid" => params.not_before_time = at(3600),
        "expired" => params.expire_time = at(1),
        "import-only" => params.import_only = true,
        _ => {}
    }
    let is_rsa = made.key_type.name().starts_with("rsa");
    if is_rsa || look == "import-only" {
        let Some(material) = material(home, made.key_type) else { return };
        let request = proto::ImportKeyRequest {
            key_type: made.key_type.name().into(),
            key_id: id.clone(),
            params: Some(params),
            material: Some(proto::import_key_request::Material::Plain(material.into())),
            ..Default::default()
        };
        client.import_key(request).await.unwrap();
    } else {
        let request = create(made.key_type.name(), &id, made.backend);
        client.create_key(proto::CreateKeyRequest { params: Some(params), ..request }).await.unwrap();
    }
    let verb = match look {
        "disabled" => Verb::Disable,
        "compromised" => Verb::Compromise,
        "destroy-scheduled" => Verb::Destroy,
        _ => return,
    };
    verb.ask(client, turn(&id, &[])).await.unwrap();
}

/// Material of this type that was made elsewhere; `None` where that takes more than bytes.
fn material(home: &Home, key_type: KeyType) -> Option<Vec<u8>> {
    match key_type.secret_bytes() {
        Some(length) => Some(vec![7; length]),
        None if key_type.name().starts_with("rsa") => Some(rsa(home, key_type)),
        None => None,
    }
}

/// Does it, or finds out whether it could be done, and says what came of it.
async fn does(home: &Home, client: &Client, made: Made, look: &str, what: &str) -> String {
    let id = made.id(look);
    let key_id = id.clone();
    match what {
        "get-key" => outcome_of(&client.get_key(full(&id)).await),
        "get-public-key" => outcome_of(&client.public_key(public(&id)).await),
        "sign" => outcome_of(&client.sign(sign(&id, "text")).await),
        "verify" => outcome_of(&client.verify(verify(&id, "text", "no signature")).await),
        "encrypt" => {
            let request = proto::EncryptRequest { key_id, plaintext: "text".into(), ..Default::default() };
            outcome_of(&client.encrypt(request).await)
        }
        "decrypt" => {
            let request = proto::DecryptRequest { key_id, ciphertext: "none".into(), ..Default::default() };
            outcome_of(&client.decrypt(request).await)
        }
        "data-key" => {
            let request = proto::GenerateDataKeyRequest {
                key_id,
                size: Some(proto::generate_data_key_request::Size::LengthBytes(32)),
                plaintext_mode: proto::PlaintextMode::Omit.into(),
                ..Default::default()
            };
            outcome_of(&client.generate_data_key(request).await)
        }
        "mac" => {
            let request = proto::GenerateMacRequest { key_id, message: "text".into(), ..Default::default() };
            outcome_of(&client.generate_mac(request).await)
        }
        "verify-mac" => {
            let (message, mac) = ("text".into(), "none".into());
            let request = proto::VerifyMacRequest { key_id, message, mac, ..Default::default() };
            outcome_of(&client.verify_mac(request).await)
        }
        "derive" => {
            let peer = client.get_key(full(&made.id("enabled"))).await.unwrap().public_key;
            let peer = if peer.is_empty() { b"none".to_vec() } else { der_of(&peer) };
            let hkdf = proto::Hkdf {
                hash: proto::HashAlgorithm::Sha256.into(),
                length_bytes: 32,
                ..Default::default()
            };
            let request = proto::DeriveSharedSecretRequest {
                key_id,
                peer_public_key: peer.into(),
                hkdf: Some(hkdf),
                ..Default::default()
            };
            outcome_of(&client.derive_shared_secret(request).await)
        }
        "csr" => {
            let subject = "CN=a".into();
            let request =
                proto::CreateCertificateSigningRequestRequest { key_id, subject, ..Default::default() };
            outcome_of(&client.certificate_request(request).await)
        }
        "describe" => {
            let params = proto::KeyParams { description: "a key".into(), ..Default::default() };
            let said = proto::KeyMetadata { params: Some(params), ..Default::default() };
            let request = update(&id, &["params.description"], said);
            let request = proto::UpdateKeyRequest { validate_only: true, ..request };
            outcome_of(&client.update_key(request).await)
        }
        "lead" => {
            let request = proto::SetPrimaryVersionRequest { validate_only: true, ..lead(&id, 1) };
            outcome_of(&client.set_primary_version(request).await)
        }
        "import" => {
            let Some(material) = material(home, made.key_type) else { return "-".to_owned() };
            let request = proto::ImportKeyRequest {
                key_id,
                new_version: true,
                material: Some(proto::import_key_request::Material::Plain(material.into())),
                ..Default::default()
            };
            outcome_of(&client.import_key(request).await)
        }
        // What it makes of an RSA key is tried elsewhere.
        "rotate" if made.key_type.name().starts_with("rsa") && !is_out_of_use(look) => "-".to_owned(),
        "rotate" => outcome_of(&client.rotate_key(rotate(&id)).await),
        verb => {
            let verb = match verb {
                "enable" => Verb::Enable,
                "disable" => Verb::Disable,
                "compromise" => Verb::Compromise,
                "destroy" => Verb::Destroy,
                "restore" => Verb::Restore,
                other => panic!("{other} is nothing that is done"),
            };
            let tried = super::Turn { validate_only: true, ..turn(&id, &[]) };
            outcome_of(&verb.ask(client, tried).await)
        }
    }
}

/// `ok`, or why not.
fn outcome_of<T: std::fmt::Debug>(result: &Result<T, Error>) -> String {
    if result.is_ok() { "ok".to_owned() } else { outcome(result) }
}

fn is_out_of_use(look: &str) -> bool {
    !["enabled", "not-yet-valid", "expired"].contains(&look)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_use_and_verb_answers_by_kind_state_and_flag_alone() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let all = offered(&home, &client).await;
    for made in &all {
        for look in LOOKS {
            make(&home, &client, *made, look).await;
        }
    }
    let ids = |look: &str| all.iter().map(|made| made.id(look)).collect::<Vec<_>>();
    let (gone, failed) = (ids("destroyed"), ids("generation-failed"));
    let states: Vec<_> = gone
        .iter()
        .map(|id| (id.as_str(), "destroyed"))
        .chain(failed.iter().map(|id| (id.as_str(), "generation-failed")))
        .collect();
    let gateway = stop_and_set_states(&home, gateway, &states).await;
    let client = gateway.client().await;
    let past = async {
        let id = all[0].id("expired");
        let shown = client.get_key(full(&id)).await.unwrap();
        let end = metadata(&shown).params.clone().unwrap().expire_time.unwrap().seconds;
        while prost_types::Timestamp::from(std::time::SystemTime::now()).seconds <= end + 1 {
            tokio::task::yield_now().await;
        }
    };
    past.await;
    let mut rows: BTreeMap<(String, &str, &str), BTreeSet<String>> = BTreeMap::new();
    let mut asked = 0;
    for made in &all {
        for look in LOOKS {
            let id = made.id(look);
            let Ok(before) = client.get_key(full(&id)).await else { continue };
            let mut is_new = false;
            for what in USES {
                // None of those before makes anything; these two come last.
                if what == "import" {
                    assert_eq!(client.get_key(full(&id)).await.unwrap(), before, "{id}");
                }
                let said = does(&home, &client, *made, look, what).await;
                asked += 1;
                if said == "-" {
                    continue;
                }
                assert!(!said.starts_with("Internal"), "{id} {what}: {said}");
                is_new |= ["import", "rotate"].contains(&what) && said == "ok";
                rows.entry((made.kind(), look, what)).or_default().insert(said);
            }
            if !is_new {
                assert_eq!(client.get_key(full(&id)).await.unwrap(), before, "{id}");
            }
        }
    }
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    let mut table = String::new();
    for ((kind, look, what), said) in &rows {
        let said: Vec<_> = said.iter().map(String::as_str).collect();
        writeln!(table, "{kind}, {look}, {what}: {}", said.join(" or ")).unwrap();
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/lifecycle/table.txt");
    if std::env::var_os("SKMS_BLESS").is_some() {
        fs::write(&golden, &table).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if home.softhsm().is_some() {
        assert_eq!(table, expected, "renew it with SKMS_BLESS=1 and read what has changed");
    }
    println!("{asked} answers about {} kinds of keys, {} rows", all.len(), rows.len());
}
