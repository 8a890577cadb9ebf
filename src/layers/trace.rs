//! The id of a call, its line in the log, and its spans.
//!
//! There are two. One is of the log: it puts the id of the call, and of the trace that
//! its caller names, into every line that is written for it, so it is there for every
//! call and carries no more than that. The other is for a collector of traces, a part of
//! the caller's trace, and made only where there is one. It ends with the call; what a
//! device still does for nobody keeps only the first.

use std::{sync::Arc, time::Instant};

use http::{Request, Uri};
use tracing::{Span, debug, field::Empty, info_span};
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
    logged: Span,
    traced: Span,
}

impl Trace {
    /// A call begins. Its id is made here: one that a client chose could be
    /// another's.
    pub(super) fn begin<B>(request: &Request<B>, rpc: Option<Rpc>) -> Self {
        let mut buffer = Uuid::encode_buffer();
        let request_id = &*Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        let name = rpc.map_or("unknown", Rpc::name);
        let trace = telemetry::Trace::of(request.headers());
        let logged = info_span!(
            target: telemetry::CALL,
            "call",
            rpc = name,
            request_id,
            trace_id = trace.as_ref().map(telemetry::Trace::id),
        );
        let traced = info_span!(
            target: telemetry::TRACED,
            parent: None,
            "request",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.grpc.status_code = Empty,
            request_id,
        );
        if let Some(trace) = trace
            && !traced.is_disabled()
        {
            trace.adopt(&traced);
        }
        Self {
            request_id: request_id.into(),
            uri: request.uri().clone(),
            begun: Instant::now(),
            logged,
            traced,
        }
    }

    pub(super) const fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// The span of the log.
    pub(super) fn span(&self) -> Span {
        self.logged.clone()
    }

    /// The call ends.
    pub(super) fn end(self, code: Code) {
        let (number, latency_us) = (code.number(), self.begun.elapsed().as_micros());
        if !self.traced.is_disabled() {
            self.traced.record("rpc.grpc.status_code", number);
            if code.class() == Class::Failed {
                self.traced.record("otel.status_code", "ERROR");
            }
        }
        debug!(path = self.uri.path(), code = number, latency_us, "call served");
    }
}
