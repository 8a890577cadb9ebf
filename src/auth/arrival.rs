//! A call as it arrived: what the layers found out about it, for the RPCs.

use std::{sync::Arc, time::Instant};

use super::Caller;

/// What is known of a call before its body is read.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who calls.
    pub caller: Caller,
    /// From where.
    pub peer: Arc<str>,
    /// The id of the call.
    pub request_id: Arc<str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
}
