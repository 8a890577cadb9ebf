//! Tokens that were checked before, by their digest.
//!
//! **Invariant:** a token in the cache is worth what it would be worth if it were new.
//! Whatever can change since it was checked is looked at each time: its end, the keys
//! of its issuer, the list of whom to deny, and the certificate that it came with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use aws_lc_rs::digest;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{Caller, issuer::Issuer, replay::Moment};

/// The tokens.
#[derive(Debug)]
pub(super) struct Tokens(Cache<[u8; 32], Arc<Entry>>);

/// A token that was checked.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) caller: Caller,
    pub(super) id: Option<String>,
    pub(super) certificate: Option<[u8; 32]>,
    pub(super) issuer: Arc<Issuer>,
    /// The keys that it was checked with.
    pub(super) keys: u64,
    /// The list of whom to deny that it was last compared with.
    pub(super) denied: AtomicU64,
    /// Its end on the wall clock, and on the one that nobody sets: a clock that is
    /// turned back does not bring it to life again.
    pub(super) ends: Moment,
}

impl Entry {
    pub(super) fn has_ended(&self, wall: SystemTime, steady: Instant) -> bool {
        wall >= self.ends.0 || steady >= self.ends.1
    }

    /// Whether it must be compared with this list again.
    pub(super) fn is_unchecked(&self, list: u64) -> bool {
        self.denied.load(Ordering::Acquire) != list
    }

    pub(super) fn checked(&self, list: u64) {
        self.denied.store(list, Ordering::Release);
    }
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    pub(super) fn find(&self, token: &Fingerprint) -> Option<Arc<Entry>> {
        self.0.get(&token.0)
    }

    pub(super) fn insert(&self, token: &Fingerprint, entry: Arc<Entry>) {
        self.0.insert(token.0, entry);
    }
}

/// What stands for a token, or for its id, in memory: the token itself is not kept.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(bytes)
    }
}

/// Callers of one gateway at a time, each with a token or two; some megabytes.
const CAPACITY: usize = 10_000;
