//! What the gateway says of itself over plain HTTP, to whoever runs it: `/metrics`
//! for Prometheus, `/livez` and `/readyz` for a supervisor.
//!
//! It is not for callers: nobody is authenticated here, so it is bound to this machine
//! unless the configuration says otherwise, and it can change nothing.
//!
//! **Invariant:** whatever comes, it holds at most `CONNECTIONS` connections, and
//! none for longer than `LIFE`.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{health::Readiness, telemetry::metrics};

/// Where the gateway speaks of itself: the section `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address.
    pub listen: Listen,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: Listen(Some((Ipv4Addr::LOCALHOST, PORT).into())) }
    }
}

/// Beside the port of the API.
const PORT: u16 = 7444;

/// An address, written `127.0.0.1:7444`; or, empty, that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(Option<SocketAddr>);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|address| Self(Some(address))).map_err(|_| ListenError(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = ListenError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address; write `IP:PORT`, such as `127.0.0.1:7444`, or nothing")]
pub struct ListenError(String);

/// Connections at once; one more waits in the backlog of the system. A supervisor and
/// a few scrapers need one each.
const CONNECTIONS: usize = 64;
/// How long a request may take to arrive, and how long a connection may wait for the
/// next one.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const HEAD: usize = 8 * 1024;
/// How long a connection is kept. A scraper that stays longer connects again.
const LIFE: Duration = Duration::from_secs(5 * 60);
/// How long to wait when the system has no descriptor for another connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A socket that listens.
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds and listens; none where the configuration says so.
    ///
    /// # Errors
    /// Says which address cannot be had and why.
    pub async fn bind(config: &Config) -> Result<Option<Self>, BindError> {
        let Some(address) = config.listen.0 else { return Ok(None) };
        let listener = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
        if !address.ip().is_loopback() {
            warn!(%address, "the admin address can be reached from other machines, by anybody");
        }
        Ok(Some(Self { listener }))
    }

    /// Serves until `stop`.
    pub fn serve(self, readiness: Arc<Readiness>, stop: CancellationToken) -> JoinHandle<()> {
        // Said before anything else is: who reads that the gateway serves can ask here.
        match self.listener.local_addr() {
            Ok(address) => info!(%address, "serving admin"),
            Err(error) => warn!(%error, "serving admin at an address that the system does not tell"),
        }
        tokio::spawn(self.accept(readiness, stop))
    }

    async fn accept(self, readiness: Arc<Readiness>, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((permit, self.listener.accept().await?.0))
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = next => accepted,
            };
            let (permit, stream) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept an admin connection");
                    time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let (readiness, stop) = (Arc::clone(&readiness), stop.clone());
            tokio::spawn(async move {
                // Nothing is lost with an answer of these: whoever asked asks again.
                tokio::select! {
                    () = stop.cancelled() => {}
                    _ = time::timeout(LIFE, connection(stream, &readiness)) => {}
                }
                drop(permit);
            });
        }
    }
}

async fn connection(stream: TcpStream, readiness: &Readiness) {
    let service = service_fn(async |request: Request<_>| Ok::<_, Infallible>(answer(&request, readiness)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "admin connection ended");
    }
}

const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a request. A body of it is not read.
fn answer<B>(request: &Request<B>, readiness: &Readiness) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/livez" | "/readyz") {
        return response(StatusCode::NOT_FOUND, TEXT, "not found\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match path {
        "/metrics" => response(StatusCode::OK, OPENMETRICS, metrics().render()),
        "/readyz" => {
            let missing = readiness.missing();
            let status = if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            response(status, JSON, format!("{}\n", serde_json::json!({ "missing": missing })))
        }
        // That there is an answer is the answer.
        _ => response(StatusCode::OK, TEXT, "ok\n"),
    }
}

fn response(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An address that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}` for `[admin]`")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_and_a_port_or_nothing() {
        assert_eq!("".parse::<Listen>(), Ok(Listen(None)));
        assert_eq!("127.0.0.1:7444".parse::<Listen>(), Ok(Config::default().listen));
        for bad in ["7444", "localhost:7444", "unix:admin.sock", "127.0.0.1"] {
            assert_eq!(bad.parse::<Listen>(), Err(ListenError(bad.to_owned())));
        }
    }

    #[test]
    fn what_keeps_the_gateway_from_serving_is_named() {
        let (_, none) = crate::backends::of(std::collections::BTreeMap::new());
        let readiness = Readiness::new(none, Vec::new());
        readiness.drain();
        let ask = |path: &str| answer(&Request::get(path).body(()).unwrap(), &readiness);
        let mut refused = ask("/readyz");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body =
            futures_util::FutureExt::now_or_never(http_body_util::BodyExt::collect(refused.body_mut()));
        let body = body.unwrap().unwrap().to_bytes();
        assert_eq!(&body[..], b"{\"missing\":[\"backends\",\"draining\"]}\n");
        // The process lives all the same.
        assert_eq!(ask("/livez").status(), StatusCode::OK);
    }
}
