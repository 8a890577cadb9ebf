//! Key ids and aliases: one grammar, one namespace.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The id or an alias of a key: `[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?`.
/// Case-sensitive, because folding has let callers past policies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 63;

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(id: &str) -> Result<Self, InvalidKeyId> {
        let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| outer(byte) || matches!(byte, b'.' | b'_' | b'-');
        let bytes = id.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            return Err(InvalidKeyId);
        };
        if bytes.len() > Self::MAX_BYTES
            || !outer(*first)
            || !outer(*last)
            || !bytes.iter().copied().all(inner)
        {
            return Err(InvalidKeyId);
        }
        Ok(Self(id.into()))
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(id: String) -> Result<Self, InvalidKeyId> {
        id.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 63 of `[a-z0-9._-]` and begin and end with a letter or a digit")]
pub struct InvalidKeyId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_kept() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "a.b", "a-b_c.d", "payroll-2026", &longest] {
            assert_eq!(good.parse::<KeyId>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "A", "-a", "a-", ".", "..", "a/b", "a b", "ä", "a\0", "_a", &too_long, "a\n"] {
            assert_eq!(bad.parse::<KeyId>(), Err(InvalidKeyId), "{bad:?}");
        }
    }
}
