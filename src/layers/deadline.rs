//! When a caller stops waiting: its `grpc-timeout`, capped.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use http::{HeaderMap, Response};
use tonic::body::Body;

use super::Bounds;
use crate::{
    model::{Reason, Shape},
    rpc::status,
    transport::timeout_of,
};

/// The ends of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// When its caller stops waiting.
    pub(super) call: Instant,
    /// When its answer, or the first of them, must have begun.
    pub(super) answer: Instant,
}

impl Ends {
    /// Those of a call that begins now. A missing or malformed timeout counts as none.
    ///
    /// A stream may go on for longer than one answer may take; one that comes in, to be
    /// answered at its end, is held by its method to getting on.
    pub(super) fn of(headers: &HeaderMap, shape: Shape, bounds: &Bounds) -> Self {
        let (now, asked) = (Instant::now(), timeout_of(headers));
        let within = |longest: Duration| now + asked.map_or(longest, |asked| asked.min(longest));
        match shape {
            Shape::Unary => Self { call: within(bounds.longest), answer: within(bounds.longest) },
            Shape::ClientStream => Self { call: within(bounds.stream), answer: within(bounds.stream) },
            Shape::ServerStream | Shape::Bidirectional => {
                Self { call: within(bounds.stream), answer: within(bounds.longest) }
            }
        }
    }
}

/// What is late waits a little longer: a use case that gives up at the deadline
/// says better why than this floor can.
const SLACK: Duration = Duration::from_millis(100);

/// The response, or the end of waiting for it. Streams are bounded to their
/// first answer only.
pub(super) async fn kept(
    response: impl Future<Output = Response<Body>>,
    deadline: Instant,
    request_id: &str,
) -> Response<Body> {
    match tokio::time::timeout_at((deadline + SLACK).into(), response).await {
        Ok(response) => response,
        Err(_) => {
            let message = "the deadline passed before the call was complete";
            status::refusal(Reason::BackendTimeout, message, request_id).into_http()
        }
    }
}
