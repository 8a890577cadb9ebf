//! Calls that may be repeated: the same request id gives the same answer.

use std::time::Duration;

use uuid::Uuid;

use crate::model::Action;

/// How long a request id is remembered. A client that comes back later than a
/// day is not retrying, it is asking anew.
pub const REQUEST_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What makes two calls the same call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Who calls: the ids of two callers never meet.
    pub principal: String,
    /// What is asked for.
    pub action: Action,
    /// The id that the caller chose.
    pub request_id: Uuid,
    /// SHA-256 of the canonical encoding of the request, without its id.
    pub fingerprint: [u8; 32],
}
