//! The id of a call, its line in the log, and its span.
//!
//! The span is a part of the caller's trace where the caller names one. It is made
//! only where somebody wants it: a collector of traces, or a log at level `debug`.

use std::{sync::Arc, time::Instant};

use http::{Request, Uri};
use tracing::{Span, debug, debug_span, field::Empty};
use uuid::Uuid;

use crate::{
    model::Rpc,
    telemetry::{self, Class, Code},
};

/// A call that is being served.
pub(super) struct Trace {
    request_id: Arc<str>,
    uri: Uri,
    begun: Instant,
    span: Span,
}

impl Trace {
    /// A call begins. Its id is made here: one that a client chose could be
    /// another's.
    pub(super) fn begin<B>(request: &Request<B>, rpc: Option<Rpc>) -> Self {
        let mut buffer = Uuid::encode_buffer();
        let request_id = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        let name = rpc.map_or("unknown", Rpc::name);
        let span = debug_span!(
            target: telemetry::CALL,
            "request",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.grpc.status_code = Empty,
            request_id = &*request_id,
            trace_id = Empty,
        );
        if !span.is_disabled() {
            telemetry::follow(&span, request.headers());
        }
        Self { request_id: (&*request_id).into(), uri: request.uri().clone(), begun: Instant::now(), span }
    }

    pub(super) const fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The call ends.
    pub(super) fn end(self, code: Code) {
        let (number, latency_us) = (code.number(), self.begun.elapsed().as_micros());
        if !self.span.is_disabled() {
            self.span.record("rpc.grpc.status_code", number);
            if code.class() == Class::Failed {
                self.span.record("otel.status_code", "ERROR");
            }
        }
        debug!(request_id = %self.request_id, path = self.uri.path(), code = number, latency_us, "call served");
    }
}
