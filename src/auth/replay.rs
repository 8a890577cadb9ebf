//! Tokens of which one call may change something: what is remembered of those that did.
//!
//! **Invariant:** of calls that change something, with tokens of one such issuer and one
//! id (`jti`, RFC 7519 §4.1.7), one is let in, until the last of the tokens that came has
//! ended.
//!
//! The memory is that of one process: a restart forgets it, and a token may then be used
//! once more. That it is short is what its issuer has to see to.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{cache::Fingerprint, refusal::Refusal};
use crate::model::Reason;

/// A token that is good for one change.
#[derive(Clone, Debug)]
pub(super) struct Once {
    /// What is remembered of its issuer's tokens.
    pub(super) used: Arc<Used>,
    pub(super) id: Option<String>,
    pub(super) ends: Moment,
}

/// A time on the wall clock, and on the one that nobody sets.
pub(super) type Moment = (SystemTime, Instant);

impl Once {
    /// Uses it up. Whoever is told that it is unused is the only one.
    pub(super) fn spend(&self, now: Moment) -> Result<(), Refusal> {
        let id = self.id.as_ref().ok_or(Refusal::malformed("no id, and it is good for one change"))?;
        self.used.spend(id, self.ends, now)
    }
}

/// The tokens of one issuer that were used up, by their ids, and when they end. An
/// issuer has a memory of its own, so that none can fill that of another.
#[derive(Debug)]
pub(super) struct Used {
    tokens: Mutex<HashMap<Fingerprint, Moment>>,
    limit: usize,
}

impl Default for Used {
    fn default() -> Self {
        Self::up_to(LIMIT)
    }
}

impl Used {
    /// No more than that at a time.
    pub(super) fn up_to(limit: usize) -> Self {
        Self { tokens: Mutex::default(), limit }
    }

    fn spend(&self, id: &str, ends: Moment, now: Moment) -> Result<(), Refusal> {
        let id = Fingerprint::of(id.as_bytes());
        let mut tokens = self.tokens.lock();
        if let Some(end) = tokens.get_mut(&id).filter(|end| !is_over(**end, now)) {
            // Another token of this id may end later.
            *end = (end.0.max(ends.0), end.1.max(ends.1));
            return Err(Refusal::revoked("used before"));
        }
        if tokens.len() >= self.limit {
            tokens.retain(|_, end| !is_over(*end, now));
        }
        // Forgetting one that has not ended would let it in again.
        if tokens.len() >= self.limit {
            return Err(Refusal::new(Reason::RateLimited, "too many tokens of the issuer are used up"));
        }
        tokens.insert(id, ends);
        Ok(())
    }
}

/// On both clocks: a token that one of them has ended comes to life again when that one
/// is turned back, or when nothing else is known of it than what it says itself.
fn is_over(end: Moment, now: Moment) -> bool {
    now.0 >= end.0 && now.1 >= end.1
}

/// Changes of one issuer's callers within the life of a token: with the longest default,
/// an hour, 27 a second. Some ten megabytes.
const LIMIT: usize = 100_000;
