//! Signature algorithms, fully specified: padding, curve and hash in one name.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::KeyType;

/// A hash function that a signature algorithm here is specified with (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl Hash {
    /// The length of a digest in bytes.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name as the standards write it, for example `SHA-256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The digest of `message`.
    #[must_use]
    pub fn digest(self, message: &[u8]) -> digest::Digest {
        digest::digest(self.algorithm(), message)
    }

    /// This hash as the cryptographic library names it.
    #[must_use]
    pub fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fully specified signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256; JOSE `ES256`.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384; JOSE `ES384`.
    EcdsaP384Sha384,
    /// ECDSA on P-521 with SHA-512; JOSE `ES512`.
    EcdsaP521Sha512,
    /// ECDSA on secp256k1 with SHA-256; JOSE `ES256K`.
    EcdsaSecp256k1Sha256,
    /// RSASSA-PSS, SHA-256, MGF1 with the same hash, salt of 32 bytes; JOSE `PS256`.
    RsaPssSha256,
    /// RSASSA-PSS, SHA-384, MGF1 with the same hash, salt of 48 bytes; JOSE `PS384`.
    RsaPssSha384,
    /// RSASSA-PSS, SHA-512, MGF1 with the same hash, salt of 64 bytes; JOSE `PS512`.
    RsaPssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256; JOSE `RS256`.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384; JOSE `RS384`.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512; JOSE `RS512`.
    RsaPkcs1Sha512,
    /// Pure Ed25519 (RFC 8032); JOSE `Ed25519`. Takes messages only.
    Ed25519,
    /// ML-DSA-44 (FIPS 204), hedged, with an empty context; JOSE `ML-DSA-44`.
    MlDsa44,
    /// ML-DSA-65 (FIPS 204), hedged, with an empty context; JOSE `ML-DSA-65`.
    MlDsa65,
    /// ML-DSA-87 (FIPS 204), hedged, with an empty context; JOSE `ML-DSA-87`.
    MlDsa87,
}

/// The scheme of an algorithm, apart from its hash and curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Ecdsa(KeyType),
    RsaPss,
    RsaPkcs1,
    /// Takes the message whole, and is of one key type.
    Whole(KeyType),
}

impl SignatureAlgorithm {
    /// Every algorithm, in the order in which a key of its type prefers them.
    pub const ALL: [Self; 14] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::EcdsaP521Sha512,
        Self::EcdsaSecp256k1Sha256,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
        Self::RsaPkcs1Sha512,
        Self::Ed25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The canonical name, for example `ecdsa-p256-sha256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::EcdsaP521Sha512 => "ecdsa-p521-sha512",
            Self::EcdsaSecp256k1Sha256 => "ecdsa-secp256k1-sha256",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPkcs1Sha384 => "rsa-pkcs1-sha384",
            Self::RsaPkcs1Sha512 => "rsa-pkcs1-sha512",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
        }
    }

    /// The `alg` name of JOSE (RFC 7518, RFC 8812, RFC 9864; ML-DSA as in draft-ietf-cose-dilithium).
    #[must_use]
    pub const fn jose(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ES256",
            Self::EcdsaP384Sha384 => "ES384",
            Self::EcdsaP521Sha512 => "ES512",
            Self::EcdsaSecp256k1Sha256 => "ES256K",
            Self::RsaPssSha256 => "PS256",
            Self::RsaPssSha384 => "PS384",
            Self::RsaPssSha512 => "PS512",
            Self::RsaPkcs1Sha256 => "RS256",
            Self::RsaPkcs1Sha384 => "RS384",
            Self::RsaPkcs1Sha512 => "RS512",
            Self::Ed25519 => "Ed25519",
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    /// The hash over the message, or `None` where the algorithm takes the message whole.
    #[must_use]
    pub const fn hash(self) -> Option<Hash> {
        match self {
            Self::EcdsaP256Sha256
            | Self::EcdsaSecp256k1Sha256
            | Self::RsaPssSha256
            | Self::RsaPkcs1Sha256 => Some(Hash::Sha256),
            Self::EcdsaP384Sha384 | Self::RsaPssSha384 | Self::RsaPkcs1Sha384 => Some(Hash::Sha384),
            Self::EcdsaP521Sha512 | Self::RsaPssSha512 | Self::RsaPkcs1Sha512 => Some(Hash::Sha512),
            Self::Ed25519 | Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87 => None,
        }
    }

    const fn scheme(self) -> Scheme {
        match self {
            Self::EcdsaP256Sha256 => Scheme::Ecdsa(KeyType::EcP256),
            Self::EcdsaP384Sha384 => Scheme::Ecdsa(KeyType::EcP384),
            Self::EcdsaP521Sha512 => Scheme::Ecdsa(KeyType::EcP521),
            Self::EcdsaSecp256k1Sha256 => Scheme::Ecdsa(KeyType::EcSecp256k1),
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => Scheme::RsaPss,
            Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512 => Scheme::RsaPkcs1,
            Self::Ed25519 => Scheme::Whole(KeyType::Ed25519),
            Self::MlDsa44 => Scheme::Whole(KeyType::MlDsa44),
            Self::MlDsa65 => Scheme::Whole(KeyType::MlDsa65),
            Self::MlDsa87 => Scheme::Whole(KeyType::MlDsa87),
        }
    }

    /// Whether this is ECDSA, the only family whose signatures have two encodings.
    #[must_use]
    pub const fn is_ecdsa(self) -> bool {
        matches!(self.scheme(), Scheme::Ecdsa(_))
    }

    /// Whether this is RSASSA-PSS.
    #[must_use]
    pub const fn is_rsa_pss(self) -> bool {
        matches!(self.scheme(), Scheme::RsaPss)
    }

    /// Whether a key of this type can sign with this algorithm.
    #[must_use]
    pub fn fits(self, key_type: KeyType) -> bool {
        match self.scheme() {
            Scheme::Ecdsa(only) | Scheme::Whole(only) => only == key_type,
            Scheme::RsaPss | Scheme::RsaPkcs1 => key_type.rsa_bits().is_some(),
        }
    }

    /// The algorithms that a key of this type can sign with, the preferred one first.
    pub fn of(key_type: KeyType) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |algorithm| algorithm.fits(key_type))
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<SignatureAlgorithm> for &'static str {
    fn from(algorithm: SignatureAlgorithm) -> Self {
        algorithm.name()
    }
}

impl TryFrom<String> for SignatureAlgorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = String;

    /// Understands the canonical name and the JOSE name, in any case.
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name) || known.jose().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::name).join(", ");
                format!("unknown signature algorithm; known are {known}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_key_type_and_every_key_pair_but_x25519_an_algorithm() {
        for key_type in KeyType::ALL {
            let signs = SignatureAlgorithm::of(key_type).next().is_some();
            assert_eq!(signs, !key_type.is_secret() && key_type != KeyType::X25519, "{key_type}");
        }
        for algorithm in SignatureAlgorithm::ALL {
            assert!(KeyType::ALL.into_iter().any(|key_type| algorithm.fits(key_type)), "{algorithm}");
        }
    }

    #[test]
    fn names_and_jose_names_read_back() {
        for algorithm in SignatureAlgorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
            assert_eq!(algorithm.jose().parse(), Ok(algorithm));
        }
    }
}
