//! CreateKey: what is asked for is what is made, and nothing else.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use skms::proto;
use skms_backend::{Hash, KeyType};
use skms_tests::{conformance::openssl, gateway::Home};

use crate::ask::{PROGRAM, create, der_of, full, metadata, outcome, sign};

const DAY: i64 = 24 * 60 * 60;

/// What a backend is asked to make here. Long RSA keys take SoftHSM many seconds;
/// the conformance suite has it make them.
fn key_types(backend: &proto::Backend) -> impl Iterator<Item = KeyType> {
    let longest = if backend.name == "hsm" { 2048 } else { 4096 };
    let offered = backend.key_types.iter().map(|offer| offer.key_type.parse::<KeyType>().unwrap());
    offered.filter(move |key_type| key_type.rsa_bits().unwrap_or_default() <= longest)
}

/// What a key of this type is for when nobody says, and what it does then.
fn purpose(key_type: KeyType) -> (proto::KeyPurpose, [&'static str; 2]) {
    match key_type {
        KeyType::Aes128 | KeyType::Aes256 => (proto::KeyPurpose::EncryptDecrypt, ["encrypt", "decrypt"]),
        KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => {
            (proto::KeyPurpose::Mac, ["mac", "verify-mac"])
        }
        KeyType::X25519 => (proto::KeyPurpose::KeyAgreement, ["derive", ""]),
        _ => (proto::KeyPurpose::SignVerify, ["sign", "verify"]),
    }
}

#[tokio::test]
async fn every_key_type_is_made_and_described() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap();
        for key_type in key_types(&offered) {
            let begun = SystemTime::now() - Duration::from_millis(1);
            let id = format!("{backend}.{key_type}");
            let key = client.create_key(create(key_type.name(), &id, backend)).await.unwrap();
            assert_eq!(key.id, id);
            if key_type.is_secret() {
                assert_eq!(key.public_key, "");
            } else {
                openssl::check_pem(&key.public_key, key_type);
            }
            let (purpose, operations) = purpose(key_type);

            let shown = metadata(&key);
            let support = offered.key_types.iter().find(|offer| offer.key_type == key_type.name()).unwrap();
            let expected = proto::KeyMetadata {
                key_type: key_type.name().into(),
                state: proto::KeyState::Enabled.into(),
                primary_version: 1,
                latest_version: 1,
                params: Some(proto::KeyParams {
                    purpose: purpose.into(),
                    signature_algorithms: support
                        .signature_algorithms
                        .iter()
                        .filter(|_| purpose == proto::KeyPurpose::SignVerify)
                        .map(|offer| offer.algorithm)
                        .collect(),
                    encryption_algorithms: support
                        .encryption_algorithms
                        .iter()
                        .copied()
                        .filter(|_| purpose == proto::KeyPurpose::EncryptDecrypt)
                        .collect(),
                    protection_level: support.protection_level,
                    backend: backend.into(),
                    destroy_scheduled_duration: Some(prost_types::Duration { seconds: 30 * DAY, nanos: 0 }),
                    export_policy: proto::ExportPolicy::Never.into(),
                    ..Default::default()
                }),
                allowed_operations: operations
                    .into_iter()
                    .filter(|operation| !operation.is_empty())
                    .map(str::to_owned)
                    .collect(),
                availability: proto::BackendAvailability::Available.into(),
                public_key_sha256: if key_type.is_secret() {
                    Bytes::new()
                } else {
                    sha256(&key.public_key).into()
                },
                owner: "test/admin".into(),
                // What cannot be known before.
                etag: shown.etag.clone(),
                create_time: shown.create_time,
                update_time: shown.update_time,
                ..Default::default()
            };
            assert_eq!(*shown, expected);
            assert!(!shown.etag.is_empty());
            let created = SystemTime::try_from(shown.create_time.unwrap()).unwrap();
            assert!((begun..=SystemTime::now()).contains(&created), "{created:?}");
            // What was answered is what is shown from now on.
            let again = proto::GetKeyRequest { key_id: id, ..Default::default() };
            assert_eq!(client.get_key(again).await.unwrap(), key);
        }
    }
}

#[tokio::test]
async fn the_spellings_of_other_services_are_understood_and_never_given_back() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for (spelling, canonical) in [
        ("RSA_2048", "rsa-2048"),
        ("rsa3072", "rsa-3072"),
        ("ECC_NIST_P256", "ec-p256"),
        ("EC_SIGN_P256_SHA256", "ec-p256"),
        ("ecdsa-p384", "ec-p384"),
        ("P-521", "ec-p521"),
        ("ECC_SECG_P256K1", "ec-secp256k1"),
        ("EC_SIGN_ED25519", "ed25519"),
    ] {
        let request = proto::CreateKeyRequest { validate_only: true, ..create(spelling, "", "") };
        let key = client.create_key(request).await.unwrap();
        assert_eq!(metadata(&key).key_type, canonical, "{spelling}");
    }
}

#[tokio::test]
async fn what_the_user_says_of_a_key_is_kept() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let longest = "x".repeat(256);
        let labels: [(String, String); 3] = [
            ("env".into(), "prod".into()),
            ("a/b.c_d-e".into(), "Käse & \"Wein\"\n".into()),
            ("n".repeat(63), longest),
        ];
        let params = proto::KeyParams {
            signature_algorithms: vec![
                proto::SignatureAlgorithm::RsaPkcs1Sha512.into(),
                proto::SignatureAlgorithm::RsaPssSha256.into(),
            ],
            protection_level: proto::ProtectionLevel::Software.into(),
            backend: backend.into(),
            destroy_scheduled_duration: Some(prost_types::Duration { seconds: DAY, nanos: 0 }),
            not_before_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            expire_time: Some(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 }),
            aliases: vec![format!("{backend}.second"), format!("{backend}.first")],
            description: "wages, and nothing else".into(),
            purpose: proto::KeyPurpose::SignVerify.into(),
            export_policy: proto::ExportPolicy::Never.into(),
            ..Default::default()
        };
        let request = proto::CreateKeyRequest {
            metadata: labels.clone().into(),
            params: Some(params.clone()),
            ..create("rsa-2048", &format!("{backend}.payroll"), "")
        };
        let key = client.create_key(request).await.unwrap();
        assert_eq!(metadata(&key).labels, labels.into());
        let sorted = vec![format!("{backend}.first"), format!("{backend}.second")];
        assert_eq!(metadata(&key).params, Some(proto::KeyParams { aliases: sorted, ..params }));
        let signed = client.sign(sign(&key.id, "default")).await.unwrap();
        assert_eq!(signed.algorithm(), proto::SignatureAlgorithm::RsaPkcs1Sha512);
    }
}

#[tokio::test]
async fn a_key_without_an_id_is_given_one() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let grammar = regex::Regex::new("^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$").unwrap();
    let first = client.create_key(create("ed25519", "", "")).await.unwrap().id;
    let second = client.create_key(create("ed25519", "", "")).await.unwrap().id;
    assert!(grammar.is_match(&first) && grammar.is_match(&second), "{first}, {second}");
    assert_ne!(first, second);
}

/// Where nobody says, the best protected backend that can make it holds a key.
#[tokio::test]
async fn the_placement_order_decides_where_a_key_goes() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let key = client.create_key(create("ed25519", "anywhere", "")).await.unwrap();
    let params = metadata(&key).params.clone().unwrap();
    assert_eq!(Some(&params.backend.as_str()), home.backends().first());
    assert!(gateway.stop().await.success());

    let home = home.configured("[placement]\norder = [\"soft\"]\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let key = client.create_key(create("ed25519", "ordered", "")).await.unwrap();
    assert_eq!(metadata(&key).params.clone().unwrap().backend, "soft");
}

#[tokio::test]
async fn only_validating_makes_nothing() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let taken = format!("{backend}.taken");
        client.create_key(create("ed25519", &taken, backend)).await.unwrap();
        let before = home.softhsm().map(|token| (token.list(), token.object_files()));

        let only =
            |id: &str| proto::CreateKeyRequest { validate_only: true, ..create("ec-p256", id, backend) };
        let could = client.create_key(only("free")).await.unwrap();
        assert_eq!((could.id.as_str(), could.public_key.as_str()), ("free", ""));
        assert_eq!(metadata(&could).primary_version, 0);
        let params = metadata(&could).params.clone().unwrap();
        assert_eq!((params.backend.as_str(), params.signature_algorithms), (backend, vec![1]));
        assert_eq!(outcome(&client.create_key(only(&taken)).await), "AlreadyExists KEY_ALREADY_EXISTS");

        assert_eq!(outcome(&client.get_key(full("free")).await), "NotFound KEY_NOT_FOUND");
        assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), before);
    }
}

/// SHA-256 of the DER in a PEM.
fn sha256(pem: &str) -> Vec<u8> {
    Hash::Sha256.digest(&der_of(pem)).as_ref().to_vec()
}
