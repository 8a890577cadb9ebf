//! Keys as a backend sees them: a specification, a random tag, an opaque reference.

use std::{fmt, str::FromStr};

use aws_lc_rs::rand;
use bytes::Bytes;

use crate::{CheckValue, EncryptionAlgorithm, Hash, KeyType, PublicKey, SignatureAlgorithm};

/// The random name under which a key is made on a device (the `CKA_ID` of a token).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyTag([u8; Self::BYTES]);

impl KeyTag {
    /// The length of a tag in bytes: 128 random bits never meet again.
    pub const BYTES: usize = 16;

    /// A new random tag; `None` when the system gives no random bytes.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        rand::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The tag with these bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The bytes of the tag.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyTag({self})")
    }
}

impl FromStr for KeyTag {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; Self::BYTES];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What kind of key is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The material.
    pub key_type: KeyType,
    /// What it is for, and for nothing else.
    pub usage: Usage,
}

/// What a key is for; a device that can pins the key to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Signing with these algorithms; none: whatever the device offers.
    Sign(Vec<SignatureAlgorithm>),
    /// Encrypting and decrypting with these algorithms.
    Encrypt(Vec<EncryptionAlgorithm>),
    /// HMAC with the hash of the key type.
    Mac,
    /// Agreeing on secrets (ECDH, X25519).
    Agree,
}

/// What a key must turn out to be wherever it is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The private half of this.
    Public(PublicKey),
    /// The secret key that has this check value.
    Secret(CheckValue),
}

impl Pin {
    /// The public half, where there is one.
    #[must_use]
    pub const fn public_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Public(key) => Some(key),
            Self::Secret(_) => None,
        }
    }

    /// The check value, where there is no public half.
    #[must_use]
    pub const fn check_value(&self) -> Option<&CheckValue> {
        match self {
            Self::Public(_) => None,
            Self::Secret(value) => Some(value),
        }
    }
}

/// A key on a device, as the catalog remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// The tag under which the key was made.
    pub tag: KeyTag,
    /// The material.
    pub key_type: KeyType,
    /// What the backend gave to be kept beside the tag: a sealed private key
    /// where the device stores none; where to find a key that was taken over; else
    /// nothing.
    pub blob: Bytes,
    /// What it must turn out to be; `None` while it is not made yet.
    pub pin: Option<Pin>,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct GeneratedKey {
    /// To be kept in [`KeyRef::pin`].
    pub pin: Pin,
    /// To be kept in [`KeyRef::blob`].
    pub blob: Bytes,
}

/// Which keys to look for. Only keys that this gateway made are ever looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The key made under one tag.
    Tag(KeyTag),
    /// Every key of this gateway.
    Own,
}

/// A key found on a device.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// The tag under which it was made.
    pub tag: KeyTag,
    /// What it is; `None` where only a part of the key is left, or where its
    /// attributes are not those a key of the gateway must have. Such a key cannot be
    /// used, only destroyed.
    pub pin: Option<Pin>,
    /// To be kept in [`KeyRef::blob`].
    pub blob: Bytes,
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub enum SignInput {
    /// A message; it is hashed where the algorithm hashes.
    Message(Bytes),
    /// A digest made by the caller, of the length of its hash.
    Digest {
        /// The hash it was made with.
        hash: Hash,
        /// The digest.
        value: Bytes,
    },
}

/// A bare signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(pub Bytes);
