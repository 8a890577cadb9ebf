//! SignMessage: every algorithm, both inputs, both encodings, and what the answer
//! says of the signature.

use skms::{client::Client, proto};
use skms_backend::{KeyType, SignatureAlgorithm};
use skms_tests::{conformance::openssl, gateway::Home};

use crate::ask::{PROGRAM, create, metadata, outcome, sign, verify};

const MESSAGE: &[u8] = b"a message of no importance";

/// One of each family; long RSA keys sign the same way.
const KEY_TYPES: [KeyType; 6] = [
    KeyType::Rsa2048,
    KeyType::EcP256,
    KeyType::EcP384,
    KeyType::EcP521,
    KeyType::EcSecp256k1,
    KeyType::Ed25519,
];

#[tokio::test]
async fn every_algorithm_signs_what_openssl_verifies() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut signatures = 0;
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap().key_types;
        let offers = |key_type: &KeyType| offered.iter().any(|offer| offer.key_type == key_type.name());
        for key_type in KEY_TYPES.into_iter().filter(offers) {
            let id = format!("{backend}.{key_type}");
            let key = client.create_key(create(key_type.name(), &id, backend)).await.unwrap();
            for algorithm in SignatureAlgorithm::of(key_type) {
                for encoding in encodings(algorithm) {
                    for input in inputs(algorithm) {
                        check(&client, &key, algorithm, encoding, input).await;
                        signatures += 1;
                    }
                }
            }
        }
    }
    println!("{signatures} signatures over {} backends", home.backends().len());
}

/// Signs, and has the answer agree with the request, the gateway and openssl.
async fn check(
    client: &Client,
    key: &proto::KeyResponse,
    algorithm: SignatureAlgorithm,
    encoding: proto::SignatureEncoding,
    input: proto::sign_request::Input,
) {
    let wire = wire(algorithm);
    let crc = match &input {
        proto::sign_request::Input::Digest(digest) => crc32c::crc32c(&digest.value),
        _ => crc32c::crc32c(MESSAGE),
    };
    let request = proto::SignRequest {
        input: Some(input),
        algorithm: wire.into(),
        encoding: encoding.into(),
        input_crc32c: Some(crc),
        reference: "row 7".into(),
        ..sign(&key.id, "")
    };
    let signed = client.sign(request).await.unwrap();
    let echoed = match encoding {
        proto::SignatureEncoding::Unspecified if algorithm.is_ecdsa() => proto::SignatureEncoding::Der,
        encoding => encoding,
    };
    let expected = proto::SignResponse {
        signature_crc32c: crc32c::crc32c(&signed.signature),
        signature: signed.signature.clone(),
        key_id: key.id.clone(),
        version: 1,
        algorithm: wire.into(),
        encoding: echoed.into(),
        verified_input_crc32c: true,
        protection_level: metadata(key).params.clone().unwrap().protection_level,
        reference: "row 7".into(),
    };
    assert_eq!(signed, expected);

    let request = proto::VerifyRequest {
        algorithm: wire.into(),
        encoding: encoding.into(),
        signature_crc32c: Some(signed.signature_crc32c),
        ..verify(&key.id, MESSAGE, signed.signature.clone())
    };
    let verified = client.verify(request).await.unwrap();
    assert!(verified.valid && verified.verified_signature_crc32c && !verified.verified_input_crc32c);
    let der = if echoed == proto::SignatureEncoding::P1363 {
        skms_backend::der_from_p1363(&signed.signature).unwrap()
    } else {
        signed.signature.to_vec()
    };
    assert!(openssl::agrees(&key.public_key, algorithm, MESSAGE, &der), "{algorithm} {encoding:?}");
}

fn encodings(algorithm: SignatureAlgorithm) -> Vec<proto::SignatureEncoding> {
    use proto::SignatureEncoding::{Der, P1363, Unspecified};
    if algorithm.is_ecdsa() { vec![Unspecified, Der, P1363] } else { vec![Unspecified] }
}

fn inputs(algorithm: SignatureAlgorithm) -> Vec<proto::sign_request::Input> {
    let message = proto::sign_request::Input::Message(MESSAGE.into());
    let digest = algorithm.hash().map(|hash| {
        let name = match hash {
            skms_backend::Hash::Sha256 => proto::HashAlgorithm::Sha256,
            skms_backend::Hash::Sha384 => proto::HashAlgorithm::Sha384,
            skms_backend::Hash::Sha512 => proto::HashAlgorithm::Sha512,
        };
        let value = hash.digest(MESSAGE).as_ref().to_vec().into();
        proto::sign_request::Input::Digest(proto::Digest { hash: name.into(), value })
    });
    std::iter::once(message).chain(digest).collect()
}

/// The number on the wire, found by its name.
fn wire(algorithm: SignatureAlgorithm) -> proto::SignatureAlgorithm {
    let name = algorithm.name().replace('-', "_").to_ascii_uppercase();
    proto::SignatureAlgorithm::from_str_name(&format!("SIGNATURE_ALGORITHM_{name}")).unwrap()
}

/// From nothing to the limit, where the device hashes and where the gateway does.
#[tokio::test]
async fn messages_from_nothing_to_the_limit_are_signed() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let limit =
        usize::try_from(client.server_info().await.unwrap().limits.unwrap().max_message_bytes).unwrap();
    for backend in home.backends() {
        for key_type in ["ec-p256", "rsa-2048", "ed25519"] {
            let id = format!("{backend}.{key_type}");
            client.create_key(create(key_type, &id, backend)).await.unwrap();
            for length in [0, 1, 63, 64, 65, 4096, limit - 1, limit] {
                let message: bytes::Bytes = vec![0xa5; length].into();
                let signed = client.sign(sign(&id, message.clone())).await.unwrap();
                let verified = client.verify(verify(&id, message, signed.signature.clone())).await.unwrap();
                assert!(verified.valid, "{id} {length}");
                let other = vec![0xa4; length.max(1)];
                assert!(
                    !client.verify(verify(&id, other, signed.signature)).await.unwrap().valid,
                    "{id} {length}"
                );
            }
            let refused = client.sign(sign(&id, vec![0; limit + 1])).await;
            assert_eq!(outcome(&refused), "InvalidArgument PAYLOAD_TOO_LARGE");
        }
    }
}

/// The limit is what the configuration says.
#[tokio::test]
async fn the_limit_of_a_message_can_be_configured() {
    let home = Home::software(PROGRAM).configured("[limits]\nmessage_bytes = 10\n");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    assert!(client.sign(sign("key", "0123456789")).await.is_ok());
    let refused = client.sign(sign("key", "0123456789a")).await;
    assert_eq!(outcome(&refused), "InvalidArgument PAYLOAD_TOO_LARGE");
    assert!(refused.unwrap_err().to_string().contains("limit of 10"));
}

#[tokio::test]
async fn an_alias_names_the_key_in_every_call() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let (id, alias) = (format!("{backend}.key"), format!("{backend}.alias"));
        let mut request = create("ec-p256", &id, backend);
        request.params.as_mut().unwrap().aliases = vec![alias.clone()];
        client.create_key(request).await.unwrap();
        let signed = client.sign(sign(&alias, MESSAGE)).await.unwrap();
        assert_eq!(signed.key_id, id);
        let verified = client.verify(verify(&alias, MESSAGE, signed.signature)).await.unwrap();
        assert_eq!((verified.valid, &verified.key_id), (true, &id));
        let request = proto::GetKeyRequest { key_id: alias.clone(), ..Default::default() };
        assert_eq!(client.get_key(request).await.unwrap().id, id);
        assert_eq!(client.rotate_key(crate::ask::rotate(&alias)).await.unwrap().id, id);
        // One namespace: an alias is no free id, and an id no free alias.
        let refused = client.create_key(create("ed25519", &alias, backend)).await;
        assert_eq!(outcome(&refused), "AlreadyExists ALIAS_IN_USE");
        let mut request = create("ed25519", &format!("{backend}.other"), backend);
        request.params.as_mut().unwrap().aliases = vec![id];
        assert_eq!(outcome(&client.create_key(request).await), "AlreadyExists KEY_ALREADY_EXISTS");
    }
}
