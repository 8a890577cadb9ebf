//! DeriveSharedSecret: both sides come to the same key.

use bytes::Bytes;
use skms::{client::Client, proto};
use skms_backend::{KeyType, PublicKey};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, der_of, outcome};

fn agreement(key_type: &str, id: &str, backend: &str) -> proto::CreateKeyRequest {
    let mut request = create(key_type, id, backend);
    request.params.as_mut().unwrap().purpose = proto::KeyPurpose::KeyAgreement.into();
    request
}

fn hkdf(info: &str) -> Option<proto::Hkdf> {
    let (hash, info) = (proto::HashAlgorithm::Sha256.into(), Bytes::copy_from_slice(info.as_bytes()));
    Some(proto::Hkdf { hash, salt: "salt".into(), info, length_bytes: 32 })
}

async fn derived(client: &Client, key: &str, peer: &Bytes, info: &str) -> Bytes {
    let request = proto::DeriveSharedSecretRequest {
        key_id: key.into(),
        peer_public_key: peer.clone(),
        hkdf: hkdf(info),
        ..Default::default()
    };
    client.derive_shared_secret(request).await.unwrap().secret
}

fn der(key: &proto::KeyResponse, key_type: &str) -> Bytes {
    let label = der_of(&key.public_key);
    let key_type: KeyType = key_type.parse().unwrap();
    assert!(PublicKey::from_spki(key_type, &label).is_ok());
    label.into()
}

#[tokio::test]
async fn both_sides_come_to_the_same_key_and_nobody_else_does() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let in_software = client.get_backend("soft").await.unwrap().key_types;
    let mut pairs = 0;
    for backend in home.backends() {
        for offer in client.get_backend(backend).await.unwrap().key_types {
            if !offer.key_agreement {
                continue;
            }
            let mut halves = Vec::new();
            // The other side is in software where it can be, so that two implementations meet.
            let meets =
                |known: &proto::KeyTypeSupport| known.key_agreement && known.key_type == offer.key_type;
            let there = if in_software.iter().any(meets) { "soft" } else { backend };
            for (name, at) in [("a", backend), ("b", there), ("c", there)] {
                let id = format!("{backend}.{}.{name}", offer.key_type);
                let key = client.create_key(agreement(&offer.key_type, &id, at)).await.unwrap();
                halves.push((id, der(&key, &offer.key_type)));
            }
            let [(a, half_a), (b, half_b), (c, _)] = &halves[..] else { panic!() };
            let here = derived(&client, a, half_b, "use").await;
            assert_eq!(here.len(), 32);
            assert_eq!(derived(&client, b, half_a, "use").await, here, "{}", offer.key_type);
            assert_ne!(derived(&client, b, half_a, "other use").await, here);
            assert_ne!(derived(&client, c, half_a, "use").await, here);
            pairs += 1;
        }
    }
    assert!(pairs >= 4, "{pairs} kinds of pairs");
}

#[tokio::test]
async fn the_raw_secret_takes_a_permission_of_its_own() {
    let home = Home::software(PROGRAM);
    std::fs::write(
        home.path().join("policies/deriver.cedar"),
        r#"@id("deriver") permit (principal in Role::"deriver", action == Action::"derive-shared-secret", resource);"#,
    )
    .unwrap();
    let gateway = home.start();
    let client = gateway.client().await;
    let key = client.create_key(agreement("x25519", "mine", "")).await.unwrap();
    let peer = der(&key, "x25519");
    let request = proto::DeriveSharedSecretRequest {
        key_id: "mine".into(),
        peer_public_key: peer.clone(),
        raw: true,
        ..Default::default()
    };
    assert_eq!(client.derive_shared_secret(request.clone()).await.unwrap().secret.len(), 32);
    let deriver = gateway.client_of(&home.idp().token("deriver", &["deriver"])).await;
    let refused = outcome(&deriver.derive_shared_secret(request.clone()).await);
    assert_eq!(refused, "PermissionDenied KEY_ACCESS_DENIED");
    assert_eq!(derived(&deriver, "mine", &peer, "use").await.len(), 32);

    // A point of small order, a key of another type, and none at all.
    let mut small = peer.to_vec();
    small[12..].fill(0);
    let other = client.create_key(create("ec-p256", "other", "")).await.unwrap();
    for wrong in [small, der_of(&other.public_key), b"none".to_vec()] {
        let request = proto::DeriveSharedSecretRequest { peer_public_key: wrong.into(), ..request.clone() };
        assert_eq!(outcome(&client.derive_shared_secret(request).await), "InvalidArgument FIELD_INVALID");
    }
}
