//! What is too long for one message, in segments that are encrypted one by one.
//!
//! This is the STREAM construction (<https://eprint.iacr.org/2015/189>) over AES-256-GCM. The
//! nonce of a segment is three zero bytes, its number in eight bytes, and a byte that is 1
//! for the last segment and else 0: segments cannot be left out, moved, repeated or added,
//! and the end cannot be cut off.
//!
//! **Invariant:** a key seals one stream. Whoever makes a [`Segments`] sees to that.

use aws_lc_rs::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
};

/// The length of a segment in bytes, without its tag; the last one may be shorter.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// The length of the tag behind each.
pub const SEGMENT_TAG_BYTES: usize = 16;

/// Whether a segment is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Yes,
    /// There are more.
    No,
}

/// Seals the segments of one stream, or opens them.
pub struct Segments {
    key: LessSafeKey,
    aad: Vec<u8>,
    number: u64,
}

impl Segments {
    /// Segments under a key of AES-256-GCM that is used for nothing else, with this
    /// authenticated beside each.
    #[must_use]
    pub fn new(key: UnboundKey, aad: Vec<u8>) -> Self {
        Self { key: LessSafeKey::new(key), aad, number: 0 }
    }

    /// Seals the next segment in its place, and puts its tag behind it.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn seal(&mut self, segment: &mut Vec<u8>, last: Last) -> Result<(), Unspecified> {
        self.key.seal_in_place_append_tag(self.nonce(last), Aad::from(&self.aad), segment)?;
        self.number = self.number.checked_add(1).ok_or(Unspecified)?;
        Ok(())
    }

    /// Opens the next segment in its place.
    ///
    /// # Errors
    /// It is not the next one, or not the last one, or was changed. What it was is wiped.
    pub fn open(&mut self, segment: &mut Vec<u8>, last: Last) -> Result<(), Unspecified> {
        self.opened(segment, last)?;
        self.number = self.number.checked_add(1).ok_or(Unspecified)?;
        Ok(())
    }

    /// Whether the next segment would open as this. It stays the next one.
    #[must_use]
    pub fn would_open(&self, segment: &[u8], last: Last) -> bool {
        self.opened(&mut segment.to_vec(), last).is_ok()
    }

    fn opened(&self, segment: &mut Vec<u8>, last: Last) -> Result<(), Unspecified> {
        let opened = self.key.open_in_place(self.nonce(last), Aad::from(&self.aad), segment);
        match opened.map(|bytes| bytes.len()) {
            Ok(length) => {
                segment.truncate(length);
                Ok(())
            }
            Err(error) => {
                segment.fill(0);
                Err(error)
            }
        }
    }

    fn nonce(&self, last: Last) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let (_, end) = nonce.split_at_mut(NONCE_LEN - 9);
        end.copy_from_slice(&[&self.number.to_be_bytes()[..], &[u8::from(last == Last::Yes)]].concat());
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::AES_256_GCM;

    use super::*;

    fn segments(aad: &[u8]) -> Segments {
        Segments::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap(), aad.to_vec())
    }

    fn sealed(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut sealing = segments(b"head");
        let last = parts.len() - 1;
        let seal = |(at, part): (usize, &&[u8])| {
            let mut segment = part.to_vec();
            sealing.seal(&mut segment, if at == last { Last::Yes } else { Last::No }).unwrap();
            segment
        };
        parts.iter().enumerate().map(seal).collect()
    }

    #[test]
    fn segments_open_in_their_order_as_what_they_are_and_in_no_other_way() {
        let all = sealed(&[b"one", b"two", b"three"]);
        let mut opening = segments(b"head");
        for (at, part) in [&b"one"[..], b"two", b"three"].into_iter().enumerate() {
            let (right, wrong) = if at == 2 { (Last::Yes, Last::No) } else { (Last::No, Last::Yes) };
            assert!(!opening.would_open(&all[at], wrong));
            assert!(opening.would_open(&all[at], right));
            for other in (0..3).filter(|other| *other != at) {
                assert!(!opening.would_open(&all[other], right), "{other} at {at}");
            }
            let mut segment = all[at].clone();
            opening.open(&mut segment, right).unwrap();
            assert_eq!(segment, part);
        }
        assert!(!segments(b"other").would_open(&all[0], Last::No));
    }

    #[test]
    fn what_does_not_open_is_wiped_and_stays_the_next() {
        let all = sealed(&[b"one", b"two"]);
        let mut opening = segments(b"head");
        let mut changed = all[0].clone();
        changed[0] ^= 1;
        opening.open(&mut changed, Last::No).unwrap_err();
        assert!(changed.iter().all(|byte| *byte == 0));
        opening.open(&mut all[0].clone(), Last::No).unwrap();
    }
}
