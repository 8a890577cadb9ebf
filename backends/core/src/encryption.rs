//! Encryption algorithms, fully specified, and what goes in and out of them.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Hash, KeyType};

/// A fully specified encryption algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum EncryptionAlgorithm {
    /// AES-GCM (SP 800-38D) with keys of 128 bits and tags of 128 bits.
    Aes128Gcm,
    /// AES-GCM (SP 800-38D) with keys of 256 bits and tags of 128 bits.
    Aes256Gcm,
    /// RSAES-OAEP (RFC 8017) with SHA-256, MGF1 with the same hash, and no label.
    RsaOaepSha256,
    /// RSAES-OAEP with SHA-384, MGF1 with the same hash, and no label.
    RsaOaepSha384,
    /// RSAES-OAEP with SHA-512, MGF1 with the same hash, and no label.
    RsaOaepSha512,
    /// RSAES-OAEP with SHA-1, MGF1 with SHA-1, and no label: for devices that have no
    /// other. SHA-1 is not broken where OAEP uses it.
    RsaOaepSha1,
}

impl EncryptionAlgorithm {
    /// Every algorithm, in the order in which a key of its type prefers them.
    pub const ALL: [Self; 6] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::RsaOaepSha256,
        Self::RsaOaepSha384,
        Self::RsaOaepSha512,
        Self::RsaOaepSha1,
    ];

    /// The canonical name, for example `aes-256-gcm`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::RsaOaepSha256 => "rsa-oaep-sha256",
            Self::RsaOaepSha384 => "rsa-oaep-sha384",
            Self::RsaOaepSha512 => "rsa-oaep-sha512",
            Self::RsaOaepSha1 => "rsa-oaep-sha1",
        }
    }

    /// Whether this is RSAES-OAEP: anybody encrypts with the public half, and there is
    /// no associated data.
    #[must_use]
    pub const fn is_rsa_oaep(self) -> bool {
        self.oaep_digest_bytes().is_some()
    }

    /// The length of the digest of RSAES-OAEP, in bytes.
    const fn oaep_digest_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => None,
            Self::RsaOaepSha1 => Some(20),
            Self::RsaOaepSha256 => Some(Hash::Sha256.digest_bytes()),
            Self::RsaOaepSha384 => Some(Hash::Sha384.digest_bytes()),
            Self::RsaOaepSha512 => Some(Hash::Sha512.digest_bytes()),
        }
    }

    /// The longest plaintext that RSAES-OAEP takes with a key of this type
    /// (RFC 8017 §7.1.1); `None` for other algorithms and types.
    #[must_use]
    pub fn oaep_max_bytes(self, key_type: KeyType) -> Option<usize> {
        (key_type.rsa_bits()? / 8).checked_sub(2 * self.oaep_digest_bytes()? + 2)
    }

    /// Whether a key of this type can encrypt with this algorithm.
    #[must_use]
    pub fn fits(self, key_type: KeyType) -> bool {
        match self {
            Self::Aes128Gcm => key_type == KeyType::Aes128,
            Self::Aes256Gcm => key_type == KeyType::Aes256,
            _ => key_type.rsa_bits().is_some(),
        }
    }

    /// The algorithms that a key of this type can encrypt with, the preferred one first.
    pub fn of(key_type: KeyType) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |algorithm| algorithm.fits(key_type))
    }
}

impl fmt::Display for EncryptionAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<EncryptionAlgorithm> for &'static str {
    fn from(algorithm: EncryptionAlgorithm) -> Self {
        algorithm.name()
    }
}

impl TryFrom<String> for EncryptionAlgorithm {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl FromStr for EncryptionAlgorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("unknown encryption algorithm; known are {known}")
        })
    }
}

/// What the salt of a message is to the device that encrypts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Salting {
    /// 32 random bytes, of which the backend derives a key for this one message.
    Derived,
    /// The nonce of 12 bytes, which must never come twice under one key.
    Nonce,
}

impl Salting {
    /// The length of the salt in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Derived => 32,
            Self::Nonce => 12,
        }
    }
}

/// The nonce under which a key that cannot leave its device encrypts [`CHECK_BLOCKS`],
/// and nothing else.
pub const CHECK_NONCE: [u8; 12] = [0xff; 12];

/// What is encrypted under [`CHECK_NONCE`] to tell a key from every other.
pub const CHECK_BLOCKS: [u8; 32] = *b"skms check value of an AES key\0\0";

/// Tells a secret key from every other and says nothing else of it: what a version is
/// held against whenever its key is found again, and what ciphertexts commit to.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CheckValue(pub [u8; Self::BYTES]);

impl CheckValue {
    /// Its length in bytes.
    pub const BYTES: usize = 32;
}

impl fmt::Debug for CheckValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckValue({})", hex::encode(self.0))
    }
}

impl From<CheckValue> for String {
    fn from(value: CheckValue) -> Self {
        hex::encode(value.0)
    }
}

impl TryFrom<String> for CheckValue {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What is to be encrypted and authenticated.
#[derive(Clone)]
pub struct EncryptInput {
    /// The salt, as the device's [`Salting`] has it. Used for this message only.
    pub salt: Bytes,
    /// What stands before the commitment in the message; authenticated.
    pub header: Bytes,
    /// What the caller wants authenticated.
    pub aad: Bytes,
    /// The plaintext.
    pub plaintext: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// What the message was encrypted under: no other key opens it.
    pub commitment: CheckValue,
    /// The ciphertext, with the tag of 16 bytes at its end.
    pub ciphertext: Bytes,
}

/// What is to be decrypted.
#[derive(Clone)]
pub enum DecryptInput {
    /// A message of [`EncryptInput`].
    Authenticated {
        /// The salt.
        salt: Bytes,
        /// What stands before the commitment in the message.
        header: Bytes,
        /// What it says that it was encrypted under.
        commitment: CheckValue,
        /// What the caller wants authenticated.
        aad: Bytes,
        /// The ciphertext, with its tag.
        ciphertext: Bytes,
    },
    /// A ciphertext of RSAES-OAEP.
    Oaep(Bytes),
}

/// The associated data of a message: its header, its commitment, and what its caller
/// wants authenticated. The header says by itself where it ends.
#[must_use]
pub fn associated_data(header: &[u8], commitment: &CheckValue, aad: &[u8]) -> Vec<u8> {
    [header, &commitment.0, aad].concat()
}
