//! Which calls are repeated, and how often.
//!
//! A call is repeated where the answer is UNAVAILABLE and nothing is done twice by that: what
//! changes nothing; what has a `request_id`, under which the gateway does it once; and
//! everything, where the gateway says that it has not begun.
//!
//! A signature that is made twice counts twice where the operations of a key are counted.
//!
//! **Invariant:** however many calls fail, repeated ones are a small part of all: each failure
//! takes from a budget what ten successes give back, and an empty one lets nothing be
//! repeated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tonic::Code;

use super::{Error, Failure};

/// How often a call is made at most, and how long it waits in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often a call is made; 1: never again.
    pub attempts: u32,
    /// The first wait, if the gateway names none; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How many calls may be repeated in a row, before others have succeeded.
    pub budget: u32,
}

impl Retry {
    /// No call is made again.
    #[must_use]
    pub const fn never() -> Self {
        Self { attempts: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO, budget: 0 }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_wait: Duration::from_millis(50),
            longest_wait: Duration::from_secs(2),
            budget: 20,
        }
    }
}

/// What comes of a call that is made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twice {
    /// The same.
    Same,
    /// Something else.
    Other,
}

/// What of the budget a success gives back: a tenth of what a failure takes.
const WHOLE: u32 = 10;

/// What is left for repeated calls, in tenths of one. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    left: Arc<AtomicU32>,
    most: u32,
}

impl Budget {
    pub(super) fn new(retry: &Retry) -> Self {
        let most = retry.budget.saturating_mul(WHOLE);
        Self { left: Arc::new(AtomicU32::new(most)), most }
    }

    pub(super) fn succeeded(&self) {
        let more = |left: u32| (left < self.most).then(|| left + 1);
        // At its end it stays there.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes one, if there is one.
    pub(super) fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(WHOLE);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Whether a call that ended so may be made again.
pub(super) fn may_repeat(error: &Error, twice: Twice) -> bool {
    let Some(failure) = error.failure() else { return false };
    failure.code == Code::Unavailable && (twice == Twice::Same || was_not_begun(failure))
}

/// Whether the gateway says so.
fn was_not_begun(failure: &Failure) -> bool {
    failure.reason.as_deref() == Some("SHUTTING_DOWN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_without_successes_use_the_budget_up() {
        let budget = Budget::new(&Retry { budget: 3, ..Retry::default() });
        assert_eq!((0..10).filter(|_| budget.take()).count(), 3);
        for _ in 0..9 {
            budget.succeeded();
        }
        assert!(!budget.take());
        budget.succeeded();
        assert!(budget.take() && !budget.take());
        for _ in 0..1000 {
            budget.succeeded();
        }
        assert_eq!((0..10).filter(|_| budget.take()).count(), 3);
        assert!(!Budget::new(&Retry::never()).take());
    }
}
