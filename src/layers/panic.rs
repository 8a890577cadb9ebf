//! Panics: caught, logged without their payload, answered as an internal error.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use http::Response;
use tonic::body::Body;
use tracing::error;

use crate::{model::Reason, rpc::status};

/// The response, or an internal error where making it panicked.
pub(super) async fn contained(
    response: impl Future<Output = Response<Body>>,
    request_id: &str,
) -> Response<Body> {
    match AssertUnwindSafe(response).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            error!("a handler panicked");
            status::refusal(Reason::Internal, "the gateway failed", request_id).into_http()
        }
    }
}
