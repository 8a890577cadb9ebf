//! What every call passes before its method and after it.
//!
//! THE STACK is the body of [`Stack::call`], read from top to bottom; each layer
//! is a file. It is one future with one allocation, because seven boxed layers
//! would cost a call more than its cryptography costs the gateway.

mod authenticate;
mod authorize;
mod deadline;
mod metrics;
mod panic;
mod rate_limit;
mod record;
mod refusal;
mod rest;
mod size;
mod trace;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use skms_backend::Priority;
use tonic::service::Routes;
use tower::Service;
use tracing::Instrument as _;

use self::record::Admitted;
use crate::{
    audit,
    auth::{Authenticator, Call, Standing, Taken},
    model::{Access, Reason, Rpc, Shape},
    policy::Policies,
    rates::Rates,
    rpc::status,
    transport::Peer,
};

/// Who stands in front of the services.
pub struct Guards {
    /// Who knows callers.
    pub authenticator: Authenticator,
    /// What they may do.
    pub policies: Policies,
    /// How much of it.
    pub rates: Rates,
    /// The record of who was refused.
    pub log: audit::Log,
}

/// How long a call may take, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The longest call. One without a deadline of its own is given this.
    pub longest: Duration,
    /// The same for a stream.
    pub stream: Duration,
    /// The longest message that is signed, in bytes.
    pub payload: usize,
    /// The longest batch, in bytes.
    pub batch: usize,
    /// The longest chunk of a large message, in bytes.
    pub chunk: usize,
}

/// The layers, around the services.
#[derive(Clone)]
pub struct Stack {
    routes: Routes,
    guards: Arc<Guards>,
    bounds: Bounds,
}

/// A call before it is known who makes it.
struct Arrived<'a> {
    peer: &'a Peer,
    request_id: &'a Arc<str>,
    rpc: Option<Rpc>,
    begun: Instant,
}

impl Arrived<'_> {
    /// The method, for records; what else was asked for is a stranger's text.
    fn name(&self) -> &'static str {
        self.rpc.map_or("unknown", Rpc::name)
    }
}

impl Stack {
    /// The layers around `routes`.
    #[must_use]
    pub fn new(routes: Routes, guards: Guards, bounds: Bounds) -> Self {
        Self { routes: routes.prepare(), guards: Arc::new(guards), bounds }
    }
}

impl<B> Service<Request<B>> for Stack
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Self { mut routes, guards, bounds } = self.clone();
        let rpc = Rpc::of_path(request.uri().path());
        // The id under which the call stands in logs, records and errors, its line in the log, its span.
        let trace = trace::Trace::begin(&request, rpc);
        // How many there are, how they end and how long they take.
        let counted = metrics::Counted::begin(rpc);
        let span = trace.span();
        let served = async move {
            let id = Arc::clone(trace.request_id());
            // When its caller stops waiting.
            let shape = rpc.map_or(Shape::Unary, Rpc::shape);
            let ends = deadline::Ends::of(request.headers(), shape, &bounds);
            let peer = request.extensions().get::<Peer>().cloned();
            let arrived =
                peer.as_ref().map(|peer| Arrived { peer, request_id: &id, rpc, begun: Instant::now() });
            let arrived = arrived.as_ref();
            let mut admitted = None;
            let served = async {
                // What is no gRPC call is refused before anything is read of it.
                let admission = match refusal::of_request(&request, &id) {
                    Some(refused) => Err(refused),
                    // Who calls, whether it is not too often, and whether it may call this at all.
                    None => admission(&guards, request.headers(), arrived, ends.call).await,
                };
                match admission {
                    Ok(let_in) => admitted = let_in,
                    Err(refused) => {
                        // No answer overtakes its question.
                        rest::let_in(request.into_body()).await;
                        return Err(refused);
                    }
                }
                if let Some(admitted) = &admitted {
                    request.extensions_mut().insert(admitted.call.clone());
                }
                // No message is larger than its method needs.
                let largest = rpc.map_or(0, |rpc| size::largest(rpc, bounds));
                let request = request.map(|body| size::Bounded::new(body, largest));
                let Ok(response) = routes.call(request).await;
                // What tonic refuses by itself gets the details that every error here has.
                Ok(refusal::explained(response, &id))
            };
            // A handler that panics is an error of one call, not the end of the process.
            let served = panic::contained(served.map(merged), &id);
            // Nobody waits longer than that, and a body that never comes is not waited for.
            let response = deadline::kept(served, ends.answer, &id).await;
            // No outcome is answered without its record.
            let response = match admitted.zip(arrived) {
                Some((admitted, arrived)) => record::kept(&guards, &admitted, arrived, response).await,
                None => response,
            };
            let code = metrics::code(&response);
            trace.end(code);
            counted.end(code);
            Ok(response)
        };
        Box::pin(served.instrument(span))
    }
}

/// An answer is an answer, whoever gave it.
fn merged<T>(answer: Result<T, T>) -> T {
    answer.unwrap_or_else(|refused| refused)
}

/// Who calls, and that it may, where the method is not for everybody and is there at
/// all; or why it is not let in.
async fn admission(
    guards: &Guards,
    headers: &HeaderMap,
    arrived: Option<&Arrived<'_>>,
    deadline: Instant,
) -> Result<Option<Admitted>, Response<tonic::body::Body>> {
    let Some(arrived) = arrived else {
        return Err(status::refusal(Reason::Internal, "the connection is not known", "").into_http());
    };
    let Arrived { peer, request_id, rpc, .. } = *arrived;
    if let Some(rpc) = rpc
        && rpc.access() == Access::Public
    {
        rate_limit::charged(guards, None, arrived).await?;
        return Ok(None);
    }
    if peer.health_only {
        let message = "this address tells of health and of nothing else";
        return Err(status::refusal(Reason::MethodNotFound, message, request_id).into_http());
    }
    let caller = authenticate::caller(guards, headers, arrived).await?;
    rate_limit::charged(guards, Some(&caller), arrived).await?;
    // That there is no such method is told by tonic, and to those who are known only.
    let Some(Access::Action(action)) = rpc.map(Rpc::access) else { return Ok(None) };
    let decision = authorize::may_call(guards, &caller, action, arrived).await?;
    authenticate::spent(guards, &caller, action, arrived).await?;
    let call = Call {
        caller,
        peer: Arc::clone(&peer.address),
        certificate: peer.fingerprint.clone(),
        request_id: Arc::clone(request_id),
        deadline,
        priority: Priority::Normal,
        item: None,
        taken: Taken::default(),
        standing: Standing::new(&guards.authenticator, peer.certificate.clone()),
    };
    Ok(Some(Admitted { call, action, decision }))
}
