//! Nonces for keys that a device uses as they are.
//!
//! A nonce is a number that counts up, behind eight random bytes. Numbers are taken from
//! the catalog in blocks, on disk before the first of them is used: what a crash leaves of
//! a block is lost and never used again. Each block has random bytes of its own, so that a
//! catalog that was copied or put back, whose numbers come again, makes other nonces.
//!
//! **Invariant:** a number is given out once, whatever happens to the process.

use aws_lc_rs::rand;
use bytes::{BufMut, Bytes, BytesMut};
use skms_backend::Salting;
use tracing::warn;

use crate::{
    keys::{Error, Keyring, blocks::Blocks},
    model::{Key, Version},
};

/// How many numbers are taken at once: a write to the disk for so many messages.
const BLOCK: u64 = 4096;
/// From here on operators are warned: half of what one key may encrypt …
const WARNED: u64 = 1 << 31;
/// … under SP 800-38D §8.3, which is this.
pub(in crate::keys) const MOST: u64 = 1 << 32;

/// What is left of the blocks, and what stands before their numbers.
pub(in crate::keys) type Nonces = Blocks<[u8; PREFIX]>;

/// What is left of a nonce beside a number of 32 bits.
const PREFIX: usize = Salting::Nonce.bytes() - size_of::<u32>();

impl Keyring {
    /// A nonce that this version has never had.
    pub(super) async fn nonce(&self, key: &Key, version: &Version) -> Result<Bytes, Error> {
        let Some(tag) = version.key.as_ref().map(|key| key.tag) else {
            return Err(Error::Internal { what: "the version has no tag" });
        };
        let block = async {
            let mut prefix = [0; PREFIX];
            let failed = |_| Error::Internal { what: "the system gives no random bytes" };
            rand::fill(&mut prefix).map_err(failed)?;
            let numbers = self.catalog.reserve_nonces(tag, BLOCK, MOST).await?;
            if numbers.end > WARNED {
                let used = numbers.start;
                warn!(key = %key.id, version = version.number, used, "more than half of all messages; rotate the key");
            }
            Ok::<_, Error>((prefix, numbers))
        };
        let next = self.nonces.next(tag, MOST, block).await?;
        let number = next.and_then(|(prefix, number)| Some((prefix, u32::try_from(number).ok()?)));
        let used_up = || Error::UsedUp { key: key.id.clone(), version: version.number, most: MOST };
        let (prefix, number) = number.ok_or_else(used_up)?;
        let mut nonce = BytesMut::with_capacity(Salting::Nonce.bytes());
        nonce.put_slice(&prefix);
        nonce.put_u32(number);
        Ok(nonce.freeze())
    }
}
