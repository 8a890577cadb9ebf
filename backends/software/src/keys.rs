//! Private keys in memory: how they are made, encoded and read.
//!
//! The library wipes them when they are dropped.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::{KeyRejected, Unspecified},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        RsaKeyPair,
    },
};
use skms_backend::{KeyType, MalformedPublicKey, PublicKey};
use zeroize::Zeroizing;

/// A private key, ready for use.
pub(crate) enum PrivateKey {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What is behind a key type in the library.
enum Kind {
    Rsa(KeySize),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
}

const fn kind(key_type: KeyType) -> Kind {
    match key_type {
        KeyType::Rsa2048 => Kind::Rsa(KeySize::Rsa2048),
        KeyType::Rsa3072 => Kind::Rsa(KeySize::Rsa3072),
        KeyType::Rsa4096 => Kind::Rsa(KeySize::Rsa4096),
        KeyType::EcP256 => Kind::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyType::EcP384 => Kind::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyType::EcP521 => Kind::Ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
        KeyType::EcSecp256k1 => Kind::Ecdsa(&ECDSA_P256K1_SHA256_FIXED_SIGNING),
        KeyType::Ed25519 => Kind::Ed25519,
    }
}

impl PrivateKey {
    /// A new key; for RSA this takes seconds.
    pub(crate) fn generate(key_type: KeyType) -> Result<Self, Unspecified> {
        Ok(match kind(key_type) {
            Kind::Rsa(size) => Self::Rsa(RsaKeyPair::generate(size)?),
            Kind::Ecdsa(curve) => Self::Ecdsa(EcdsaKeyPair::generate(curve)?),
            Kind::Ed25519 => Self::Ed25519(Ed25519KeyPair::generate()?),
        })
    }

    /// From PKCS#8; refuses a key of any other type.
    pub(crate) fn from_pkcs8(key_type: KeyType, pkcs8: &[u8]) -> Result<Self, UnfitKey> {
        Ok(match kind(key_type) {
            Kind::Rsa(size) => {
                let pair = RsaKeyPair::from_pkcs8(pkcs8)?;
                if pair.public_modulus_len() != size.len() {
                    return Err(UnfitKey);
                }
                Self::Rsa(pair)
            }
            Kind::Ecdsa(curve) => Self::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, pkcs8)?),
            Kind::Ed25519 => Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8)?),
        })
    }

    /// The PKCS#8 v1 `PrivateKeyInfo`, which every implementation reads.
    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        // What the library gives is wiped on drop, like what is given here.
        Ok(Zeroizing::new(match self {
            Self::Rsa(pair) => {
                let encoded: Pkcs8V1Der<'_> = pair.as_der()?;
                encoded.as_ref().to_vec()
            }
            Self::Ecdsa(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.to_pkcs8v1()?.as_ref().to_vec(),
        }))
    }

    /// The public half, checked to be of the expected type.
    pub(crate) fn public_key(&self, key_type: KeyType) -> Result<PublicKey, MalformedPublicKey> {
        match self {
            Self::Rsa(pair) => {
                let spki: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().map_err(|_| MalformedPublicKey)?;
                PublicKey::from_spki(key_type, spki.as_ref())
            }
            Self::Ecdsa(pair) => PublicKey::from_point(key_type, pair.public_key().as_ref()),
            Self::Ed25519(pair) => PublicKey::from_point(key_type, pair.public_key().as_ref()),
        }
    }
}

/// Bytes that are no private key of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no private key of the expected type")]
pub(crate) struct UnfitKey;

impl From<KeyRejected> for UnfitKey {
    /// The library's reason tells nothing that an operator could act on.
    fn from(_: KeyRejected) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RSA-4096 takes seconds and differs from the others in nothing but size.
    const FAST: [KeyType; 6] = [
        KeyType::Rsa2048,
        KeyType::EcP256,
        KeyType::EcP384,
        KeyType::EcP521,
        KeyType::EcSecp256k1,
        KeyType::Ed25519,
    ];

    #[test]
    fn an_encoded_key_reads_back_as_the_same_key() {
        for key_type in FAST {
            let key = PrivateKey::generate(key_type).unwrap();
            let read = PrivateKey::from_pkcs8(key_type, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(read.public_key(key_type), key.public_key(key_type));
            assert!(key.public_key(key_type).is_ok(), "{key_type}");
        }
    }

    #[test]
    fn a_key_of_another_type_is_refused() {
        for key_type in FAST {
            let encoded = PrivateKey::generate(key_type).unwrap().to_pkcs8().unwrap();
            for other in KeyType::ALL.into_iter().filter(|other| *other != key_type) {
                assert!(PrivateKey::from_pkcs8(other, &encoded).is_err(), "{key_type} as {other}");
            }
        }
    }

    #[test]
    fn a_truncated_key_is_refused() {
        for key_type in FAST {
            let encoded = PrivateKey::generate(key_type).unwrap().to_pkcs8().unwrap();
            for length in 0..encoded.len() {
                assert!(PrivateKey::from_pkcs8(key_type, &encoded[..length]).is_err(), "{key_type} {length}");
            }
        }
    }
}
