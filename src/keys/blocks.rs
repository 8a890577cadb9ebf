//! Numbers of which the catalog gives out a block at a time, so that not every use of a
//! key is a write to the disk.
//!
//! **Invariant:** a number is given out once, whatever happens to the process: a block is
//! on disk as used before the first number of it is.

use std::{collections::HashMap, mem, ops::Range};

use parking_lot::Mutex;
use skms_backend::KeyTag;

/// What is left of the blocks of all versions. With each block goes something that all its
/// numbers share.
#[derive(Default)]
pub(super) struct Blocks<Shared = ()> {
    blocks: Mutex<HashMap<KeyTag, Block<Shared>>>,
    /// Held while a block is taken, so that many who find none take one.
    taking: tokio::sync::Mutex<()>,
}

struct Block<Shared> {
    shared: Shared,
    numbers: Range<u64>,
}

/// What a version has for whoever wants a number.
enum Found<Shared> {
    Number(Shared, u64),
    /// The next block is to be asked for.
    NoMore,
    /// There will be no other block.
    UsedUp,
}

impl<Shared: Copy> Blocks<Shared> {
    /// The next number of this version, below `most`; `None` where they are used up.
    /// `refill` is awaited where a block is needed; what was left of another is lost.
    pub(super) async fn next<E>(
        &self,
        tag: KeyTag,
        most: u64,
        refill: impl Future<Output = Result<(Shared, Range<u64>), E>>,
    ) -> Result<Option<(Shared, u64)>, E> {
        let found = match self.take(tag, most) {
            Found::NoMore => {
                let _one = self.taking.lock().await;
                // Another may have taken a block meanwhile.
                match self.take(tag, most) {
                    Found::NoMore => {
                        let (shared, numbers) = refill.await?;
                        self.blocks.lock().insert(tag, Block { shared, numbers });
                        self.take(tag, most)
                    }
                    found => found,
                }
            }
            found => found,
        };
        Ok(match found {
            Found::Number(shared, number) => Some((shared, number)),
            Found::NoMore | Found::UsedUp => None,
        })
    }

    fn take(&self, tag: KeyTag, most: u64) -> Found<Shared> {
        let mut blocks = self.blocks.lock();
        let Some(block) = blocks.get_mut(&tag) else { return Found::NoMore };
        match block.numbers.next() {
            Some(number) => Found::Number(block.shared, number),
            // Nobody writes to the disk for a version that has no more.
            None if block.numbers.end >= most => Found::UsedUp,
            None => Found::NoMore,
        }
    }

    /// How many numbers of this version were taken from the catalog and not used.
    pub(super) fn left(&self, tag: KeyTag) -> u64 {
        self.blocks.lock().get(&tag).map_or(0, |block| block.numbers.end - block.numbers.start)
    }

    /// Takes all that is left away; whoever wants a number then takes a new block.
    pub(super) fn clear(&self) -> Vec<(KeyTag, Range<u64>)> {
        let blocks = mem::take(&mut *self.blocks.lock());
        let left = blocks.into_iter().map(|(tag, block)| (tag, block.numbers));
        left.filter(|(_, numbers)| !numbers.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::ready};

    use super::*;

    /// Asks for a number where no block may be taken.
    async fn kept(blocks: &Blocks<u8>, tag: KeyTag, most: u64) -> Option<(u8, u64)> {
        blocks.next(tag, most, async { Err(()) }).await.unwrap_or(Some((0, 0)))
    }

    #[tokio::test]
    async fn every_number_of_a_block_is_given_out_once() {
        let blocks = Blocks::default();
        let (one, other) = (KeyTag::random().unwrap(), KeyTag::random().unwrap());
        let first = blocks.next(one, 20, ready(Ok::<_, Infallible>((7, 8..10)))).await.unwrap();
        assert_eq!((first, blocks.left(one), blocks.left(other)), (Some((7, 8)), 1, 0));
        assert_eq!(kept(&blocks, one, 20).await, Some((7, 9)));
        assert_eq!(kept(&blocks, one, 20).await, Some((0, 0)), "another block is wanted");
        let next = blocks.next(one, 20, ready(Ok::<_, Infallible>((9, 12..20)))).await.unwrap();
        assert_eq!(next, Some((9, 12)));
        assert_eq!(blocks.clear(), [(one, 13..20)]);
        assert_eq!(kept(&blocks, one, 20).await, Some((0, 0)), "nothing is left of it");
    }

    #[tokio::test]
    async fn what_is_used_up_asks_for_no_other_block() {
        let blocks = Blocks::default();
        let tag = KeyTag::random().unwrap();
        let none = blocks.next(tag, 20, ready(Ok::<_, Infallible>((1, 20..20)))).await.unwrap();
        assert_eq!((none, kept(&blocks, tag, 20).await), (None, None));
    }
}
