//! What every call passes before its method and after it.
//!
//! THE STACK is the body of [`Stack::call`], read from top to bottom; each layer
//! is a file. It is one future with one allocation, because seven boxed layers
//! would cost a call more than its cryptography costs the gateway.

mod deadline;
mod identify;
mod metrics;
mod panic;
mod refusal;
mod trace;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::{body::Body, service::Routes};
use tower::Service;
use tracing::Instrument as _;

use crate::model::Rpc;

/// The layers, around the services.
#[derive(Clone)]
pub struct Stack {
    routes: Routes,
    longest: Duration,
}

impl Stack {
    /// The layers around `routes`. A call without a deadline of its own is given
    /// `longest`, and none gets more.
    #[must_use]
    pub fn new(routes: Routes, longest: Duration) -> Self {
        Self { routes: routes.prepare(), longest }
    }
}

impl Service<Request<Incoming>> for Stack {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let mut routes = self.routes.clone();
        let longest = self.longest;
        let rpc = Rpc::of_path(request.uri().path());
        // The id under which the call stands in logs, records and errors, its line in the log, its span.
        let trace = trace::Trace::begin(&request, rpc);
        // How many there are, how they end and how long they take.
        let counted = metrics::Counted::begin(rpc);
        let span = trace.span();
        let served = async move {
            let id = Arc::clone(trace.request_id());
            // What is no gRPC call is refused before anything is read of it.
            let response = if let Some(refused) = refusal::of_request(&request, &id) {
                refused
            } else {
                // When its caller stops waiting.
                let deadline = deadline::of(request.headers(), longest);
                // Who that is.
                identify::caller(&mut request, Arc::clone(&id), deadline);
                // A handler that panics is an error of one call, not the end of the process.
                let response = panic::contained(routes.call(request), &id);
                // Nobody waits longer than that, and a body that never comes is not waited for.
                let response = deadline::kept(response, deadline, &id).await;
                // What tonic refuses by itself gets the details that every error here has.
                refusal::explained(response, &id)
            };
            let code = metrics::code(&response);
            trace.end(code);
            counted.end(code);
            Ok(response)
        };
        Box::pin(served.instrument(span))
    }
}
