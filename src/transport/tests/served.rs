//! A transport that serves, with a service that answers by hand, and its clients.
//!
//! `/who` answers with what is known of the peer, `/slow` when it is told to, `/read`
//! when it has read the message; `/late` counts if the certificate is good no more.

use std::{convert::Infallible, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::ServerName,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::{
    pki::{Ca, Leaf, write},
    soon,
};
use crate::transport::{
    Asked, ClientCertificates, Config, Connections, ListenAddress, Listener, Peer, serve, tls,
};

/// A transport that serves.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) live: Option<tls::Live>,
    pub(super) stop: CancellationToken,
    pub(super) drained: JoinHandle<bool>,
    /// One more for each call of `/slow` that has begun.
    pub(super) begun: Arc<Semaphore>,
    /// Lets one call of `/slow` end.
    pub(super) end: Arc<Semaphore>,
    /// What was wrong with client certificates.
    pub(super) refused: Arc<Mutex<Vec<&'static str>>>,
}

/// The grace of a stop: long enough for a busy machine.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Bounds that no test reaches unless it sets others.
pub(super) fn bounds() -> Connections {
    let long = Duration::from_secs(3600);
    Connections {
        handshake_timeout: long,
        preface_timeout: long,
        first_call_timeout: long,
        idle_timeout: long,
        max_age: long,
        farewell: long,
        ..Connections::default()
    }
}

/// Plain on loopback, at any port.
pub(super) fn plain() -> Config {
    Config::at(ListenAddress::Tcp(([127, 0, 0, 1], 0).into()))
}

/// With the certificate `server.pem` and the key `server.key` of a directory.
pub(super) fn over_tls(directory: &Path, clients: ClientCertificates) -> Config {
    Config {
        certificate: Some(directory.join("server.pem")),
        key: Some(skms_backend::SecretRef::File(directory.join("server.key"))),
        client_certificates: clients,
        ..plain()
    }
}

/// Writes the files that [`over_tls`] names.
pub(super) fn certify(directory: &Path, leaf: &Leaf) {
    write(directory, "server.pem", &leaf.pem);
    write(directory, "server.key", &leaf.key_pem);
}

impl Served {
    pub(super) async fn start(config: Config, bounds: Connections, authorities: &[tls::Authority]) -> Self {
        let live = tls::Live::open(&"api".parse().unwrap(), &config, authorities).unwrap();
        let listener = Listener::bind(
            &"api".parse().unwrap(),
            &config,
            live.clone(),
            &mut crate::transport::Passed::default(),
        )
        .await
        .unwrap();
        Self::with(vec![listener], live, bounds)
    }

    pub(super) fn with(listeners: Vec<Listener>, live: Option<tls::Live>, bounds: Connections) -> Self {
        let ListenAddress::Tcp(address) = listeners[0].address().unwrap() else { panic!("not TCP") };
        let (begun, end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&end));
        let service = tower::service_fn(move |request: Request<Asked>| {
            let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
            async move { Ok::<_, Infallible>(answer(request, &begins, &ends).await) }
        });
        let stop = CancellationToken::new();
        let refused = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&refused);
        let tell = Arc::new(move |peer: &Peer, detail| {
            assert_eq!(*peer.source, *"127.0.0.1");
            told.lock().push(detail);
        });
        let drained = tokio::spawn(serve(listeners, bounds, service, tell, stop.clone(), GRACE));
        Self { address, live, stop, drained, begun, end, refused }
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Shakes hands.
    pub(super) async fn tls(&self, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(config)).connect(name, self.tcp().await).await
    }

    /// A client that calls over TLS.
    pub(super) async fn client(&self, config: &Arc<ClientConfig>) -> Client {
        Client::over(self.tls(config).await.unwrap()).await
    }
}

async fn answer(request: Request<Asked>, begins: &Semaphore, ends: &Semaphore) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().unwrap().clone();
    match request.uri().path() {
        "/slow" => {
            begins.add_permits(1);
            ends.acquire().await.unwrap().forget();
        }
        "/late" if peer.withdrawn.is_set() => begins.add_permits(1),
        "/read" => drop(request.into_body().collect().await.unwrap()),
        _ => {}
    }
    let who = peer.certificate.map_or_else(
        || format!("health_only={}", peer.health_only),
        |one| format!("{} {} {:?} {:?} {:?}", one.authority, one.serial, one.uris, one.dns_names, one.emails),
    );
    Response::builder().header("who", who).body(Body::empty()).unwrap()
}

/// A client that calls.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection.
    pub(super) connection: JoinHandle<hyper::Result<()>>,
}

impl Client {
    pub(super) async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = soon(handshake).await.unwrap();
        Self { sender, connection: tokio::spawn(connection) }
    }

    pub(super) async fn call(&mut self, path: &str, message: Bytes) -> hyper::Result<String> {
        let uri = format!("http://localhost{path}");
        let request = Request::post(uri).body(Full::new(message)).unwrap();
        self.sender.ready().await?;
        let response = soon(self.sender.send_request(request)).await?;
        Ok(response.headers()["who"].to_str().unwrap().to_owned())
    }

    pub(super) async fn who(&mut self) -> hyper::Result<String> {
        self.call("/who", Bytes::new()).await
    }
}

/// How a client speaks TLS: by default as ours should.
pub(super) fn client(roots: &Ca, leaf: Option<&Leaf>) -> Arc<ClientConfig> {
    client_with(roots, leaf, &[&rustls::version::TLS13], &[b"h2"])
}

pub(super) fn client_with(
    roots: &Ca,
    leaf: Option<&Leaf>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Arc<ClientConfig> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let mut store = RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(store);
    let mut config = match leaf {
        // Not by way of a check that the two go together, as not all of them do here.
        Some(leaf) => {
            let key = aws_lc_rs::sign::any_supported_type(&leaf.key).unwrap();
            let certified = CertifiedKey::new(leaf.chain.clone(), key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}
