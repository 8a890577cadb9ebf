//! Keys that are kept in a file and from which others are derived: the master key of a
//! software backend, and the key of a backup.
//!
//! **Invariant:** no error repeats any part of one.

use zeroize::Zeroizing;

use crate::{Secret, SecretRef, SecretRefError};

/// 32 bytes that nobody can guess, written as they are or as 64 hexadecimal digits.
pub struct RootKey(Zeroizing<[u8; Self::BYTES]>);

impl RootKey {
    /// The length in bytes: that of an AES-256 key.
    pub const BYTES: usize = 32;

    /// Reads the key from where it is kept.
    ///
    /// # Errors
    /// Says which reference is of no use and why; never what it holds.
    pub fn read(reference: &SecretRef) -> Result<Self, SecretRefError> {
        let secret = reference.read()?;
        Self::parse(&secret)
            .map_err(|problem| SecretRefError::unusable(reference, format!("{problem}; {REMEDY}")))
    }

    /// The key in these bytes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(secret: &Secret) -> Result<Self, MalformedRootKey> {
        // 32 raw bytes may end in a line feed of their own; anything longer that
        // ends in one was written by an editor.
        let bytes = match secret.expose() {
            raw if raw.len() == Self::BYTES => raw,
            _ => secret.without_line_feed(),
        };
        let hexadecimal = bytes.iter().all(u8::is_ascii_hexdigit);
        let mut key = Zeroizing::new([0; Self::BYTES]);
        match bytes.len() {
            // Random bytes look like this once in 10³⁴ times, half a key often.
            Self::BYTES if hexadecimal => return Err(MalformedRootKey::Half),
            Self::BYTES => key.copy_from_slice(bytes),
            64 => hex::decode_to_slice(bytes, &mut *key).map_err(|_| MalformedRootKey::Digits)?,
            length => return Err(MalformedRootKey::Length(length)),
        }
        if key.iter().all(|byte| Some(byte) == key.first()) {
            return Err(MalformedRootKey::Constant);
        }
        Ok(Self(key))
    }

    /// The bytes. Only the derivation of keys may look at them.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

/// Hexadecimal, because it survives being looked at and copied.
const REMEDY: &str = "make a new one with `openssl rand -hex 32`; a lost one cannot be replaced";

/// What is wrong with the bytes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRootKey {
    /// Too few, or too many.
    #[error("it has {0} bytes and must have 32, or be 64 hexadecimal digits")]
    Length(usize),
    /// Not all of them are digits.
    #[error("it has 64 bytes, of which some are no hexadecimal digits")]
    Digits,
    /// Half a key.
    #[error("it is 32 hexadecimal digits, which are half a key; 64 are needed")]
    Half,
    /// Nothing that was made at random.
    #[error("all its bytes are the same")]
    Constant,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<[u8; RootKey::BYTES], MalformedRootKey> {
        RootKey::parse(&Secret::new(bytes.to_vec())).map(|key| *key.expose())
    }

    #[test]
    fn raw_bytes_and_hexadecimal_digits_are_the_same_key() {
        let key: [u8; RootKey::BYTES] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(parse(&key), Ok(key));
        assert_eq!(parse(hex::encode(key).as_bytes()), Ok(key));
        assert_eq!(parse(format!("{}\n", hex::encode(key)).as_bytes()), Ok(key));
        assert_eq!(parse(hex::encode_upper(key).as_bytes()), Ok(key));
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        assert_eq!(parse(b"passphrase"), Err(MalformedRootKey::Length(10)));
        assert_eq!(parse(&[7; 31]), Err(MalformedRootKey::Length(31)));
        assert_eq!(parse("zz".repeat(32).as_bytes()), Err(MalformedRootKey::Digits));
        assert_eq!(parse(b"00112233445566778899aabbccddeeff"), Err(MalformedRootKey::Half));
        assert_eq!(parse(&[0; 32]), Err(MalformedRootKey::Constant));
        assert_eq!(parse("ff".repeat(32).as_bytes()), Err(MalformedRootKey::Constant));
    }
}
