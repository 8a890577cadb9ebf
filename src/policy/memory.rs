//! Decisions that were made already. Cedar asks every policy in turn, some 25 µs for 30
//! of them; an answer that is remembered takes a fraction of one, and listing many
//! keys stays cheap.
//!
//! **Invariant:** the question holds everything that the answer depends on. What the
//! policies see of a key changes only with its revision, and the policies only with
//! their generation; so nothing is ever removed for being wrong, only for being old.

use quick_cache::sync::Cache;

use super::Decision;
use crate::model::{Action, KeyId};

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) generation: u64,
    /// The digest of everything that a policy can see of the caller.
    pub(super) caller: [u8; 32],
    pub(super) action: Action,
    pub(super) seen: Seen,
}

/// What it was asked of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seen {
    /// The method, whatever it will be called for.
    Method,
    /// The gateway.
    Gateway,
    /// A key in one of its revisions.
    Key(KeyId, u64),
    /// Any key that looks so, by the digest of its look. Only where no policy tells
    /// keys apart by what they are called.
    Look([u8; 32]),
}

/// The answers, the least used of which are forgotten.
pub(super) struct Memory(Cache<Question, Decision>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(Cache::new(ANSWERS))
    }

    pub(super) fn get(&self, question: &Question) -> Option<Decision> {
        self.0.get(question)
    }

    pub(super) fn insert(&self, question: Question, decision: Decision) {
        self.0.insert(question, decision);
    }
}

/// A few hundred callers at work with a few hundred keys each; some 10 MB when full.
const ANSWERS: usize = 65_536;
