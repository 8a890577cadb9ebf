//! A call as it arrived: what the layers found out about it before its body was
//! read. Everything behind them is given it as it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use skms_backend::Priority;

use super::Caller;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// From where, for the record.
    pub peer: Arc<str>,
    /// The SHA-256 of the client certificate of its connection, in hexadecimal.
    pub certificate: Option<Arc<str>>,
    /// The id of the call.
    pub request_id: Arc<str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// How urgent it is.
    pub priority: Priority,
    /// Which item of a batch it is, counted from 0.
    pub item: Option<u32>,
    /// Whether the gate has it in hand.
    pub taken: Taken,
}

/// Whether the gate has a call in hand, which then sees to its record. Shared by all
/// clones of the call.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicBool>);

impl Taken {
    /// From here on it has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
