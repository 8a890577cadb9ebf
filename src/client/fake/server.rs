//! The server of the fake.

use std::{net::SocketAddr, path::Path, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::Runtime,
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{
    metadata::MetadataMap,
    service::Routes,
    transport::{Identity, Server, ServerTlsConfig},
};

use super::Answers;
use crate::proto::{
    crypto_service_server::CryptoServiceServer, key_management_server::KeyManagementServer,
    system_service_server::SystemServiceServer,
};

/// A running fake; its runtime, and with it the server, ends when it is dropped.
pub(crate) struct Fake {
    runtime: Runtime,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    endpoint: String,
}

impl Fake {
    /// Listens on a free port of the loopback interface.
    pub(crate) fn tcp() -> Self {
        Self::start("http", Server::builder())
    }

    /// The same over TLS, for `localhost`.
    pub(crate) fn tls(certificate_pem: &str, key_pem: &str) -> Self {
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate_pem, key_pem));
        Self::start("https", Server::builder().tls_config(tls).unwrap())
    }

    /// Listens on a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let (runtime, seen) = parts();
        let listener = runtime.block_on(async { UnixListener::bind(path) }).unwrap();
        let routes = routes(&seen);
        runtime.spawn(
            Server::builder().add_routes(routes).serve_with_incoming(UnixListenerStream::new(listener)),
        );
        Self { runtime, seen, endpoint: format!("unix:{}", path.display()) }
    }

    fn start(scheme: &str, mut server: Server) -> Self {
        let (runtime, seen) = parts();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(TcpListener::bind(any_port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = routes(&seen);
        runtime.spawn(server.add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener)));
        Self { runtime, seen, endpoint: format!("{scheme}://localhost:{port}") }
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Runs a client beside the server.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The value of a header in every call so far.
    pub(crate) fn seen(&self, header: &str) -> Vec<Option<String>> {
        let text = |all: &MetadataMap| all.get(header).map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().iter().map(text).collect()
    }
}

fn parts() -> (Runtime, Arc<Mutex<Vec<MetadataMap>>>) {
    (
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        Arc::default(),
    )
}

fn routes(seen: &Arc<Mutex<Vec<MetadataMap>>>) -> Routes {
    let answers = Answers { seen: Arc::clone(seen) };
    // Serves the empty name, and no other.
    let (_reporter, health) = tonic_health::server::health_reporter();
    Routes::new(KeyManagementServer::new(answers.clone()))
        .add_service(CryptoServiceServer::new(answers.clone()))
        .add_service(SystemServiceServer::new(answers))
        .add_service(health)
}
