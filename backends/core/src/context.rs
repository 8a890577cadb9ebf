//! What travels with every call to a backend: how long it may take, whether it
//! is still wanted, and whose work it is.

use std::{
    num::NonZeroU8,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Whose work a call is, so that a queue can be fair between callers. It is a
/// number without a name: a backend does not know who is calling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flow(pub u64);

/// How urgent a call is against others in the same queue: where all wait, sixteen urgent
/// ones and four usual ones begin for one that may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Bulk work that may wait.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Ahead of the others.
    High,
}

/// The frame of one call to a backend.
#[derive(Clone, Debug)]
pub struct OpContext {
    /// When the caller stops waiting. A call that is still queued then never
    /// reaches the device.
    pub deadline: Instant,
    /// When the work is not worth beginning any more, if that is sooner: work that
    /// must be finished once it has begun need not be begun for a caller who left.
    pub start_by: Instant,
    /// Cancelled when nobody wants the answer any more.
    pub cancellation: CancellationToken,
    /// Whose work this is.
    pub flow: Flow,
    /// How many of its calls may begin in a turn, where others wait as well.
    pub weight: NonZeroU8,
    /// How urgent it is.
    pub priority: Priority,
}

impl OpContext {
    /// A call that must be answered within `limit` from now.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        let deadline = Instant::now() + limit;
        Self {
            deadline,
            start_by: deadline,
            cancellation: CancellationToken::new(),
            flow: Flow::default(),
            weight: NonZeroU8::MIN,
            priority: Priority::default(),
        }
    }
}
