//! The keys of an issuer as they are now: which set, since when, and how many sets
//! there were before it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    config::Algorithm,
    keys::{self, KeySet},
};

/// The current keys. Reading them takes no lock.
#[derive(Debug)]
pub(super) struct Published {
    current: ArcSwapOption<Version>,
    /// Held while the keys are exchanged, so that no two sets have one number.
    exchange: Mutex<()>,
    algorithms: Vec<Algorithm>,
    /// How long after it was seen last a set is trusted; `None` for files, which are
    /// there for as long as nobody changes them.
    max_stale: Option<Duration>,
}

/// One set of keys.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) keys: Arc<KeySet>,
    /// Counts the sets that differ from their predecessor.
    pub(super) generation: u64,
    digest: [u8; 32],
    seen: Instant,
}

impl Published {
    pub(super) fn new(algorithms: Vec<Algorithm>, max_stale: Option<Duration>) -> Self {
        Self { current: ArcSwapOption::empty(), exchange: Mutex::new(()), algorithms, max_stale }
    }

    /// Takes a set that was just seen, and tells whether it is another than before.
    pub(super) fn publish(&self, bytes: &[u8], now: Instant) -> Result<bool, keys::Error> {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        let _exchange = self.exchange.lock();
        let before = self.current.load();
        let (keys, generation, changed) = match &*before {
            Some(before) if before.digest == digest => (before.keys.clone(), before.generation, false),
            before => {
                let keys = Arc::new(KeySet::parse(bytes, &self.algorithms)?);
                (keys, before.as_ref().map_or(0, |before| before.generation.wrapping_add(1)), true)
            }
        };
        self.current.store(Some(Arc::new(Version { keys, generation, digest, seen: now })));
        Ok(changed)
    }

    /// The keys, unless there are none or they were seen too long ago.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<Version>> {
        self.current.load_full().filter(|version| self.is_fresh(version, now))
    }

    /// Whether the keys that a token was checked with are still the keys.
    pub(super) fn is_current(&self, generation: u64, now: Instant) -> bool {
        let current = self.current.load();
        current
            .as_ref()
            .is_some_and(|version| version.generation == generation && self.is_fresh(version, now))
    }

    /// Whether there were keys and they are too old.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.current.load().as_ref().is_some_and(|version| !self.is_fresh(version, now))
    }

    fn is_fresh(&self, version: &Version, now: Instant) -> bool {
        self.max_stale.is_none_or(|limit| now.saturating_duration_since(version.seen) <= limit)
    }
}
