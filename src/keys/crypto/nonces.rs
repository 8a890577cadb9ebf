//! Nonces for keys that a device uses as they are.
//!
//! A nonce is a number that counts up, behind eight random bytes. Numbers are taken from
//! the catalog in blocks, on disk before the first of them is used: what a crash leaves of
//! a block is lost and never used again. Each block has random bytes of its own, so that a
//! catalog that was copied or put back, whose numbers come again, makes other nonces.
//!
//! **Invariant:** a number is given out once, whatever happens to the process.

use std::{collections::HashMap, ops::Range};

use aws_lc_rs::rand;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use skms_backend::{KeyTag, Salting};
use tracing::warn;

use crate::{
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
pub(in crate::keys) struct Nonces {
    blocks: Mutex<HashMap<KeyTag, Block>>,
    /// Held while a block is taken, so that many who find none take one.
    taking: tokio::sync::Mutex<()>,
}

/// Numbers, and what stands before them.
struct Block {
    prefix: [u8; PREFIX],
    numbers: Range<u64>,
}

/// What is left of a nonce beside a number of 32 bits.
const PREFIX: usize = Salting::Nonce.bytes() - size_of::<u32>();

impl Nonces {
    fn take(&self, tag: KeyTag) -> Option<Bytes> {
        let mut blocks = self.blocks.lock();
        let block = blocks.get_mut(&tag)?;
        let number = u32::try_from(block.numbers.next()?).ok()?;
        let mut nonce = BytesMut::with_capacity(Salting::Nonce.bytes());
        nonce.put_slice(&block.prefix);
        nonce.put_u32(number);
        Some(nonce.freeze())
    }

    /// Adds a block. What is left of another is lost.
    fn refill(&self, tag: KeyTag, prefix: [u8; PREFIX], numbers: Range<u64>) {
        self.blocks.lock().insert(tag, Block { prefix, numbers });
    }
}

impl Keyring {
    /// A nonce that this version has never had.
    pub(super) async fn nonce(&self, key: &Key, version: &Version) -> Result<Bytes, Error> {
        let Some(tag) = version.key.as_ref().map(|key| key.tag) else {
            return Err(Error::Internal { what: "the version has no tag" });
        };
        if let Some(nonce) = self.nonces.take(tag) {
            return Ok(nonce);
        }
        let _one = self.nonces.taking.lock().await;
        // Another may have taken a block meanwhile.
        if let Some(nonce) = self.nonces.take(tag) {
            return Ok(nonce);
        }
        let mut prefix = [0; PREFIX];
        rand::fill(&mut prefix).map_err(|_| Error::Internal { what: "the system gives no random bytes" })?;
        let numbers = self.catalog.reserve_nonces(tag, BLOCK, MOST).await?;
        if numbers.end > WARNED {
            let used = numbers.start;
            warn!(key = %key.id, version = version.number, used, "more than half of all messages; rotate the key");
        }
        self.nonces.refill(tag, prefix, numbers);
        let used_up = || Error::UsedUp { key: key.id.clone(), version: version.number };
        self.nonces.take(tag).ok_or_else(used_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_block_is_given_out_once() {
        let nonces = Nonces::default();
        let (one, other) = (KeyTag::random().unwrap(), KeyTag::random().unwrap());
        let nonce =
            |prefix: u8, number: u8| Some(Bytes::from([&[prefix; PREFIX][..], &[0, 0, 0, number]].concat()));
        assert_eq!(nonces.take(one), None);
        nonces.refill(one, [7; PREFIX], 8..10);
        assert_eq!(nonces.take(other), None);
        assert_eq!([nonces.take(one), nonces.take(one), nonces.take(one)], [nonce(7, 8), nonce(7, 9), None]);
        nonces.refill(one, [9; PREFIX], 8..9);
        assert_eq!([nonces.take(one), nonces.take(one)], [nonce(9, 8), None]);
    }
}
