//! GetPublicKey: every key type in every format, read by others than the gateway.

use std::process::{Command, Stdio};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use jsonwebtoken::{
    DecodingKey,
    jwk::{Jwk, ThumbprintHash},
};
use skms::{
    client::Client,
    proto::{self, PublicKeyFormat},
};
use skms_backend::{Hash, KeyType, SignatureAlgorithm};
use skms_tests::{conformance::openssl, gateway::Home};

use crate::ask::{PROGRAM, create, metadata, outcome, public, rotate, sign, stop_and_set_states};

const MESSAGE: &str = "a message of no importance";

/// Every type that has a public half and is read by OpenSSL 3.0; long RSA keys are
/// made in software only, where they take less time.
const KEY_TYPES: [KeyType; 9] = [
    KeyType::Rsa2048,
    KeyType::Rsa3072,
    KeyType::Rsa4096,
    KeyType::EcP256,
    KeyType::EcP384,
    KeyType::EcP521,
    KeyType::EcSecp256k1,
    KeyType::Ed25519,
    KeyType::X25519,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_format_of_every_key_type_is_read_by_others() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let (mut read, mut verified) = (0, 0);
    for backend in home.backends() {
        let quick = |key_type: &KeyType| match key_type {
            KeyType::Rsa3072 | KeyType::Rsa4096 | KeyType::X25519 => backend == "soft",
            _ => true,
        };
        for key_type in KEY_TYPES.into_iter().filter(quick) {
            let id = format!("{backend}.{key_type}");
            let key = client.create_key(create(key_type.name(), &id, backend)).await.unwrap();
            let pem = check(&client, &key, PublicKeyFormat::Pem).await;
            assert_eq!(pem, key.public_key.as_bytes());
            openssl::check_pem(&key.public_key, key_type);
            let der = check(&client, &key, PublicKeyFormat::Der).await;
            assert_eq!(openssl(&["pkey", "-pubin", "-inform", "DER"], &der), pem, "{key_type}");
            assert_eq!(metadata(&key).public_key_sha256, Hash::Sha256.digest(&der).as_ref());
            let raw = check(&client, &key, PublicKeyFormat::Raw).await;
            check_raw(key_type, &raw, &pem, &der);
            let jwk = check(&client, &key, PublicKeyFormat::Jwk).await;
            check_jwk(key_type, &jwk, &raw);
            verified += verify_with_jwk(&client, &key, &jwk).await;
            read += 4;
        }
    }
    println!("{read} public keys, and {verified} signatures verified with JWKs");
    assert!(verified >= 10, "{verified}");
}

/// The public key in a format, after the rest of the answer was held against the key.
async fn check(client: &Client, key: &proto::KeyResponse, format: PublicKeyFormat) -> Vec<u8> {
    let request = proto::GetPublicKeyRequest { format: format.into(), ..public(&key.id) };
    let answer = client.public_key(request).await.unwrap();
    let (metadata, params) = (metadata(key), metadata(key).params.as_ref().unwrap());
    assert_eq!((&answer.key_id, answer.version, answer.format()), (&key.id, 1, format));
    assert_eq!(answer.key_type, metadata.key_type);
    assert_eq!(answer.public_key_crc32c, crc32c::crc32c(&answer.public_key));
    assert_eq!(answer.public_key_sha256, metadata.public_key_sha256);
    assert_eq!(answer.signature_algorithms, params.signature_algorithms);
    assert_eq!(answer.encryption_algorithms, params.encryption_algorithms);
    assert_eq!(answer.version_state(), proto::KeyState::Enabled);
    if format == PublicKeyFormat::Pem {
        // It is what is written when nobody says how.
        assert_eq!(client.public_key(public(&key.id)).await.unwrap(), answer);
    }
    answer.public_key.to_vec()
}

fn check_raw(key_type: KeyType, raw: &[u8], pem: &[u8], der: &[u8]) {
    if key_type.rsa_bits().is_some() {
        let read = openssl(&["rsa", "-RSAPublicKey_in", "-inform", "DER", "-pubout"], raw);
        assert_eq!(read, pem, "{key_type}");
        return;
    }
    let length = key_type.field_bytes().map_or(32, |field| 1 + 2 * field);
    assert_eq!(raw.len(), length, "{key_type}");
    assert!(key_type.field_bytes().is_none() || raw[0] == 4, "{key_type}: not an uncompressed point");
    assert!(der.ends_with(raw), "{key_type}");
}

fn check_jwk(key_type: KeyType, jwk: &[u8], raw: &[u8]) {
    let jwk: serde_json::Value = serde_json::from_slice(jwk).unwrap();
    let bytes = |name: &str| BASE64.decode(jwk[name].as_str().unwrap()).unwrap();
    let agrees = key_type == KeyType::X25519;
    assert_eq!(jwk["use"], if agrees { "enc" } else { "sig" }, "{key_type}");
    let algorithms: Vec<_> = SignatureAlgorithm::of(key_type).collect();
    let alg = match algorithms.as_slice() {
        [SignatureAlgorithm::Ed25519] => Some("EdDSA"),
        [only] => Some(only.jose()),
        _ => None,
    };
    assert_eq!(jwk.get("alg").and_then(serde_json::Value::as_str), alg, "{key_type}");
    match jwk["kty"].as_str().unwrap() {
        "RSA" => assert_eq!(bytes("e"), [1, 0, 1]),
        "EC" => assert_eq!([vec![4], bytes("x"), bytes("y")].concat(), raw, "{key_type}"),
        _ => assert_eq!(bytes("x"), raw, "{key_type}"),
    }
    // The thumbprint once more, by a library; it does not know these two curves.
    if !matches!(key_type, KeyType::EcSecp256k1 | KeyType::X25519) {
        let read: Jwk = serde_json::from_value(jwk.clone()).unwrap();
        assert_eq!(jwk["kid"], read.thumbprint(ThumbprintHash::SHA256).unwrap(), "{key_type}");
    }
}

/// Signs with every algorithm that the library knows, and verifies as whoever is
/// given the JWK would. Says how often.
async fn verify_with_jwk(client: &Client, key: &proto::KeyResponse, jwk: &[u8]) -> usize {
    let key_type: KeyType = metadata(key).key_type.parse().unwrap();
    let mut verified = 0;
    for algorithm in SignatureAlgorithm::of(key_type) {
        let name = if algorithm == SignatureAlgorithm::Ed25519 { "EdDSA" } else { algorithm.jose() };
        let Ok(library) = name.parse::<jsonwebtoken::Algorithm>() else { continue };
        let jwk: Jwk = serde_json::from_slice(jwk).unwrap();
        let decoding = DecodingKey::from_jwk(&jwk).unwrap();
        let wire = format!("SIGNATURE_ALGORITHM_{}", algorithm.name().to_uppercase().replace('-', "_"));
        let mut request = proto::SignRequest {
            algorithm: proto::SignatureAlgorithm::from_str_name(&wire).unwrap().into(),
            ..sign(&key.id, MESSAGE)
        };
        if algorithm.is_ecdsa() {
            request.encoding = proto::SignatureEncoding::P1363.into();
        }
        let signature = BASE64.encode(client.sign(request).await.unwrap().signature);
        let holds = |message: &str| {
            jsonwebtoken::crypto::verify(&signature, message.as_bytes(), &decoding, library).unwrap()
        };
        assert!(holds(MESSAGE), "{} {algorithm}", key.id);
        assert!(!holds("another message"), "{} {algorithm}", key.id);
        verified += 1;
    }
    verified
}

/// What openssl makes of bytes.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("openssl: {error}; apt-get install openssl"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn each_version_has_its_own_public_key_also_by_an_alias() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let mut request = create("ec-p256", backend, backend);
        request.params.as_mut().unwrap().aliases = vec![format!("{backend}.alias")];
        let first = client.create_key(request).await.unwrap().public_key;
        let second = client.rotate_key(rotate(backend)).await.unwrap().public_key;
        for (version, number, expected) in [(0, 2, &second), (1, 1, &first), (2, 2, &second)] {
            let request = proto::GetPublicKeyRequest { version, ..public(&format!("{backend}.alias")) };
            let answer = client.public_key(request).await.unwrap();
            assert_eq!((answer.key_id.as_str(), answer.version), (backend, number));
            assert_eq!(answer.public_key, expected.as_bytes());
        }
    }
}

/// What was signed before is still to be judged; of what is gone nothing is left.
#[tokio::test]
async fn the_public_key_outlives_the_use_of_the_key_and_not_the_key() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let states = [
        ("disabled", None),
        ("compromised", None),
        ("destroy-scheduled", None),
        ("destroyed", Some("FailedPrecondition KEY_DESTROYED")),
    ];
    let client = gateway.client().await;
    for (state, _) in states {
        client.create_key(create("ec-p256", state, "")).await.unwrap();
    }
    let gateway = stop_and_set_states(&home, gateway, &states.map(|(state, _)| (state, state))).await;
    let client = gateway.client().await;
    for (state, refused) in states {
        let answer = client.public_key(public(state)).await;
        match refused {
            Some(expected) => assert_eq!(outcome(&answer), expected, "{state}"),
            None => {
                let shown = answer.unwrap().version_state().as_str_name().to_owned();
                assert_eq!(shown, format!("KEY_STATE_{}", state.to_uppercase().replace('-', "_")));
            }
        }
    }
}
