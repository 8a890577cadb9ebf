//! Key types: the material of a key, named for what it is and not for its use.
//!
//! Names are typed by hand, so they are lower-case kebab; the spellings of other
//! key management services are understood as well, and never given back.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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
}

impl KeyType {
    /// Every key type, in the order in which they are listed to people.
    pub const ALL: [Self; 8] = [
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EcP256,
        Self::EcP384,
        Self::EcP521,
        Self::EcSecp256k1,
        Self::Ed25519,
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
        }
    }

    /// The modulus length in bits, for RSA.
    #[must_use]
    pub const fn rsa_bits(self) -> Option<usize> {
        match self {
            Self::Rsa2048 => Some(2048),
            Self::Rsa3072 => Some(3072),
            Self::Rsa4096 => Some(4096),
            Self::EcP256 | Self::EcP384 | Self::EcP521 | Self::EcSecp256k1 | Self::Ed25519 => None,
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
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 | Self::Ed25519 => None,
        }
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
