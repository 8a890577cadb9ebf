//! VerifySignature: yes, no, and for no signature whatever an error.

use bytes::Bytes;
use skms::{client::Client, proto};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, rotate, sign, verify};

const MESSAGE: &str = "a message of no importance";

#[tokio::test]
async fn a_signature_of_another_message_or_key_is_not_valid() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        for key_type in ["ec-p256", "rsa-2048", "ed25519"] {
            let (id, other) = (format!("{backend}.{key_type}"), format!("{backend}.{key_type}.other"));
            client.create_key(create(key_type, &id, backend)).await.unwrap();
            client.create_key(create(key_type, &other, backend)).await.unwrap();
            let signature = client.sign(sign(&id, MESSAGE)).await.unwrap().signature;
            for (id, message, valid) in [
                (&id, MESSAGE, true),
                (&id, "a message of no importancE", false),
                (&id, "", false),
                (&other, MESSAGE, false),
            ] {
                let answer = client.verify(verify(id, message, signature.clone())).await.unwrap();
                assert_eq!(answer.valid, valid, "{id} {message}");
                assert_eq!(answer.verified_valid_integrity, valid);
                assert_eq!(answer.version, u32::from(valid));
                let state = if valid { proto::KeyState::Enabled } else { proto::KeyState::Unspecified };
                assert_eq!(answer.version_state(), state);
                assert_eq!(answer.key_id, *id);
            }
        }
    }
}

/// Whatever is sent as a signature gets an answer.
#[tokio::test]
async fn a_malformed_signature_is_not_valid_and_no_error() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut asked = 0;
    for key_type in ["ec-p256", "ec-p384", "ec-p521", "ec-secp256k1", "rsa-2048", "ed25519"] {
        client.create_key(create(key_type, key_type, "")).await.unwrap();
        let good = client.sign(sign(key_type, MESSAGE)).await.unwrap().signature;
        for (what, signature) in damaged(&good).into_iter().chain(strange()) {
            asked +=
                refuse(&client, key_type, &what, &signature, proto::SignatureEncoding::Unspecified).await;
            if key_type.starts_with("ec-") {
                asked += refuse(&client, key_type, &what, &signature, proto::SignatureEncoding::P1363).await;
            }
        }
        if key_type.starts_with("ec-") {
            // Each encoding in place of the other.
            let fixed = proto::SignRequest {
                encoding: proto::SignatureEncoding::P1363.into(),
                ..sign(key_type, MESSAGE)
            };
            let fixed = client.sign(fixed).await.unwrap().signature;
            asked += refuse(&client, key_type, "P1363 as DER", &fixed, proto::SignatureEncoding::Der).await;
            asked += refuse(&client, key_type, "DER as P1363", &good, proto::SignatureEncoding::P1363).await;
        }
    }
    println!("{asked} malformed signatures, none of them an error");
}

async fn refuse(
    client: &Client,
    key: &str,
    what: &str,
    signature: &Bytes,
    encoding: proto::SignatureEncoding,
) -> usize {
    let request =
        proto::VerifyRequest { encoding: encoding.into(), ..verify(key, MESSAGE, signature.clone()) };
    let answer = client.verify(request).await.unwrap_or_else(|error| panic!("{key}, {what}: {error}"));
    assert!(!answer.valid && !answer.verified_valid_integrity, "{key}: {what} is valid");
    assert_eq!(answer.version, 0);
    1
}

/// A good signature, damaged in many ways.
fn damaged(good: &Bytes) -> Vec<(String, Bytes)> {
    let mut all = Vec::new();
    let length = good.len();
    let mut add = |what: String, bytes: Vec<u8>| all.push((what, Bytes::from(bytes)));
    for at in [0, 1, 2, 3, 4, 5, length / 2, length - 2, length - 1] {
        for bit in [0, 7] {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << bit;
            add(format!("byte {at} with bit {bit} flipped"), bytes);
        }
    }
    for keep in [1, 2, length / 2, length - 1] {
        add(format!("the first {keep} bytes"), good[..keep].to_vec());
        add(format!("the last {keep} bytes"), good[length - keep..].to_vec());
    }
    for tail in [&[0][..], &[0xff], &[0; 100]] {
        add(format!("{} bytes more", tail.len()), [good, tail].concat());
    }
    add("a zero before it".into(), [&[0], &good[..]].concat());
    add("twice".into(), good.repeat(2));
    add("reversed".into(), good.iter().rev().copied().collect());
    add("all zeros".into(), vec![0; length]);
    add("all ones".into(), vec![0xff; length]);
    add("as hex".into(), hex::encode(good).into_bytes());
    all
}

/// What was never a signature: above all DER that breaks its own rules.
fn strange() -> Vec<(String, Bytes)> {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let integers = |r: &[u8], s: &[u8]| {
        let body =
            [&[2, u8::try_from(r.len()).unwrap()], r, &[2, u8::try_from(s.len()).unwrap()], s].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let order = [&[0], &order[..]].concat();
    [
        ("an empty sequence", vec![0x30, 0]),
        ("a sequence without content", vec![0x30]),
        ("a sequence of indefinite length", vec![0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0]),
        ("a length of four bytes", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 1, 2, 1, 1]),
        ("a length of the largest kind", vec![0x30, 0xff, 1, 2, 3]),
        ("r and s zero", integers(&[0], &[0])),
        ("r and s one", integers(&[1], &[1])),
        ("r negative", integers(&[0xff], &[1])),
        ("r with zeros before it", integers(&[0, 0, 0, 1], &[1])),
        ("integers without content", integers(&[], &[])),
        ("r the order of P-256", integers(&order, &[1])),
        ("s the order of P-256", integers(&[1], &order)),
        ("three integers", [&[0x30, 9][..], &[2, 1, 1, 2, 1, 1, 2, 1, 1]].concat()),
        ("one integer", vec![0x30, 3, 2, 1, 1]),
        ("other types inside", vec![0x30, 6, 4, 1, 1, 4, 1, 1]),
        ("a set", vec![0x31, 6, 2, 1, 1, 2, 1, 1]),
        ("one byte", vec![0]),
        ("text", b"-----BEGIN SIGNATURE-----".to_vec()),
        ("as long as is looked at", vec![0x30; 16 * 1024]),
    ]
    .into_iter()
    .map(|(what, bytes)| (what.to_owned(), Bytes::from(bytes)))
    .collect()
}

/// Version 0 tries eight versions, the newest first.
#[tokio::test]
async fn an_old_signature_is_found_among_the_eight_newest_versions() {
    const NEWEST: u32 = 10;
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    assert_eq!(client.server_info().await.unwrap().limits.unwrap().max_verify_versions, 8);
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let mut signatures = vec![client.sign(sign(backend, MESSAGE)).await.unwrap()];
        for _ in 1..NEWEST {
            client.rotate_key(rotate(backend)).await.unwrap();
            signatures.push(client.sign(sign(backend, MESSAGE)).await.unwrap());
        }
        for signed in signatures {
            let request = verify(backend, MESSAGE, signed.signature);
            let answer = client.verify(request.clone()).await.unwrap();
            let found = if signed.version + 8 > NEWEST { signed.version } else { 0 };
            assert_eq!(answer.version, found, "made by {}", signed.version);
            let request = proto::VerifyRequest { version: signed.version, ..request };
            assert_eq!(client.verify(request).await.unwrap().version, signed.version);
        }
    }
}

#[tokio::test]
async fn a_digest_verifies_as_its_message_does() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        for key_type in ["ec-p256", "rsa-2048"] {
            let id = format!("{backend}.{key_type}");
            client.create_key(create(key_type, &id, backend)).await.unwrap();
            let signed = client.sign(sign(&id, MESSAGE)).await.unwrap();
            let digest = skms_backend::Hash::Sha256.digest(MESSAGE.as_bytes());
            for (value, valid) in [(digest.as_ref().to_vec(), true), (vec![7; 32], false)] {
                let digest =
                    proto::Digest { hash: proto::HashAlgorithm::Sha256.into(), value: value.clone().into() };
                let request = proto::VerifyRequest {
                    input: Some(proto::verify_request::Input::Digest(digest)),
                    input_crc32c: Some(crc32c::crc32c(&value)),
                    reference: "row 7".into(),
                    ..verify(&id, "", signed.signature.clone())
                };
                let answer = client.verify(request).await.unwrap();
                assert_eq!(answer.valid, valid, "{id}");
                assert!(answer.verified_input_crc32c && !answer.verified_signature_crc32c);
                assert_eq!(answer.reference, "row 7");
            }
        }
    }
}
