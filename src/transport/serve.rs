//! Connections: accepted, bounded, served, drained.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;
use tracing::{debug, warn};

use super::{
    Connections, Listener, Peer, Refused, Serves,
    body::Asked,
    connection::{self, Terms},
    descriptors,
    listener::Stream,
    room::Room,
};
use crate::telemetry::metrics;

/// How long to wait when the system has no descriptor for another connection:
/// asking at once again would burn a core.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves until `stop`, then takes no more connections or calls, and lets those
/// that were accepted end, for at most `grace`. Whether all of them did. Of clients whose
/// certificates are not taken `refused` is told.
pub async fn serve<S>(
    listeners: Vec<Listener>,
    bounds: Connections,
    service: S,
    refused: Refused,
    stop: CancellationToken,
    grace: Duration,
) -> bool
where
    S: Service<Request<Asked>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let bounds = Connections { total: descriptors::reserve(bounds.total), ..bounds };
    let (api, health) = (Room::api(&bounds), Room::health());
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let terms = Terms { bounds: Arc::new(bounds), stop, cut: cut.clone(), refused };
    let accepting = TaskTracker::new();
    for listener in listeners {
        let room = match listener.serves() {
            Serves::Api => Arc::clone(&api),
            Serves::Health => Arc::clone(&health),
        };
        let accepting_one =
            Accepting { listener, room, terms: terms.clone(), connections: connections.clone() };
        accepting.spawn(accepting_one.run(service.clone()));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    let drained = time::timeout(grace, connections.wait()).await.is_ok();
    cut.cancel();
    connections.wait().await;
    drained
}

/// What takes connections of one listener.
struct Accepting {
    listener: Listener,
    room: Arc<Room>,
    terms: Terms,
    connections: TaskTracker,
}

impl Accepting {
    async fn run<S>(self, service: S)
    where
        S: Service<Request<Asked>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                () = self.terms.stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    self.take(stream, peer, service.clone());
                }
                // It left before it was taken; nothing is wrong here.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Once and not twenty times a second.
                    if !failing {
                        warn!(listener = %self.listener.name(), %error, "cannot accept connections");
                    }
                    failing = true;
                    time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn take<S>(&self, stream: Stream, peer: Peer, service: S)
    where
        S: Service<Request<Asked>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let place = match self.room.place(&peer.source) {
            Ok(place) => place,
            Err(why) => {
                metrics().connection_refused(why);
                debug!(listener = %self.listener.name(), peer = %peer.address, ?why, "connection refused");
                return;
            }
        };
        let (tls, terms) = (self.listener.tls(), self.terms.clone());
        self.connections.spawn(async move {
            let _open = Open::new();
            connection::serve(stream, peer, tls, place, service, terms).await;
        });
    }
}

/// An open connection, for the metrics.
struct Open;

impl Open {
    fn new() -> Self {
        metrics().connection_opened();
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics().connection_closed();
    }
}
