//! Nonces for keys that a device uses as they are.
//!
//! A nonce is a number that counts up, and is used once. Numbers are taken from the
//! catalog in blocks, on disk before the first of them is used: what a crash leaves of a
//! block is lost and never used again.
//!
//! **Invariant:** a number is given out once, whatever happens to the process.

use std::{collections::HashMap, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use skms_backend::{KeyTag, Salting};
use tracing::warn;

use crate::{
    gate::Permit,
    keys::{Error, Keyring},
    model::{Key, Version},
};

/// How many numbers are taken at once: a write to the disk for so many messages.
const BLOCK: u64 = 4096;
/// From here on operators are warned: half of what one key may encrypt …
const WARNED: u64 = 1 << 31;
/// … under SP 800-38D §8.3, which is this.
pub(in crate::keys) const MOST: u64 = 1 << 32;

/// What is left of the blocks.
#[derive(Default)]
pub(in crate::keys) struct Nonces(Mutex<HashMap<KeyTag, Range<u64>>>);

impl Nonces {
    fn take(&self, tag: KeyTag) -> Option<u64> {
        self.0.lock().get_mut(&tag)?.next()
    }

    /// Adds a block and takes the first number of it. What is left of another block is
    /// lost, which costs nothing.
    fn refill(&self, tag: KeyTag, mut block: Range<u64>) -> Option<u64> {
        let first = block.next();
        self.0.lock().insert(tag, block);
        first
    }
}

impl Keyring {
    /// A nonce that this version has never had.
    pub(super) async fn nonce(&self, _: &Permit, key: &Key, version: &Version) -> Result<Bytes, Error> {
        let Some(tag) = version.key.as_ref().map(|key| key.tag) else {
            return Err(Error::Internal { what: "the version has no tag" });
        };
        let number = match self.nonces.take(tag) {
            Some(number) => number,
            None => {
                let used_up = || Error::UsedUp { key: key.id.clone(), version: version.number };
                let block = self.catalog.reserve_nonces(tag, BLOCK, MOST).await?;
                if block.contains(&WARNED) {
                    warn!(key = %key.id, version = version.number, "half of all messages; rotate the key");
                }
                self.nonces.refill(tag, block).ok_or_else(used_up)?
            }
        };
        let mut nonce = BytesMut::zeroed(Salting::Nonce.bytes() - size_of::<u64>());
        nonce.put_u64(number);
        Ok(nonce.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_block_is_given_out_once() {
        let nonces = Nonces::default();
        let (one, other) = (KeyTag::random().unwrap(), KeyTag::random().unwrap());
        assert_eq!(nonces.take(one), None);
        assert_eq!(nonces.refill(one, 8..11), Some(8));
        assert_eq!(nonces.take(other), None);
        assert_eq!([nonces.take(one), nonces.take(one), nonces.take(one)], [Some(9), Some(10), None]);
        assert_eq!(nonces.refill(one, 0..0), None);
    }
}
