//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8037, RFC 8812; ML-DSA as
//! in draft-ietf-cose-dilithium).
//!
//! `kid` is the SHA-256 thumbprint of RFC 7638: whoever has the key can compute it,
//! and no two versions share one. Written here and not by `jsonwebtoken`, whose types
//! know neither secp256k1, X25519 and ML-DSA nor the algorithms ES512 and ES256K.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use skms_backend::{EncryptionAlgorithm, Hash, KeyType, PublicKey, PublicNumbers, SignatureAlgorithm};

use crate::model::{Key, Purpose};

/// The members of a key, in the order of their names. All that are used here are texts.
type Jwk = BTreeMap<&'static str, String>;

/// The public key of a version of this key, in JSON. `None` where what was stored is
/// damaged.
pub(super) fn text(key: &Key, public_key: &PublicKey) -> Option<String> {
    let mut jwk = required(public_key)?;
    // Of nothing but what every key of its kind must have, ordered, and without spaces.
    let thumbprint = Hash::Sha256.digest(serde_json::to_string(&jwk).ok()?.as_bytes());
    jwk.insert("kid", BASE64.encode(thumbprint));
    let usage = if key.purpose == Purpose::SignVerify { "sig" } else { "enc" };
    jwk.insert("use", usage.to_owned());
    // With several, the key alone does not say which.
    match (key.signature_algorithms.as_slice(), key.encryption_algorithms.as_slice()) {
        ([only], []) => jwk.insert("alg", name(*only).to_owned()),
        ([], [only]) => jwk.insert("alg", oaep(*only)?.to_owned()),
        _ => None,
    };
    serde_json::to_string(&jwk).ok()
}

fn required(public_key: &PublicKey) -> Option<Jwk> {
    let key_type = public_key.key_type();
    let curve = || curve(key_type).map(str::to_owned);
    Some(match public_key.numbers()? {
        PublicNumbers::Rsa { modulus, exponent } => Jwk::from([
            ("kty", "RSA".to_owned()),
            ("n", BASE64.encode(modulus)),
            ("e", BASE64.encode(exponent)),
        ]),
        PublicNumbers::Point { x, y } => Jwk::from([
            ("kty", "EC".to_owned()),
            ("crv", curve()?),
            ("x", BASE64.encode(x)),
            ("y", BASE64.encode(y)),
        ]),
        // Its algorithm is a part of the key.
        PublicNumbers::Octets(bytes) if key_type.is_ml_dsa() => Jwk::from([
            ("kty", "AKP".to_owned()),
            ("alg", SignatureAlgorithm::of(key_type).next()?.jose().to_owned()),
            ("pub", BASE64.encode(bytes)),
        ]),
        PublicNumbers::Octets(bytes) => {
            Jwk::from([("kty", "OKP".to_owned()), ("crv", curve()?), ("x", BASE64.encode(bytes))])
        }
    })
}

/// The name of the curve, for types that are on one.
const fn curve(key_type: KeyType) -> Option<&'static str> {
    match key_type {
        KeyType::EcP256 => Some("P-256"),
        KeyType::EcP384 => Some("P-384"),
        KeyType::EcP521 => Some("P-521"),
        KeyType::EcSecp256k1 => Some("secp256k1"),
        KeyType::Ed25519 => Some("Ed25519"),
        KeyType::X25519 => Some("X25519"),
        _ => None,
    }
}

/// The name of RFC 8037 for Ed25519, and not yet the one of RFC 9864: many libraries
/// refuse a key with an algorithm that they do not know.
const fn name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::Ed25519 => "EdDSA",
        other => other.jose(),
    }
}

/// The name of RFC 7518 §4.1 and its registry; AES has no public keys.
const fn oaep(algorithm: EncryptionAlgorithm) -> Option<&'static str> {
    match algorithm {
        EncryptionAlgorithm::RsaOaepSha1 => Some("RSA-OAEP"),
        EncryptionAlgorithm::RsaOaepSha256 => Some("RSA-OAEP-256"),
        EncryptionAlgorithm::RsaOaepSha384 => Some("RSA-OAEP-384"),
        EncryptionAlgorithm::RsaOaepSha512 => Some("RSA-OAEP-512"),
        EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &Key, public_key: &PublicKey) -> serde_json::Value {
        serde_json::from_str(&text(key, public_key).unwrap()).unwrap()
    }

    fn of(public_key: &PublicKey, algorithms: &[SignatureAlgorithm]) -> serde_json::Value {
        read(&Key { signature_algorithms: algorithms.to_vec(), ..Key::sample("key") }, public_key)
    }

    fn decoded(text: &str) -> Vec<u8> {
        BASE64.decode(text).unwrap()
    }

    /// The example of RFC 7638 §3.1.
    #[test]
    fn the_thumbprint_of_an_rsa_key_is_that_of_the_specification() {
        let modulus = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECP\
                       ebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Qvz\
                       qY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We\
                       Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let key = PublicKey::from_rsa(KeyType::Rsa2048, &decoded(modulus), &[1, 0, 1]).unwrap();
        let all: Vec<_> = SignatureAlgorithm::of(KeyType::Rsa2048).collect();
        let mut expected = serde_json::json!({
            "kty": "RSA",
            "n": modulus,
            "e": "AQAB",
            "kid": "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            "use": "sig",
        });
        assert_eq!(of(&key, &all), expected);
        expected["alg"] = "PS256".into();
        assert_eq!(of(&key, &[SignatureAlgorithm::RsaPssSha256]), expected);
    }

    /// The example of RFC 8037 §A.2 and §A.3.
    #[test]
    fn the_thumbprint_of_an_ed25519_key_is_that_of_the_specification() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = PublicKey::from_point(KeyType::Ed25519, &decoded(x)).unwrap();
        let expected = serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": x,
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
            "use": "sig",
            "alg": "EdDSA",
        });
        assert_eq!(of(&key, &[SignatureAlgorithm::Ed25519]), expected);
    }

    /// The example of RFC 7517 §A.1.
    #[test]
    fn a_point_is_written_as_two_coordinates() {
        let (x, y) =
            ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM");
        let point = [vec![4], decoded(x), decoded(y)].concat();
        let key = PublicKey::from_point(KeyType::EcP256, &point).unwrap();
        let jwk = of(&key, &[SignatureAlgorithm::EcdsaP256Sha256]);
        for (name, value) in [("kty", "EC"), ("crv", "P-256"), ("x", x), ("y", y), ("alg", "ES256")] {
            assert_eq!(jwk[name], value, "{name}");
        }
    }

    #[test]
    fn a_key_that_encrypts_or_agrees_says_so() {
        let encrypts = |algorithms: &[EncryptionAlgorithm]| Key {
            purpose: Purpose::EncryptDecrypt,
            signature_algorithms: Vec::new(),
            encryption_algorithms: algorithms.to_vec(),
            ..Key::sample("key")
        };
        let rsa = PublicKey::from_rsa(KeyType::Rsa2048, &[0xff; 256], &[1, 0, 1]).unwrap();
        let jwk = read(&encrypts(&[EncryptionAlgorithm::RsaOaepSha256]), &rsa);
        assert_eq!((&jwk["use"], &jwk["alg"]), (&"enc".into(), &"RSA-OAEP-256".into()));
        let several = [EncryptionAlgorithm::RsaOaepSha256, EncryptionAlgorithm::RsaOaepSha1];
        assert_eq!(read(&encrypts(&several), &rsa).get("alg"), None);
        let agrees = Key { purpose: Purpose::KeyAgreement, ..encrypts(&[]) };
        let jwk = read(&agrees, &PublicKey::from_point(KeyType::X25519, &[7; 32]).unwrap());
        assert_eq!((&jwk["kty"], &jwk["crv"], &jwk["use"]), (&"OKP".into(), &"X25519".into(), &"enc".into()));
        assert_eq!(jwk.get("alg"), None);
    }
}
