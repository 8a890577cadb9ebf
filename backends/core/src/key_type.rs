//! Key types: the material of a key, named for what it is and not for its use.
//!
//! Names are typed by hand, so they are lower-case kebab; the spellings of other
//! key management services are understood as well, and never given back.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Hash;

/// A kind of key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", into = "&'static str", try_from = "String")]
pub enum KeyType {
    /// RSA with a modulus of 2048 bits and the public exponent 65537.
    Rsa2048,
    /// RSA with a modulus of 3072 bits and the public exponent 65537.
    Rsa3072,
    /// RSA with a modulus of 4096 bits and the public exponent 65537.
    Rsa4096,
    /// NIST P-256 (secp256r1), FIPS 186-5.
    EcP256,
    /// NIST P-384 (secp384r1), FIPS 186-5.
    EcP384,
    /// NIST P-521 (secp521r1), FIPS 186-5.
    EcP521,
    /// secp256k1, SEC 2.
    EcSecp256k1,
    /// Ed25519, RFC 8032.
    Ed25519,
    /// X25519, RFC 7748.
    X25519,
    /// AES with a key of 128 bits, FIPS 197.
    Aes128,
    /// AES with a key of 256 bits, FIPS 197.
    Aes256,
    /// A key of 256 bits for HMAC with SHA-256, FIPS 198-1.
    HmacSha256,
    /// A key of 384 bits for HMAC with SHA-384, FIPS 198-1.
    HmacSha384,
    /// A key of 512 bits for HMAC with SHA-512, FIPS 198-1.
    HmacSha512,
    /// ML-DSA-44, FIPS 204.
    MlDsa44,
    /// ML-DSA-65, FIPS 204.
    MlDsa65,
    /// ML-DSA-87, FIPS 204.
    MlDsa87,
}

impl KeyType {
    /// Every key type, in the order in which they are listed to people.
    pub const ALL: [Self; 17] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::EcSecp256k1,
        Self::Ed25519,
        Self::X25519,
        Self::Aes128,
        Self::Aes256,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The canonical name, for example `ec-p256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::EcP256 => "ec-p256",
            Self::EcP384 => "ec-p384",
            Self::EcP521 => "ec-p521",
            Self::EcSecp256k1 => "ec-secp256k1",
            Self::Ed25519 => "ed25519",
            Self::X25519 => "x25519",
            Self::Aes128 => "aes-128",
            Self::Aes256 => "aes-256",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// The modulus length in bits, for RSA.
    #[must_use]
    pub const fn rsa_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            _ => None,
        }
    }

    /// The length of a field element in bytes, for curves in Weierstrass form:
    /// half of a P1363 signature.
    #[must_use]
    pub const fn field_bytes(self) -> Option<usize> {
        match self {
            Self::EcP256 | Self::EcSecp256k1 => Some(32),
            Self::EcP384 => Some(48),
            Self::EcP521 => Some(66),
            _ => None,
        }
    }

    /// The length of the key in bytes, for types whose keys are secret as a whole and
    /// have no public half.
    #[must_use]
    pub const fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128 => Some(16),
            Self::Aes256 | Self::HmacSha256 => Some(32),
            Self::HmacSha384 => Some(48),
            Self::HmacSha512 => Some(64),
            _ => None,
        }
    }

    /// Whether keys of this type have no public half.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        self.secret_bytes().is_some()
    }

    /// Whether it is a key of AES.
    #[must_use]
    pub const fn is_aes(self) -> bool {
        matches!(self, Self::Aes128 | Self::Aes256)
    }

    /// The hash of an HMAC key; its key is as long as the digest.
    #[must_use]
    pub const fn mac_hash(self) -> Option<Hash> {
        match self {
            Self::HmacSha256 => Some(Hash::Sha256),
            Self::HmacSha384 => Some(Hash::Sha384),
            Self::HmacSha512 => Some(Hash::Sha512),
            _ => None,
        }
    }

    /// Whether two keys of this type can agree on a secret.
    #[must_use]
    pub const fn agrees(self) -> bool {
        self.field_bytes().is_some() || matches!(self, Self::X25519)
    }

    /// Whether it is ML-DSA.
    #[must_use]
    pub const fn is_ml_dsa(self) -> bool {
        matches!(self, Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87)
    }

    /// Other spellings that are understood, in lower case with `-` for `_`.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Rsa2048 => &["rsa2048"],
            Self::Rsa3072 => &["rsa3072"],
            Self::Rsa4096 => &["rsa4096"],
            Self::EcP256 => &[
                "ecdsa-p256",
                "ecc-nist-p256",
                "p-256",
                "p256",
                "secp256r1",
                "prime256v1",
                "ec-sign-p256-sha256",
            ],
            Self::EcP384 => {
                &["ecdsa-p384", "ecc-nist-p384", "p-384", "p384", "secp384r1", "ec-sign-p384-sha384"]
            }
            Self::EcP521 => &["ecdsa-p521", "ecc-nist-p521", "p-521", "p521", "secp521r1"],
            Self::EcSecp256k1 => {
                &["ecdsa-secp256k1", "ecc-secg-p256k1", "secp256k1", "p-256k", "ec-sign-secp256k1-sha256"]
            }
            Self::Ed25519 => &["ecc-nist-edwards25519", "ec-sign-ed25519", "edwards25519"],
            Self::X25519 => &["curve25519"],
            Self::Aes128 => &["aes128", "aes-128-gcm", "aes128-gcm96"],
            Self::Aes256 => &["aes256", "aes-256-gcm", "aes256-gcm96", "symmetric-default"],
            Self::HmacSha256 => &["hmac-256", "hmac-sha-256"],
            Self::HmacSha384 => &["hmac-384", "hmac-sha-384"],
            Self::HmacSha512 => &["hmac-512", "hmac-sha-512"],
            Self::MlDsa44 => &["mldsa44", "pq-sign-ml-dsa-44"],
            Self::MlDsa65 => &["mldsa65", "pq-sign-ml-dsa-65"],
            Self::MlDsa87 => &["mldsa87", "pq-sign-ml-dsa-87"],
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<KeyType> for &'static str {
    fn from(key_type: KeyType) -> Self {
        key_type.name()
    }
}

impl TryFrom<String> for KeyType {
    type Error = UnknownKeyType;

    fn try_from(name: String) -> Result<Self, UnknownKeyType> {
        name.parse()
    }
}

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(name: &str) -> Result<Self, UnknownKeyType> {
        let plain = name.to_ascii_lowercase().replace('_', "-");
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.name() == plain || key_type.aliases().contains(&plain.as_str()))
            .ok_or(UnknownKeyType)
    }
}

/// A name that is no key type. It does not repeat the name: what a stranger
/// typed has no place in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown key type")]
pub struct UnknownKeyType;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_canonical_name_and_alias_names_one_key_type() {
        let mut seen = std::collections::BTreeMap::new();
        for key_type in KeyType::ALL {
            for name in std::iter::once(&key_type.name()).chain(key_type.aliases()) {
                assert_eq!(seen.insert(*name, key_type), None, "{name} is used twice");
                assert_eq!(name.parse(), Ok(key_type));
                assert_eq!(name.to_uppercase().replace('-', "_").parse(), Ok(key_type));
            }
        }
    }

    #[test]
    fn spellings_of_other_services_are_understood() {
        assert_eq!("ECC_NIST_P256".parse(), Ok(KeyType::EcP256));
        assert_eq!("RSA_2048".parse(), Ok(KeyType::Rsa2048));
        assert_eq!("ECC_SECG_P256K1".parse(), Ok(KeyType::EcSecp256k1));
        assert_eq!("rsa-1024".parse::<KeyType>(), Err(UnknownKeyType));
        assert_eq!("".parse::<KeyType>(), Err(UnknownKeyType));
    }
}
