//! Key material that was made elsewhere, as the attributes of PKCS#11.
//!
//! What is wrong with it is found out here and not by the token: it is parsed, and its
//! halves are held against each other, by the library.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    encoding::{AsBigEndian, AsDer, Curve25519SeedBin, EcPrivateKeyBin, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        RsaKeyPair,
    },
};
use cryptoki::object::Attribute;
use der::{Decode, Encode, asn1::OctetStringRef};
use pkcs8::PrivateKeyInfoRef;
use skms_backend::{CHECK_BLOCKS, CHECK_NONCE, CheckValue, Hash, KeyType, Pin, PublicKey};
use zeroize::{Zeroize, Zeroizing};

use crate::cipher;

/// A key that is to be given to the token.
pub(crate) struct Material {
    /// What it must turn out to be there.
    pub(crate) pin: Pin,
    /// What is secret of it; wiped when it is dropped.
    pub(crate) hidden: Vec<Attribute>,
    /// Its public half, where there is one.
    pub(crate) public: Vec<Attribute>,
}

impl Material {
    /// From PKCS#8 for a key pair, or the bytes of a secret key; `None` where they are no
    /// sound key of this type, or the type cannot be taken over.
    pub(crate) fn read(key_type: KeyType, encoded: &[u8]) -> Option<Self> {
        if let Some(length) = key_type.secret_bytes() {
            if encoded.len() != length {
                return None;
            }
            let pin = Pin::Secret(check_value(key_type, encoded)?);
            return Some(Self { pin, hidden: vec![Attribute::Value(encoded.to_vec())], public: Vec::new() });
        }
        if key_type.rsa_bits().is_some() {
            return rsa(key_type, encoded);
        }
        let (secret, point) = if key_type == KeyType::Ed25519 {
            let pair = Ed25519KeyPair::from_pkcs8(encoded).ok()?;
            let seed: Curve25519SeedBin<'_> = pair.seed().ok()?.as_be_bytes().ok()?;
            (seed.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(curve(key_type)?, encoded).ok()?;
            let secret: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().ok()?;
            (secret.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
        };
        let secret = Attribute::Value(secret);
        let public = PublicKey::from_point(key_type, &point).ok()?;
        // A bare point is taken by some tokens, and then understood as something else.
        let point = OctetStringRef::new(&point).ok()?.to_der().ok()?;
        Some(Self { pin: Pin::Public(public), hidden: vec![secret], public: vec![Attribute::EcPoint(point)] })
    }

    /// A key for trials: nobody's, and in no object that outlives its session.
    pub(crate) fn sample(key_type: KeyType) -> Option<Self> {
        if let Some(length) = key_type.secret_bytes() {
            return Self::read(key_type, &vec![0x5a; length]);
        }
        match key_type {
            // RSA keys take long to make.
            KeyType::Rsa2048 => Self::read(key_type, include_bytes!("trial-rsa-2048.der")),
            KeyType::Ed25519 => {
                Self::read(key_type, Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?.as_ref())
            }
            _ => {
                let pair = EcdsaKeyPair::generate(curve(key_type)?).ok()?;
                Self::read(key_type, pair.to_pkcs8v1().ok()?.as_ref())
            }
        }
    }
}

impl Drop for Material {
    fn drop(&mut self) {
        for attribute in &mut self.hidden {
            wipe(attribute);
        }
    }
}

/// Wipes an attribute that holds something secret.
pub(crate) fn wipe(attribute: &mut Attribute) {
    match attribute {
        Attribute::Value(bytes)
        | Attribute::PrivateExponent(bytes)
        | Attribute::Prime1(bytes)
        | Attribute::Prime2(bytes)
        | Attribute::Exponent1(bytes)
        | Attribute::Exponent2(bytes)
        | Attribute::Coefficient(bytes) => bytes.zeroize(),
        _ => {}
    }
}

fn rsa(key_type: KeyType, encoded: &[u8]) -> Option<Material> {
    let pair = RsaKeyPair::from_pkcs8(encoded).ok()?;
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
    let public = PublicKey::from_spki(key_type, spki.as_ref()).ok()?;
    let encoded: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    let info = PrivateKeyInfoRef::from_der(encoded.as_ref()).ok()?;
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).ok()?;
    // A key type says its exponent too.
    if key.public_exponent.as_bytes() != [1, 0, 1] {
        return None;
    }
    let shared = [
        Attribute::Modulus(key.modulus.as_bytes().to_vec()),
        Attribute::PublicExponent(key.public_exponent.as_bytes().to_vec()),
    ];
    let mut hidden = shared.to_vec();
    hidden.extend([
        Attribute::PrivateExponent(key.private_exponent.as_bytes().to_vec()),
        Attribute::Prime1(key.prime1.as_bytes().to_vec()),
        Attribute::Prime2(key.prime2.as_bytes().to_vec()),
        Attribute::Exponent1(key.exponent1.as_bytes().to_vec()),
        Attribute::Exponent2(key.exponent2.as_bytes().to_vec()),
        Attribute::Coefficient(key.coefficient.as_bytes().to_vec()),
    ]);
    Some(Material { pin: Pin::Public(public), hidden, public: shared.to_vec() })
}

const fn curve(key_type: KeyType) -> Option<&'static EcdsaSigningAlgorithm> {
    match key_type {
        KeyType::EcP256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyType::EcP384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyType::EcP521 => Some(&ECDSA_P521_SHA512_FIXED_SIGNING),
        KeyType::EcSecp256k1 => Some(&ECDSA_P256K1_SHA256_FIXED_SIGNING),
        _ => None,
    }
}

/// The check value that the token must come to.
fn check_value(key_type: KeyType, key: &[u8]) -> Option<CheckValue> {
    let algorithm = match (key_type, key_type.mac_hash()) {
        (KeyType::Aes128, _) => &AES_128_GCM,
        (KeyType::Aes256, _) => &AES_256_GCM,
        (_, hash) => {
            let algorithm = match hash? {
                Hash::Sha256 => hmac::HMAC_SHA256,
                Hash::Sha384 => hmac::HMAC_SHA384,
                Hash::Sha512 => hmac::HMAC_SHA512,
            };
            let code = hmac::sign(&hmac::Key::new(algorithm, key), cipher::check_text());
            return Some(cipher::hashed(code.as_ref()));
        }
    };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
    let mut sealed = Zeroizing::new(CHECK_BLOCKS.to_vec());
    let nonce = Nonce::assume_unique_for_key(CHECK_NONCE);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut *sealed).ok()?;
    Some(cipher::hashed(&sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_sample_of_every_type_that_can_be_taken_over() {
        for key_type in KeyType::ALL {
            let none = matches!(key_type, KeyType::Rsa3072 | KeyType::Rsa4096 | KeyType::X25519);
            assert_eq!(Material::sample(key_type).is_none(), none || key_type.is_ml_dsa(), "{key_type}");
        }
    }

    #[test]
    fn material_of_another_type_or_length_is_none() {
        let rsa = include_bytes!("trial-rsa-2048.der");
        for key_type in KeyType::ALL.into_iter().filter(|key_type| *key_type != KeyType::Rsa2048) {
            assert!(Material::read(key_type, rsa).is_none(), "{key_type}");
        }
        assert!(Material::read(KeyType::Rsa2048, &rsa[..rsa.len() - 1]).is_none());
        assert!(Material::read(KeyType::Aes128, &[0; 15]).is_none());
        assert!(Material::read(KeyType::Aes256, &[0; 16]).is_none());
    }
}
