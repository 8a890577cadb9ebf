//! Keys as a backend sees them: a specification, a random tag, an opaque reference.

use std::{fmt, str::FromStr};

use aws_lc_rs::rand;
use bytes::Bytes;

use crate::{Hash, KeyType, PublicKey, SignatureAlgorithm};

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

/// What kind of key is to be made. Every key has one purpose; so far that is signing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// The material.
    pub key_type: KeyType,
    /// What the key will sign with; a device that can pins the key to these.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
}

/// A key on a device, as the catalog remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRef {
    /// The tag under which the key was made.
    pub tag: KeyTag,
    /// The material.
    pub key_type: KeyType,
    /// What the backend gave to be kept beside the tag: a sealed private key
    /// where the device stores none, else nothing.
    pub blob: Bytes,
}

/// A key that was just made.
#[derive(Clone, Debug)]
pub struct GeneratedKey {
    /// The public half.
    pub public_key: PublicKey,
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
    /// The public half; `None` where only a part of the key is left, or where
    /// its attributes are not those a key of the gateway must have. Such a key
    /// cannot be used, only destroyed.
    pub public_key: Option<PublicKey>,
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
