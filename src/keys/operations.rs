//! Counting what a version protects, where its key says how often it may.
//!
//! What protects is counted: signing, encrypting, making a code, agreeing on a secret. What
//! was protected stays of use: decrypting and verifying are not counted, and never end.
//!
//! **Invariant:** no version protects more often than its key says. An operation is taken
//! before the device is asked, and is gone whatever the device answers.

use std::{num::NonZeroU64, sync::Arc};

use tracing::warn;

use super::{Error, Keyring};
use crate::{
    gate::{Permit, Work},
    model::{Key, Version},
};

/// The operations of a key are taken in so many blocks, so that a crash loses few of them …
const BLOCKS: u64 = 256;
/// … and of no key in larger ones: a write to the disk for so many calls.
const BLOCK: u64 = 4096;

impl Keyring {
    /// Charges the caller for work that protects something, and takes an operation of the
    /// version for it.
    pub(super) async fn protects(
        &self,
        permit: &Permit,
        work: Work,
        key: &Key,
        version: &Version,
    ) -> Result<(), Error> {
        permit.charge(work, key, version.protection_level)?;
        let Some(most) = key.max_operations.map(NonZeroU64::get) else { return Ok(()) };
        let Some(tag) = version.key.as_ref().map(|key| key.tag) else {
            return Err(Error::Internal { what: "the version has no tag" });
        };
        let block = async {
            let count = (most / BLOCKS).clamp(1, BLOCK);
            let numbers = self.catalog.reserve_operations(tag, count).await?;
            let warned = most - most / 10;
            if (numbers.start..numbers.end).contains(&warned) || numbers.end == most {
                let given = numbers.end;
                warn!(key = %key.id, version = version.number, given, most, "operations come to an end; rotate the key");
            }
            Ok::<_, Error>(((), numbers))
        };
        let next = self.operations.next(tag, most, block).await?;
        next.map(drop).ok_or_else(|| Error::UsedUp { key: key.id.clone(), version: version.number, most })
    }

    /// The key with the operations that its versions have really done.
    pub(super) fn counted(&self, key: Arc<Key>) -> Arc<Key> {
        let Some(most) = key.max_operations else { return key };
        let mut key = Arc::unwrap_or_clone(key);
        for version in &mut key.versions {
            let left = version.key.as_ref().map_or(0, |key| self.operations.left(key.tag));
            let done = version.operations.min(most.get()).saturating_sub(left);
            if done != version.operations {
                Arc::make_mut(version).operations = done;
            }
        }
        Arc::new(key)
    }

    /// Gives back the operations that were taken and not used. Nothing is lost without it
    /// but they.
    pub async fn return_operations(&self) {
        let left = self.operations.clear();
        if left.is_empty() {
            return;
        }
        let versions = left.len();
        if let Err(error) = self.catalog.return_operations(left).await {
            warn!(versions, error = %error, "operations that were not used cannot be given back, and are lost");
        }
    }
}
