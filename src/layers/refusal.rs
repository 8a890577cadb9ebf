//! Calls that no method answers: what is no gRPC, and what tonic itself refuses
//! (unknown methods, bodies that are too large or no protobuf). Both get a reason
//! and a request id like every other error.

use http::{HeaderValue, Method, Request, Response, header};
use tonic::{Code, body::Body};

use crate::{
    model::Reason,
    rpc::status,
    telemetry::{Malformed, metrics},
};

/// The answer to a request that is no gRPC call; nothing where it is one.
pub(super) fn of_request<B>(request: &Request<B>, request_id: &str) -> Option<Response<Body>> {
    let grpc = |value: &HeaderValue| {
        value
            .as_bytes()
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| rest.is_empty() || matches!(rest.first(), Some(b'+' | b';')))
    };
    if request.method() == Method::POST && request.headers().get(header::CONTENT_TYPE).is_some_and(grpc) {
        return None;
    }
    metrics().malformed(Malformed::NotGrpc);
    let message = "this is a gRPC service: POST with content-type application/grpc";
    Some(status::refusal(Reason::MethodNotFound, message, request_id).into_http())
}

/// The response, with details where it is a refusal that has none.
pub(super) fn explained(response: Response<Body>, request_id: &str) -> Response<Body> {
    // A refusal of tonic's own ends in its headers; our statuses carry details.
    let Some(code) = response.headers().get("grpc-status") else { return response };
    if response.headers().contains_key("grpc-status-details-bin") || code == "0" {
        return response;
    }
    let status = match Code::from_bytes(code.as_bytes()) {
        Code::Unimplemented => {
            metrics().malformed(Malformed::NoMethod);
            let message = "there is no such method, or the message is compressed in a way that is not taken";
            status::refusal(Reason::MethodNotFound, message, request_id)
        }
        // No error of ours has these codes without details, so it was the decoder.
        Code::OutOfRange => {
            metrics().malformed(Malformed::TooLarge);
            status::too_large(request_id)
        }
        Code::Internal => {
            metrics().malformed(Malformed::NoProtobuf);
            status::malformed(request_id)
        }
        _ => return response,
    };
    status.into_http()
}
