//! How large a pool is to be, and how busy one is.

use std::{num::NonZeroUsize, time::Duration};

use serde::Deserialize;

/// How many contexts, and how much may wait for them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// Device contexts, each with a thread of its own. More than the device
    /// computes in parallel brings nothing.
    pub contexts: NonZeroUsize,
    /// Jobs that may wait for a context; one more is refused at once. One caller alone
    /// gets seven of eight places.
    pub queue: NonZeroUsize,
    /// A call of the device that takes longer is taken for one that does not come back. More
    /// than the slowest call takes, such as making an RSA key.
    pub hang_limit: Duration,
}

impl WorkersConfig {
    /// The most contexts: each is a thread, and no device computes on so many.
    pub const MAX_CONTEXTS: usize = 256;
    /// The longest queue: what waits behind so many has long been given up.
    pub const MAX_QUEUE: usize = 64 * 1024;
    /// The hang limit where none is configured: no device is known that works longer.
    pub const HANG_LIMIT: Duration = Duration::from_secs(120);
}

impl Default for WorkersConfig {
    fn default() -> Self {
        const CONTEXTS: NonZeroUsize = NonZeroUsize::new(4).unwrap();
        // At 50 µs a job and 4 contexts, a full queue is 13 ms of waiting.
        const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
        Self { contexts: CONTEXTS, queue: QUEUE, hang_limit: Self::HANG_LIMIT }
    }
}

/// A snapshot of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkersStatus {
    /// Contexts that may be open at once.
    pub contexts: usize,
    /// Contexts that are serving a job now.
    pub busy: usize,
    /// Contexts that could not be opened and are waiting to try again.
    pub failed: usize,
    /// Threads that are inside a call that does not come back.
    pub quarantined: usize,
    /// Jobs that wait for a context.
    pub queued: usize,
    /// Jobs that may wait.
    pub queue_capacity: usize,
}
