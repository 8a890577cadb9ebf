//! The life of a connection: the handshake, the preface, calls, the farewell.
//!
//! **Invariant:** every step has an end that the client cannot put off.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::{
    Connections, Peer, Refused,
    activity::Activity,
    body::{Answer, Asked},
    http2::http2,
    listener::Stream,
    peer::Withdrawn,
    preface::Spoken,
    room::Place,
    timeout::timeout_of,
    tls::{self, Credential, Tls},
};
use crate::telemetry::{Handshake, metrics};

/// How long it may last, and what ends it from outside.
#[derive(Clone)]
pub(super) struct Terms {
    pub(super) bounds: Arc<Connections>,
    /// No new calls.
    pub(super) stop: CancellationToken,
    /// No calls at all.
    pub(super) cut: CancellationToken,
    /// Hears of client certificates that are not taken.
    pub(super) refused: Refused,
}

/// Serves a connection from its first byte to its last.
pub(super) async fn serve<S>(
    stream: Stream,
    mut peer: Peer,
    mut tls: Option<watch::Receiver<Arc<Tls>>>,
    place: Place,
    service: S,
    terms: Terms,
) where
    S: Service<Request<Asked>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let activity = Activity::new();
    let beginning = begin(stream, tls.as_mut(), &place, &terms.bounds, &activity);
    let begun = tokio::select! {
        () = terms.stop.cancelled() => return,
        begun = beginning => begun,
    };
    let (stream, credential) = match begun {
        Ok(begun) => begun,
        Err(Failure { why, detail, error }) => {
            metrics().handshake_failure(why);
            if let Some(detail) = detail {
                (terms.refused)(&peer, detail);
            }
            debug!(peer = %peer.address, error, "no connection");
            return;
        }
    };
    if let Some(credential) = &credential {
        let certificate = credential.certificate();
        peer.fingerprint = Some(hex::encode(certificate.fingerprint).into());
        peer.certificate = Some(Arc::clone(certificate));
    }

    let caller = peer.clone();
    let account = Arc::clone(&activity);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let call = account.call(timeout_of(request.headers()));
        request.extensions_mut().insert(caller.clone());
        let answered = service.clone().oneshot(request.map(|body| Asked::new(body, Arc::clone(&account))));
        async move {
            let response = answered.await?;
            Ok::<_, Infallible>(response.map(|body| Answer::new(body, call)))
        }
    });
    let mut connection = pin!(http2().serve_connection(TokioIo::new(stream), service));
    let age = Instant::now() + aged(terms.bounds.max_age);
    let withdrawn = peer.withdrawn.clone();
    let mut ends = Ends { credential, tls, withdrawn, terms, activity, age };
    let why = tokio::select! {
        biased;
        // What ends it is seen before the next call is.
        why = ends.first() => why,
        ended = connection.as_mut() => return closed(&peer, &ended),
    };
    debug!(peer = %peer.address, ?why, "asking a client to leave");
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        () = ends.last(why) => debug!(peer = %peer.address, "connection cut"),
        ended = connection.as_mut() => closed(&peer, &ended),
    }
}

/// Why a connection never came to a call.
struct Failure {
    why: Handshake,
    /// What was wrong with the client certificate.
    detail: Option<&'static str>,
    error: String,
}

async fn begin(
    stream: Stream,
    tls: Option<&mut watch::Receiver<Arc<Tls>>>,
    place: &Place,
    bounds: &Connections,
    activity: &Arc<Activity>,
) -> Result<(Spoken, Option<Credential>), Failure> {
    let (stream, credential) = match tls {
        None => (stream, None),
        Some(current) => {
            // What replaces it during the handshake is seen as a change afterwards.
            let tls = Arc::clone(&current.borrow_and_update());
            let shaking = async {
                let _turn = place.turn().await;
                tls::shake(&tls, stream).await
            };
            let late = |_| Failure {
                why: Handshake::Timeout,
                detail: None,
                error: "the handshake took too long".to_owned(),
            };
            let shaken = time::timeout(bounds.handshake_timeout, shaking).await.map_err(late)?;
            let failed = |error: tls::Failed| Failure {
                why: error.label(),
                detail: error.detail(),
                error: error.to_string(),
            };
            let shaken = shaken.map_err(failed)?;
            (shaken.stream, shaken.credential)
        }
    };
    let spoken = Spoken::by(stream, bounds.preface_timeout, Arc::clone(activity)).await;
    let spoken = spoken.map_err(|error| Failure {
        why: if error.kind() == std::io::ErrorKind::TimedOut {
            Handshake::Timeout
        } else {
            Handshake::Preface
        },
        detail: None,
        error: error.to_string(),
    })?;
    Ok((spoken, credential))
}

/// What ends a connection that its client does not end.
struct Ends {
    credential: Option<Credential>,
    tls: Option<watch::Receiver<Arc<Tls>>>,
    withdrawn: Withdrawn,
    terms: Terms,
    activity: Arc<Activity>,
    age: Instant,
}

/// Why a client is asked to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Stop,
    Age,
    Idle,
    Certificate,
    Foul,
}

impl Ends {
    /// Waits for the first reason to ask the client to leave.
    async fn first(&mut self) -> Why {
        let Self { credential, tls, withdrawn, terms, activity, age } = self;
        tokio::select! {
            () = terms.stop.cancelled() => Why::Stop,
            () = refused(credential.as_ref(), tls.as_mut(), withdrawn) => Why::Certificate,
            () = activity.foul() => Why::Foul,
            () = time::sleep_until(*age) => Why::Age,
            () = activity.idle(terms.bounds.first_call_timeout, terms.bounds.idle_timeout) => Why::Idle,
        }
    }

    /// Waits until a client that was asked to leave has had its time.
    async fn last(&mut self, why: Why) {
        let Self { credential, tls, withdrawn, terms, activity, .. } = self;
        let had = async {
            match why {
                Why::Stop => std::future::pending().await,
                Why::Age | Why::Idle => {
                    if !activity.has_called() {
                        // A call may be on its way; there is none to be waited for.
                        time::sleep(LAST_WORDS).await;
                        if !activity.has_called() {
                            return;
                        }
                    }
                    time::sleep(terms.bounds.farewell).await;
                }
                Why::Certificate => time::sleep(LAST_WORDS).await,
                // One that floods does not answer the farewell either, and until it does
                // it can go on: HTTP/2 has the client acknowledge it (RFC 9113 §6.8).
                Why::Foul => {}
            }
        };
        let gone = async {
            refused(credential.as_ref(), tls.as_mut(), withdrawn).await;
            time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            () = terms.cut.cancelled() => {}
            () = had => {}
            () = gone => {}
            () = activity.foul() => {}
        }
    }
}

/// Waits until the certificate of the client, if it has one, is good no more. No call
/// that arrives from then on has it for proof.
async fn refused(
    credential: Option<&Credential>,
    tls: Option<&mut watch::Receiver<Arc<Tls>>>,
    withdrawn: &Withdrawn,
) {
    match (credential, tls) {
        (Some(credential), Some(tls)) => credential.withdrawn(tls).await,
        _ => std::future::pending().await,
    }
    withdrawn.set();
}

fn closed(peer: &Peer, ended: &hyper::Result<()>) {
    match ended {
        Ok(()) => debug!(peer = %peer.address, "connection ended"),
        Err(error) => debug!(peer = %peer.address, %error, "connection ended"),
    }
}

/// Up to a tenth more, at random, so that clients which came together do not come again
/// together.
fn aged(age: Duration) -> Duration {
    let [random, ..] = uuid::Uuid::new_v4().into_bytes();
    age + age / 10 * u32::from(random) / u32::from(u8::MAX)
}

/// How long calls may go on whose client is not known any more; new ones are refused.
/// What was revoked has no connection five seconds after the list is in its place.
const LAST_WORDS: Duration = Duration::from_secs(2);
