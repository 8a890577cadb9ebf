//! What the threads that ask know of the thread that writes.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::refusals::Refusals;
use crate::telemetry::metrics;

/// What is known of the log without asking the thread that writes it.
pub(super) struct State {
    failing: AtomicBool,
    healthy: watch::Sender<bool>,
    /// Since when no record could be written, until that is on record.
    since: Mutex<Option<SystemTime>>,
    /// Calls that were not answered because there could be no record.
    unanswered: AtomicU64,
    /// The number of the last checkpoint, and when it was made.
    pub(super) checkpoint: Mutex<Option<(u64, SystemTime)>>,
    /// Held only to count, never across a wait.
    pub(super) refusals: Mutex<Refusals>,
}

impl State {
    pub(super) fn new(refused_bytes: u64) -> Self {
        Self {
            failing: AtomicBool::new(false),
            healthy: watch::Sender::new(true),
            since: Mutex::new(None),
            unanswered: AtomicU64::new(0),
            checkpoint: Mutex::new(None),
            refusals: Mutex::new(Refusals::new(refused_bytes, Instant::now())),
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(super) fn healthy(&self) -> watch::Receiver<bool> {
        self.healthy.subscribe()
    }

    /// Says whether records can be written; answers whether that is news.
    pub(super) fn set_failing(&self, failing: bool) -> bool {
        let news = self.failing.swap(failing, Ordering::AcqRel) != failing;
        if failing {
            self.since.lock().get_or_insert_with(SystemTime::now);
        }
        if news {
            self.healthy.send_replace(!failing);
        }
        news
    }

    /// Calls are not answered because there can be no record.
    pub(super) fn lose(&self, calls: usize) {
        metrics().audit_failed(calls);
        self.unanswered.fetch_add(calls as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    pub(super) fn failing_since(&self) -> SystemTime {
        self.since.lock().unwrap_or_else(SystemTime::now)
    }

    /// So many of the lost are on record now.
    pub(super) fn told(&self, calls: u64) {
        *self.since.lock() = None;
        self.unanswered.fetch_sub(calls, Ordering::Relaxed);
    }
}
