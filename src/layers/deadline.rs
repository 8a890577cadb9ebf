//! When a caller stops waiting: its `grpc-timeout`, capped.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use http::{HeaderMap, Response};
use tonic::body::Body;

use crate::{model::Reason, rpc::status, transport::timeout_of};

/// The end of a call that begins now. A missing or malformed timeout counts as none.
pub(super) fn of(headers: &HeaderMap, longest: Duration) -> Instant {
    Instant::now() + timeout_of(headers).map_or(longest, |asked| asked.min(longest))
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
