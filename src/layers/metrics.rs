//! Every call is counted, once, with its code and its time; one whose caller hung up
//! before its answer, too.

use std::time::Instant;

use http::Response;
use tonic::body::Body;

use crate::{
    model::Rpc,
    telemetry::{Code, metrics},
};

/// A call that is being served.
pub(super) struct Counted {
    rpc: Option<Rpc>,
    begun: Instant,
    /// Until the call has another one, it is as if its caller had hung up: then this
    /// is dropped in the midst of it.
    code: Code,
}

impl Counted {
    /// A call begins; `rpc` is none where there is no such method.
    pub(super) fn begin(rpc: Option<Rpc>) -> Self {
        metrics().request_begun();
        Self { rpc, begun: Instant::now(), code: Code::Cancelled }
    }

    /// The call ends.
    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics().request_ended(self.rpc, self.code, self.begun.elapsed());
    }
}

/// The code of a response. It stands in the headers when it is an error: our answers
/// are single messages, which fail before they begin. A stream counts by how it began.
pub(super) fn code(response: &Response<Body>) -> Code {
    let header = response.headers().get("grpc-status");
    header.map_or(Code::Ok, |header| Code::of_header(header.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_read_and_an_answer_is_ok() {
        let response = |code: Option<&str>| {
            let mut response = Response::new(Body::empty());
            if let Some(code) = code {
                response.headers_mut().insert("grpc-status", code.parse().unwrap());
            }
            response
        };
        for (header, expected) in [
            (None, Code::Ok),
            (Some("0"), Code::Ok),
            (Some("7"), Code::PermissionDenied),
            (Some("x"), Code::Unknown),
        ] {
            assert_eq!(code(&response(header)), expected);
        }
    }
}
