//! The promises of the format.

use std::str::FromStr;

use skms_backend::{Secret, SignInput, SignatureAlgorithm};

use super::*;
use crate::{keys::Material, sign::sign};

const SECRET: &[u8] = b"stands for a PKCS#8 document";
const KEY_TYPE: KeyType = KeyType::EcP256;

/// A sealer whose master key is made from one number.
pub(crate) fn sealer(number: u8) -> Sealer {
    let mut master = [number; 32];
    master[0] = !number;
    Sealer::new(RootKey::parse(&Secret::new(master.to_vec())).unwrap()).unwrap()
}

fn bound() -> Bound {
    Bound { tag: tag(), key_type: KEY_TYPE, duty: Duty::Sign }
}

fn tag() -> KeyTag {
    KeyTag::from_str("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap()
}

/// Made from the text of the module documentation with another implementation
/// (pyca/cryptography): master key 00 01 … 1f, salt 80 81 … 9f, the tag of
/// [`tag`], and the private key of RFC 8032 §7.1 test 1 encoded as in RFC 8410 §7.
/// It must unseal in every release.
const VERSION_1: &str = concat!(
    "534b4d5301e8cccd690eb5e01f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
    "624370f44a3bcbc08774607273bdbcba8f1c5c4b5f8b212cc68fa352559e7e11a5a76dd44220ab593bfbd5472d",
    "7d5bb1df22008514ad0fdd93d687e44b7871dd",
);

#[test]
fn a_key_sealed_by_version_1_signs_as_its_specification_says() {
    let master: Vec<u8> = (0..32).collect();
    let sealer = Sealer::new(RootKey::parse(&Secret::new(master)).unwrap()).unwrap();
    let blob = hex::decode(VERSION_1).unwrap();
    let pkcs8 = sealer.unseal(Bound { key_type: KeyType::Ed25519, ..bound() }, &blob).unwrap();
    let key = Material::read(KeyType::Ed25519, Duty::Sign, &pkcs8).unwrap();
    let signature = sign(&key, SignatureAlgorithm::Ed25519, &SignInput::Message(Bytes::new())).unwrap();
    assert_eq!(
        hex::encode(signature.0),
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b\
         d25bf5f0595bbe24655141438e7a100b"
    );
}

#[test]
fn what_is_sealed_comes_back_and_is_not_in_the_blob() {
    let sealer = sealer(1);
    let blob = sealer.seal(bound(), SECRET).unwrap();
    assert_eq!(blob.len(), HEADER_BYTES + SECRET.len() + 16);
    assert!(!blob.windows(8).any(|window| SECRET.windows(8).any(|secret| secret == window)));
    assert_eq!(sealer.unseal(bound(), &blob).unwrap().as_slice(), SECRET);
}

#[test]
fn two_seals_of_one_key_have_nothing_in_common_but_the_header() {
    let sealer = sealer(1);
    let [one, other] = [(); 2].map(|()| sealer.seal(bound(), SECRET).unwrap());
    let fixed = HEADER_BYTES - SALT_BYTES;
    assert_eq!(one[..fixed], other[..fixed]);
    assert_ne!(one[fixed..HEADER_BYTES], other[fixed..HEADER_BYTES]);
    assert_ne!(one[HEADER_BYTES..], other[HEADER_BYTES..]);
}

#[test]
fn a_change_of_any_bit_is_detected() {
    let sealer = sealer(1);
    let blob = sealer.seal(bound(), SECRET).unwrap();
    for position in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.to_vec();
            changed[position] ^= 1 << bit;
            let expected = match position {
                0..4 => SealError::Malformed,
                4 => SealError::Version(changed[4]),
                5..13 => SealError::OtherMasterKey,
                _ => SealError::Forged,
            };
            assert_eq!(sealer.unseal(bound(), &changed), Err(expected), "byte {position}, bit {bit}");
        }
    }
}

#[test]
fn a_blob_cut_short_or_made_longer_is_detected() {
    let sealer = sealer(1);
    let blob = sealer.seal(bound(), SECRET).unwrap();
    for length in 0..blob.len() {
        let expected = if length < HEADER_BYTES { SealError::Malformed } else { SealError::Forged };
        assert_eq!(sealer.unseal(bound(), &blob[..length]), Err(expected), "{length} bytes");
    }
    let longer = [&blob[..], &[0]].concat();
    assert_eq!(sealer.unseal(bound(), &longer), Err(SealError::Forged));
}

#[test]
fn another_master_key_is_named_as_the_reason() {
    let blob = sealer(1).seal(bound(), SECRET).unwrap();
    assert_eq!(sealer(2).unseal(bound(), &blob), Err(SealError::OtherMasterKey));
}

#[test]
fn a_blob_opens_under_its_own_tag_type_and_duty_only() {
    let sealer = sealer(1);
    let blob = sealer.seal(bound(), SECRET).unwrap();
    assert_eq!(
        sealer.unseal(Bound { tag: KeyTag::random().unwrap(), ..bound() }, &blob),
        Err(SealError::Forged)
    );
    for other in KeyType::ALL.into_iter().filter(|other| *other != KEY_TYPE) {
        let other = Bound { key_type: other, ..bound() };
        assert_eq!(sealer.unseal(other, &blob), Err(SealError::Forged), "{other:?}");
    }
    for duty in [Duty::Encrypt, Duty::Mac, Duty::Agree] {
        let other = Bound { duty, ..bound() };
        assert_eq!(sealer.unseal(other, &blob), Err(SealError::Forged), "{other:?}");
    }
}
