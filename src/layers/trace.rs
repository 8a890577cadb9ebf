//! The id of a call and its line in the log.

use std::{sync::Arc, time::Instant};

use http::{Request, Response};
use tonic::body::Body;
use tracing::debug;
use uuid::Uuid;

/// A call that is being served.
pub(super) struct Trace {
    request_id: Arc<str>,
    path: String,
    begun: Instant,
}

impl Trace {
    /// A call begins. Its id is made here: one that a client chose could be
    /// another's.
    pub(super) fn begin<B>(request: &Request<B>) -> Self {
        let mut buffer = Uuid::encode_buffer();
        let request_id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        Self {
            request_id: (&*request_id).into(),
            path: request.uri().path().to_owned(),
            begun: Instant::now(),
        }
    }

    pub(super) const fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// The call ends. Its code stands in the headers only when it is an error.
    pub(super) fn end(self, response: &Response<Body>) {
        let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or("0");
        let latency_us = self.begun.elapsed().as_micros();
        debug!(request_id = %self.request_id, path = self.path, code, latency_us, "call served");
    }
}
