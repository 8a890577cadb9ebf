//! The form of a ciphertext.
//!
//! | bytes | what |
//! |---|---|
//! | 3 | `SKM` in ASCII |
//! | 1 | the version of the form, 1 |
//! | 1 | the suite: see [`Suite`] |
//! | 1 | flags; bit 0: the associated data was an encryption context; bit 1: it is the data key of a stream |
//! | 16 | the number of the key (`Key::uid`) |
//! | 4 | the version of the key, big-endian |
//! | 1 | the length of the salt |
//! | ≤ 32 | the salt |
//! | 32 | the commitment: no other key opens the message |
//! | rest | the ciphertext, with the tag of 16 bytes at its end |
//!
//! Everything before the ciphertext is authenticated with it, and then what the caller
//! wants authenticated ([`skms_backend::associated_data`]).
//!
//! Compatibility: whatever a release has encrypted, every later release decrypts.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use skms_backend::{CheckValue, EncryptionAlgorithm, Salting};
use uuid::Uuid;

const MAGIC: &[u8; 3] = b"SKM";
const FORM: u8 = 1;
/// The associated data was an encryption context.
const CONTEXT: u8 = 1;
/// The plaintext is the data key of a stream.
const STREAM: u8 = 2;
/// The length of an authentication tag.
const TAG_BYTES: usize = 16;
/// What a ciphertext is longer than its plaintext, at most.
pub const OVERHEAD: usize = MAGIC.len() + 3 + 16 + 4 + 1 + 32 + CheckValue::BYTES + TAG_BYTES;

/// How a message was encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) algorithm: EncryptionAlgorithm,
    pub(super) salting: Salting,
}

impl Suite {
    const fn number(self) -> Option<u8> {
        match (self.algorithm, self.salting) {
            (EncryptionAlgorithm::Aes256Gcm, Salting::Derived) => Some(1),
            (EncryptionAlgorithm::Aes256Gcm, Salting::Nonce) => Some(2),
            (EncryptionAlgorithm::Aes128Gcm, Salting::Derived) => Some(3),
            (EncryptionAlgorithm::Aes128Gcm, Salting::Nonce) => Some(4),
            _ => None,
        }
    }

    const fn of_number(number: u8) -> Option<Self> {
        let (algorithm, salting) = match number {
            1 => (EncryptionAlgorithm::Aes256Gcm, Salting::Derived),
            2 => (EncryptionAlgorithm::Aes256Gcm, Salting::Nonce),
            3 => (EncryptionAlgorithm::Aes128Gcm, Salting::Derived),
            4 => (EncryptionAlgorithm::Aes128Gcm, Salting::Nonce),
            _ => return None,
        };
        Some(Self { algorithm, salting })
    }
}

/// What stands before the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) suite: Suite,
    /// Whether the associated data was an encryption context.
    pub(super) context: bool,
    /// Whether the plaintext is the data key of a stream.
    pub(super) stream: bool,
    pub(super) uid: Uuid,
    pub(super) version: u32,
    pub(super) salt: Bytes,
}

impl Header {
    /// The bytes; `None` where there is no such suite.
    pub(super) fn encode(&self) -> Option<Bytes> {
        let mut bytes = BytesMut::with_capacity(OVERHEAD);
        bytes.put_slice(MAGIC);
        bytes.put_u8(FORM);
        bytes.put_u8(self.suite.number()?);
        let flags = [(self.context, CONTEXT), (self.stream, STREAM)];
        bytes.put_u8(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        bytes.put_slice(self.uid.as_bytes());
        bytes.put_u32(self.version);
        bytes.put_u8(u8::try_from(self.salt.len()).ok()?);
        bytes.put_slice(&self.salt);
        Some(bytes.freeze())
    }
}

/// A ciphertext, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) header: Header,
    /// The bytes of the header.
    pub(super) encoded: Bytes,
    pub(super) commitment: CheckValue,
    pub(super) ciphertext: Bytes,
}

impl Envelope {
    /// Takes a ciphertext apart; `None` where it is none of this gateway.
    pub(super) fn decode(whole: &Bytes) -> Option<Self> {
        let mut rest = whole.clone();
        let magic = taken(&mut rest, MAGIC.len())?;
        let [form, suite, flags] = fixed(&mut rest)?;
        if *magic != *MAGIC || form != FORM || flags & !(CONTEXT | STREAM) != 0 {
            return None;
        }
        let suite = Suite::of_number(suite)?;
        let uid = Uuid::from_bytes(fixed(&mut rest)?);
        let version = u32::from_be_bytes(fixed(&mut rest)?);
        let [length] = fixed(&mut rest)?;
        if usize::from(length) != suite.salting.bytes() {
            return None;
        }
        let salt = taken(&mut rest, length.into())?;
        let encoded = whole.slice(..whole.len() - rest.len());
        let commitment = CheckValue(fixed(&mut rest)?);
        if rest.len() < TAG_BYTES {
            return None;
        }
        let (context, stream) = (flags & CONTEXT != 0, flags & STREAM != 0);
        let header = Header { suite, context, stream, uid, version, salt };
        Some(Self { header, encoded, commitment, ciphertext: rest })
    }

    /// The whole.
    pub(super) fn assemble(header: &[u8], commitment: &CheckValue, ciphertext: &[u8]) -> Bytes {
        let mut whole = BytesMut::with_capacity(header.len() + CheckValue::BYTES + ciphertext.len());
        whole.put_slice(header);
        whole.put_slice(&commitment.0);
        whole.put_slice(ciphertext);
        whole.freeze()
    }
}

fn taken(rest: &mut Bytes, length: usize) -> Option<Bytes> {
    (rest.remaining() >= length).then(|| rest.split_to(length))
}

fn fixed<const LENGTH: usize>(rest: &mut Bytes) -> Option<[u8; LENGTH]> {
    taken(rest, LENGTH)?.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(number: u8, context: bool) -> Header {
        let suite = Suite::of_number(number).unwrap();
        let salt = Bytes::from(vec![7; suite.salting.bytes()]);
        Header {
            suite,
            context,
            stream: false,
            uid: Uuid::from_u128(0x0123_4567),
            version: 0x0a0b_0c0d,
            salt,
        }
    }

    fn whole(header: &Header, length: usize) -> Bytes {
        Envelope::assemble(&header.encode().unwrap(), &CheckValue([9; 32]), &vec![5; length])
    }

    /// In every release.
    #[test]
    fn the_form_is_the_one_that_is_written_down() {
        let expected = format!(
            "534b4d010101{}0a0b0c0d20{}{}{}",
            "00000000000000000000000001234567",
            "07".repeat(32),
            "09".repeat(32),
            "05".repeat(18)
        );
        assert_eq!(hex::encode(whole(&header(1, true), 18)), expected);
        assert_eq!(hex::encode(header(2, false).encode().unwrap()).len(), 2 * (27 + 12));
    }

    #[test]
    fn what_is_put_together_is_taken_apart() {
        for number in 1..=4 {
            for context in [false, true] {
                let header = header(number, context);
                let envelope = Envelope::decode(&whole(&header, 20)).unwrap();
                assert_eq!(envelope.encoded, header.encode().unwrap());
                assert_eq!((envelope.header, envelope.commitment.0), (header, [9; 32]));
                assert_eq!(envelope.ciphertext, vec![5; 20]);
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_none() {
        for number in [1, 2] {
            let whole = whole(&header(number, false), TAG_BYTES);
            assert!(Envelope::decode(&whole).is_some());
            for length in 0..whole.len() {
                assert_eq!(Envelope::decode(&whole.slice(..length)), None, "{length} bytes");
            }
        }
    }

    #[test]
    fn other_forms_suites_and_flags_are_none() {
        let whole = whole(&header(1, false), 32);
        for (at, value) in [(0, b's'), (3, 0), (3, 2), (4, 0), (4, 5), (5, 4), (5, 0xff), (26, 12), (26, 33)]
        {
            let mut changed = whole.to_vec();
            changed[at] = value;
            assert_eq!(Envelope::decode(&changed.into()), None, "byte {at} = {value}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, number in 1u8..=4, length in 0usize..64) {
            let _ = Envelope::decode(&bytes.clone().into());
            let start = header(number, false).encode().unwrap();
            let _ = Envelope::decode(&[&start[..], &bytes[..bytes.len().min(length)]].concat().into());
        }
    }
}
