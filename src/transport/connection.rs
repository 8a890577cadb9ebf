//! Connections: accepted, bounded, served, drained.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{sync::Semaphore, time};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tracing::{debug, warn};

use super::{Listener, preface::Spoken};

/// Connections at once; one more waits in the backlog of the system.
const CONNECTIONS: usize = 1024;
/// Calls at once on one connection. hyper's own limit is lost when tonic serves.
const STREAMS: u32 = 256;
/// Streams that a peer may reset before they were accepted (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a peer may make us reset (RUSTSEC-2024-0003).
const LOCAL_RESETS: usize = 64;
/// All headers of a call. A token has 4 KiB at most.
const HEADER_BYTES: u32 = 8 * 1024;
/// One message of the usual size travels without waiting for the window.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What one connection may have in flight and in memory.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Answers that wait for a slow reader, by stream.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that is silent for so long is asked whether it is there …
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// … and given up when it does not say so within this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no descriptor for another connection:
/// asking at once again would burn a core.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Serves until `stop`, then takes no more connections or calls, and lets those
/// that were accepted end, for at most `grace`. Whether all of them did.
pub async fn serve<S>(listeners: Vec<Listener>, service: S, stop: CancellationToken, grace: Duration) -> bool
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let connections = Arc::new(GracefulShutdown::new());
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(
            listener,
            service.clone(),
            Arc::clone(&connections),
            Arc::clone(&room),
            stop.clone(),
        ));
    }
    while accepting.join_next().await.is_some() {}
    // Every accept loop has ended and given its share back.
    let Some(connections) = Arc::into_inner(connections) else { return false };
    time::timeout(grace, connections.shutdown()).await.is_ok()
}

async fn accept<S>(
    listener: Listener,
    service: S,
    connections: Arc<GracefulShutdown>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((permit, listener.accept().await?))
        };
        let (permit, (stream, peer)) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = next => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
        };
        let (service, caller) = (service.clone(), peer.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(caller.clone());
            service.clone().oneshot(request)
        });
        // Held until the connection ends: the shutdown waits for every watcher.
        let (watcher, stop) = (connections.watcher(), stop.clone());
        tokio::spawn(async move {
            let spoken = tokio::select! {
                () = stop.cancelled() => return,
                spoken = Spoken::by(stream) => spoken,
            };
            let served = match spoken {
                Ok(stream) => {
                    let connection = http2().serve_connection(TokioIo::new(stream), service);
                    watcher.watch(connection).await.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = served {
                debug!(peer = %peer.address, error, "connection ended");
            }
            drop(permit);
        });
    }
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
