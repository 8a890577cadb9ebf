//! A call as it arrived: what the layers found out about it before its body was
//! read. Everything behind them is given it as it is.

use std::{sync::Arc, time::Instant};

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
}
