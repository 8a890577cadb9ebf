//! The master key, under which every other key is sealed.
//!
//! **Invariant:** no error repeats any part of it.

use skms_backend::{Secret, SecretRef, SecretRefError};
use zeroize::Zeroizing;

/// The length of the master key in bytes: that of an AES-256 key.
pub(crate) const BYTES: usize = 32;

/// The master key: 32 bytes that nobody can guess.
pub(crate) struct MasterKey(Zeroizing<[u8; BYTES]>);

impl MasterKey {
    /// Reads the master key from where it is kept.
    pub(crate) fn read(reference: &SecretRef) -> Result<Self, SecretRefError> {
        let secret = reference.read()?;
        Self::parse(&secret)
            .map_err(|problem| SecretRefError::unusable(reference, format!("{problem}; {REMEDY}")))
    }

    pub(crate) fn parse(secret: &Secret) -> Result<Self, Malformed> {
        // 32 raw bytes may end in a line feed of their own; anything longer that
        // ends in one was written by an editor.
        let bytes = match secret.expose() {
            raw if raw.len() == BYTES => raw,
            _ => secret.without_line_feed(),
        };
        let hexadecimal = bytes.iter().all(u8::is_ascii_hexdigit);
        let mut key = Zeroizing::new([0; BYTES]);
        match bytes.len() {
            // Random bytes look like this once in 10³⁴ times, half a key often.
            BYTES if hexadecimal => return Err(Malformed::Half),
            BYTES => key.copy_from_slice(bytes),
            64 => hex::decode_to_slice(bytes, &mut *key).map_err(|_| Malformed::Digits)?,
            length => return Err(Malformed::Length(length)),
        }
        if key.iter().all(|byte| Some(byte) == key.first()) {
            return Err(Malformed::Constant);
        }
        Ok(Self(key))
    }

    /// The bytes. Only the derivation of keys may look at them.
    pub(crate) fn expose(&self) -> &[u8; BYTES] {
        &self.0
    }
}

/// Hexadecimal, because it survives being looked at and copied.
const REMEDY: &str = "make a new one with `openssl rand -hex 32`; a lost one cannot be replaced";

/// What is wrong with the bytes of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("it has {0} bytes and must have 32, or be 64 hexadecimal digits")]
    Length(usize),
    #[error("it has 64 bytes, of which some are no hexadecimal digits")]
    Digits,
    #[error("it is 32 hexadecimal digits, which are half a key; 64 are needed")]
    Half,
    #[error("all its bytes are the same")]
    Constant,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<[u8; BYTES], Malformed> {
        MasterKey::parse(&Secret::new(bytes.to_vec())).map(|key| *key.expose())
    }

    #[test]
    fn raw_bytes_and_hexadecimal_digits_are_the_same_key() {
        let key: [u8; BYTES] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        assert_eq!(parse(&key), Ok(key));
        assert_eq!(parse(hex::encode(key).as_bytes()), Ok(key));
        assert_eq!(parse(format!("{}\n", hex::encode(key)).as_bytes()), Ok(key));
        assert_eq!(parse(hex::encode_upper(key).as_bytes()), Ok(key));
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        assert_eq!(parse(b"passphrase"), Err(Malformed::Length(10)));
        assert_eq!(parse(&[7; 31]), Err(Malformed::Length(31)));
        assert_eq!(parse("zz".repeat(32).as_bytes()), Err(Malformed::Digits));
        assert_eq!(parse(b"00112233445566778899aabbccddeeff"), Err(Malformed::Half));
        assert_eq!(parse(&[0; 32]), Err(Malformed::Constant));
        assert_eq!(parse("ff".repeat(32).as_bytes()), Err(Malformed::Constant));
    }
}
