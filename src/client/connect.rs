//! Opens the connection: plain, TLS (with aws-lc-rs, as everywhere in the
//! project) or a Unix socket.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use futures_util::future::select_ok;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{self, Certificate, Channel, ClientTlsConfig, Identity, Uri};
use tower::{Service, service_fn};
use zeroize::Zeroizing;

use super::{ClientConfig, Endpoint, Error, IdentityFiles, pool::Pool};

/// The gateways, of which one at least was reached within the connect timeout. The others,
/// and all later, are connected to by themselves.
pub(super) async fn pool(config: &ClientConfig) -> Result<Pool, Error> {
    let doors = config.endpoints.iter().map(|endpoint| Door::of(endpoint, config));
    let doors = doors.collect::<Result<Vec<_>, _>>()?;
    let first = config.endpoints.first().ok_or(Error::NoEndpoint)?;
    let tries = doors
        .iter()
        .enumerate()
        .map(|(number, door)| Box::pin(async move { door.connect().await.map(|channel| (number, channel)) }));
    let reached = tokio::time::timeout(config.connect_timeout, select_ok(tries)).await;
    let late = |_elapsed| Error::ConnectTimeout { endpoint: first.clone(), after: config.connect_timeout };
    let ((reached, channel), _) = reached.map_err(late)??;
    let members = doors.iter().enumerate().map(|(number, door)| {
        let channel = if number == reached { channel.clone() } else { door.lazy() };
        (door.name.clone(), channel)
    });
    Ok(Pool::new(members.collect()))
}

/// A way to a gateway.
struct Door {
    name: Endpoint,
    endpoint: transport::Endpoint,
    /// Where it is a Unix socket.
    path: Option<PathBuf>,
}

impl Door {
    fn of(name: &Endpoint, config: &ClientConfig) -> Result<Self, Error> {
        let (endpoint, path) = match name {
            Endpoint::Http(uri) => (endpoint(uri.clone(), name, config)?, None),
            Endpoint::Https(uri) => {
                let path =
                    config.ca_file.as_deref().ok_or_else(|| Error::CaMissing { endpoint: name.clone() })?;
                let mut tls = ClientTlsConfig::new().ca_certificate(ca(path)?);
                if let Some(files) = &config.identity_files {
                    tls = tls.identity(identity(files)?);
                }
                let endpoint = endpoint(uri.clone(), name, config)?.tls_config(tls);
                let unusable =
                    |source: transport::Error| Error::Ca { path: path.into(), source: source.into() };
                (endpoint.map_err(unusable)?, None)
            }
            // HTTP/2 wants an authority, and a path has none.
            Endpoint::Unix(path) => {
                (endpoint(Uri::from_static("http://localhost"), name, config)?, Some(path.clone()))
            }
        };
        Ok(Self { name: name.clone(), endpoint, path })
    }

    async fn connect(&self) -> Result<Channel, Error> {
        let failed = |source| Error::Connect { endpoint: self.name.clone(), source: Box::new(source) };
        let connected = match &self.path {
            None => self.endpoint.connect().await,
            Some(path) => self.endpoint.connect_with_connector(unix(path)).await,
        };
        connected.map_err(failed)
    }

    /// A channel that connects when it is used.
    fn lazy(&self) -> Channel {
        match &self.path {
            None => self.endpoint.connect_lazy(),
            Some(path) => self.endpoint.connect_with_connector_lazy(unix(path)),
        }
    }
}

fn unix(
    path: &Path,
) -> impl Service<Uri, Response = TokioIo<UnixStream>, Error = io::Error, Future: Send> + Send + use<> {
    let path = path.to_owned();
    service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })
}

fn endpoint(uri: Uri, name: &Endpoint, config: &ClientConfig) -> Result<transport::Endpoint, Error> {
    transport::Endpoint::from(uri)
        .connect_timeout(config.connect_timeout)
        .user_agent(concat!("skms/", env!("CARGO_PKG_VERSION")))
        .map_err(|source| Error::Connect { endpoint: name.clone(), source: Box::new(source) })
}

fn identity(files: &IdentityFiles) -> Result<Identity, Error> {
    let read = |path: &Path| {
        let unusable = |source| Error::Identity { path: path.to_owned(), source };
        let pem = Zeroizing::new(fs::read_to_string(path).map_err(|source| unusable(source.into()))?);
        // A file without either would be taken, and the handshake fail without a cause.
        if pem.contains("-----BEGIN ") { Ok(pem) } else { Err(unusable("there is no PEM in it".into())) }
    };
    Ok(Identity::from_pem(read(&files.certificate)?.as_bytes(), read(&files.key)?.as_bytes()))
}

fn ca(path: &Path) -> Result<Certificate, Error> {
    let unusable = |source| Error::Ca { path: path.into(), source };
    let pem = fs::read_to_string(path).map_err(|source| unusable(source.into()))?;
    // A file without a certificate would be taken, and every gateway refused.
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("there is no PEM certificate in it".into()));
    }
    Ok(Certificate::from_pem(pem))
}
