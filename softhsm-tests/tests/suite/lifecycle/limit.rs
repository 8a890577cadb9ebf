//! How often a version may protect something, where its key says so: never once more,
//! whatever happens to the gateway.

use skms::{
    client::{Client, Error},
    proto,
};
use skms_tests::gateway::Home;
use tokio::{sync::mpsc, task::JoinSet};

use super::{states, update};
use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, sign, verify};

const USED_UP: &str = "ResourceExhausted KEY_USAGE_LIMIT_EXCEEDED";
const CALLERS: usize = 64;
const KILLS: u64 = 3;

/// A key of which each version may do so many operations.
fn limited(key_type: &str, id: &str, backend: &str, most: u64) -> proto::CreateKeyRequest {
    let mut request = create(key_type, id, backend);
    request.params.get_or_insert_default().max_operations_per_version = most;
    request
}

/// What is shown of the operations of the versions: how many of how many.
async fn counts(client: &Client, key: &str) -> Vec<(u64, u64)> {
    let shown = client.get_key(full(key)).await.unwrap();
    let versions = &metadata(&shown).versions;
    versions.iter().map(|version| (version.operation_count, version.operation_limit)).collect()
}

/// Signs until it is refused or the gateway is gone, and tells how often it did.
async fn sign_on(client: Client, signed: mpsc::UnboundedSender<()>) -> Option<Error> {
    loop {
        match client.sign(sign("key", "text")).await {
            Ok(_) => signed.send(()).ok()?,
            Err(error) => return Some(error),
        }
    }
}

/// Everything that protects, and what it protected; each is counted once.
#[tokio::test]
async fn what_protects_is_counted_and_what_was_protected_stays_of_use() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let id = |name: &str| format!("{backend}.{name}");
        let key = id("signs");
        client.create_key(limited("ec-p256", &key, backend, 2)).await.unwrap();
        let signature = client.sign(sign(&key, "text")).await.unwrap();
        assert_eq!(counts(&client, &key).await, [(1, 2)]);
        let csr = proto::CreateCertificateSigningRequestRequest {
            key_id: key.clone(),
            subject: "CN=a".into(),
            ..Default::default()
        };
        client.certificate_request(csr.clone()).await.unwrap();
        assert_eq!(outcome(&client.sign(sign(&key, "text")).await), USED_UP);
        assert_eq!(outcome(&client.certificate_request(csr).await), USED_UP);
        for _ in 0..3 {
            let checked = verify(&key, "text", signature.signature.clone());
            assert!(client.verify(checked).await.unwrap().valid);
        }
        assert_eq!(counts(&client, &key).await, [(2, 2)]);
        // Each version has its own.
        client.rotate_key(rotate(&key)).await.unwrap();
        client.sign(sign(&key, "text")).await.unwrap();
        assert_eq!(counts(&client, &key).await, [(2, 2), (1, 2)]);
        let old = proto::SignRequest { version: 1, ..sign(&key, "text") };
        assert_eq!(outcome(&client.sign(old).await), USED_UP);

        let key = id("encrypts");
        client.create_key(limited("aes-256", &key, backend, 3)).await.unwrap();
        let request =
            proto::EncryptRequest { key_id: key.clone(), plaintext: "text".into(), ..Default::default() };
        let ciphertext = client.encrypt(request.clone()).await.unwrap().ciphertext;
        let data_key = proto::GenerateDataKeyRequest {
            key_id: key.clone(),
            size: Some(proto::generate_data_key_request::Size::LengthBytes(32)),
            plaintext_mode: proto::PlaintextMode::Omit.into(),
            ..Default::default()
        };
        client.generate_data_key(data_key.clone()).await.unwrap();
        let again = proto::ReEncryptRequest {
            source_key_id: key.clone(),
            destination_key_id: key.clone(),
            ciphertext: ciphertext.clone(),
            ..Default::default()
        };
        client.reencrypt(again.clone()).await.unwrap();
        assert_eq!(outcome(&client.encrypt(request).await), USED_UP);
        assert_eq!(outcome(&client.generate_data_key(data_key).await), USED_UP);
        assert_eq!(outcome(&client.reencrypt(again).await), USED_UP);
        let request = proto::DecryptRequest { key_id: key.clone(), ciphertext, ..Default::default() };
        for _ in 0..4 {
            assert_eq!(client.decrypt(request.clone()).await.unwrap().plaintext, "text");
        }
        assert_eq!(counts(&client, &key).await, [(3, 3)]);

        let key = id("codes");
        client.create_key(limited("hmac-sha256", &key, backend, 1)).await.unwrap();
        let request =
            proto::GenerateMacRequest { key_id: key.clone(), message: "text".into(), ..Default::default() };
        let mac = client.generate_mac(request.clone()).await.unwrap().mac;
        assert_eq!(outcome(&client.generate_mac(request).await), USED_UP);
        let request = proto::VerifyMacRequest {
            key_id: key.clone(),
            message: "text".into(),
            mac,
            ..Default::default()
        };
        for _ in 0..2 {
            assert!(client.verify_mac(request.clone()).await.unwrap().valid);
        }

        let key = id("agrees");
        let mut request = limited("ec-p256", &key, backend, 1);
        request.params.get_or_insert_default().purpose = proto::KeyPurpose::KeyAgreement.into();
        let made = client.create_key(request).await.unwrap();
        let request = proto::DeriveSharedSecretRequest {
            key_id: key.clone(),
            peer_public_key: crate::ask::der_of(&made.public_key).into(),
            hkdf: Some(proto::Hkdf {
                hash: proto::HashAlgorithm::Sha256.into(),
                length_bytes: 32,
                ..Default::default()
            }),
            ..Default::default()
        };
        client.derive_shared_secret(request.clone()).await.unwrap();
        assert_eq!(outcome(&client.derive_shared_secret(request).await), USED_UP);
    }
}

/// Refused calls take nothing: the device was not asked.
#[tokio::test]
async fn what_is_refused_is_not_counted() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let too_many = limited("ec-p256", "key", "soft", (1 << 53) + 1);
    assert_eq!(outcome(&client.create_key(too_many).await), "InvalidArgument FIELD_INVALID");
    client.create_key(limited("ec-p256", "key", "soft", 5)).await.unwrap();
    for _ in 0..10 {
        let wrong = proto::SignRequest {
            algorithm: proto::SignatureAlgorithm::Ed25519.into(),
            ..sign("key", "text")
        };
        assert_eq!(outcome(&client.sign(wrong).await), "InvalidArgument ALGORITHM_NOT_ALLOWED");
    }
    assert_eq!(counts(&client, "key").await, [(0, 5)]);
    let mut encrypts = limited("rsa-2048", "rsa", "soft", 5);
    encrypts.params.get_or_insert_default().purpose = proto::KeyPurpose::EncryptDecrypt.into();
    client.create_key(encrypts).await.unwrap();
    let long =
        proto::EncryptRequest { key_id: "rsa".into(), plaintext: vec![0; 256].into(), ..Default::default() };
    assert_eq!(outcome(&client.encrypt(long.clone()).await), "InvalidArgument PAYLOAD_TOO_LARGE");
    assert_eq!(counts(&client, "rsa").await, [(0, 5)]);
    client.encrypt(proto::EncryptRequest { plaintext: "short".into(), ..long }).await.unwrap();
    assert_eq!(counts(&client, "rsa").await, [(1, 5)]);
    // The limit itself is for good.
    let mut other = proto::KeyMetadata::default();
    other.params.get_or_insert_default().max_operations_per_version = 9;
    let request = update("key", &["params.max_operations_per_version"], other);
    assert_eq!(outcome(&client.update_key(request).await), "InvalidArgument FIELD_INVALID");
    assert_eq!(
        metadata(&client.get_key(full("key")).await.unwrap())
            .params
            .as_ref()
            .unwrap()
            .max_operations_per_version,
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_given_exactly_as_many_as_there_are() {
    const MOST: u64 = 3000;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(limited("ec-p256", "key", "soft", MOST)).await.unwrap();
    let (signed, mut count) = mpsc::unbounded_channel();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(sign_on(client.clone(), signed.clone()));
    }
    drop(signed);
    for refused in callers.join_all().await {
        assert_eq!(outcome::<()>(&Err(refused.unwrap())), USED_UP);
    }
    let mut total = 0;
    while count.recv().await.is_some() {
        total += 1;
    }
    assert_eq!(total, MOST);
    assert_eq!(counts(&client, "key").await, [(MOST, MOST)]);
    assert_eq!(states(&client, "key").await, [proto::KeyState::Enabled]);
}

/// A clean stop loses none; a crash loses no more than it says, and gives none twice.
#[tokio::test(flavor = "multi_thread")]
async fn neither_a_stop_nor_a_crash_gives_an_operation_twice() {
    const MOST: u64 = 2560;
    /// What is taken from the catalog at once.
    const BLOCK: u64 = MOST / 256;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(limited("ec-p256", "key", "soft", MOST)).await.unwrap();
    client.sign(sign("key", "text")).await.unwrap();
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    assert_eq!(counts(&gateway.client().await, "key").await, [(1, MOST)]);
    assert!(gateway.stop().await.success());

    let (mut done, mut lost) = (1, 0);
    for round in 0..=KILLS {
        let gateway = home.start();
        let client = gateway.client().await;
        let (counted, _) = counts(&client, "key").await[0];
        assert!((done..=done + lost).contains(&counted), "{done} and at most {lost} of {counted}");
        let (signed, mut count) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            callers.spawn(sign_on(client.clone(), signed.clone()));
        }
        drop(signed);
        if round < KILLS {
            for _ in 0..100 + round {
                count.recv().await.unwrap();
                done += 1;
            }
            tokio::task::spawn_blocking(move || gateway.kill()).await.unwrap();
            // What is left of a block, and what was on its way.
            lost += BLOCK + 8;
        } else {
            for refused in callers.join_all().await {
                assert_eq!(outcome::<()>(&Err(refused.unwrap())), USED_UP);
            }
        }
        while count.recv().await.is_some() {
            done += 1;
        }
    }
    println!("{done} signatures of {MOST} over {KILLS} kills");
    assert!((MOST - lost..=MOST).contains(&done), "{done} of {MOST}, {lost} may be lost");
}
