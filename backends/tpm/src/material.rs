//! Key pairs that were made elsewhere, as a TPM takes them.
//!
//! What is wrong with one is found out here and not by the TPM: it is parsed, and its
//! halves are held against each other, by the library.

use aws_lc_rs::{
    encoding::{AsBigEndian, AsDer, EcPrivateKeyBin, Pkcs8V1Der, PublicKeyX509Der},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, RsaKeyPair,
    },
};
use pkcs8::{PrivateKeyInfoRef, der::Decode};
use skms_backend::{KeyType, PublicKey};
use tss_esapi::structures::{Auth, Digest, Sensitive};
use zeroize::Zeroizing;

use crate::template::Unique;

/// A key pair.
pub(crate) struct Material {
    pub(crate) public: PublicKey,
    pub(crate) unique: Unique,
    /// A prime of RSA, or the scalar of a curve.
    secret: Zeroizing<Vec<u8>>,
}

impl Material {
    /// From PKCS#8; `None` where it is no sound key of this type.
    pub(crate) fn read(key_type: KeyType, encoded: &[u8]) -> Option<Self> {
        if key_type.rsa_bits().is_some() {
            return rsa(key_type, encoded);
        }
        let pair = EcdsaKeyPair::from_pkcs8(curve(key_type)?, encoded).ok()?;
        let secret: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().ok()?;
        let point = pair.public_key().as_ref();
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(key_type.field_bytes()?)?;
        Some(Self {
            public: PublicKey::from_point(key_type, point).ok()?,
            unique: Unique::Point(x.to_vec(), y.to_vec()),
            secret: Zeroizing::new(secret.as_ref().to_vec()),
        })
    }

    /// The sensitive area, with the authorization value that the key is to have.
    pub(crate) fn sensitive(&self, auth: Auth) -> tss_esapi::Result<Sensitive> {
        let (auth_value, seed_value) = (auth, Digest::default());
        Ok(match self.unique {
            Unique::Rsa(_) => {
                Sensitive::Rsa { auth_value, seed_value, sensitive: self.secret.as_slice().try_into()? }
            }
            Unique::Point(..) | Unique::None => {
                Sensitive::Ecc { auth_value, seed_value, sensitive: self.secret.as_slice().try_into()? }
            }
        })
    }
}

fn rsa(key_type: KeyType, encoded: &[u8]) -> Option<Material> {
    let pair = RsaKeyPair::from_pkcs8(encoded).ok()?;
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
    let public = PublicKey::from_spki(key_type, spki.as_ref()).ok()?;
    let encoded: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    let info = PrivateKeyInfoRef::from_der(encoded.as_ref()).ok()?;
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).ok()?;
    // A key type says its exponent too, and a TPM wants primes of one length.
    let half = key_type.rsa_bits()? / 16;
    let primes = [key.prime1.as_bytes(), key.prime2.as_bytes()];
    if key.public_exponent.as_bytes() != [1, 0, 1] || primes.iter().any(|prime| prime.len() != half) {
        return None;
    }
    Some(Material {
        public,
        unique: Unique::Rsa(key.modulus.as_bytes().to_vec()),
        secret: Zeroizing::new(key.prime1.as_bytes().to_vec()),
    })
}

const fn curve(key_type: KeyType) -> Option<&'static EcdsaSigningAlgorithm> {
    match key_type {
        KeyType::EcP256 => Some(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyType::EcP384 => Some(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyType::EcP521 => Some(&ECDSA_P521_SHA512_FIXED_SIGNING),
        _ => None,
    }
}
