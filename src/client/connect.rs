//! Opens the connection: plain, TLS (with aws-lc-rs, as everywhere in the
//! project) or a Unix socket.

use std::{fs, path::Path};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{self, Certificate, Channel, ClientTlsConfig, Identity, Uri};
use tower::service_fn;
use zeroize::Zeroizing;

use super::{ClientConfig, Endpoint, Error, IdentityFiles};

/// A channel that has connected once, and connects again by itself.
pub(super) async fn channel(config: &ClientConfig) -> Result<Channel, Error> {
    let connected = tokio::time::timeout(config.connect_timeout, open(config)).await;
    connected.map_err(|_elapsed| Error::ConnectTimeout {
        endpoint: config.endpoint.clone(),
        after: config.connect_timeout,
    })?
}

async fn open(config: &ClientConfig) -> Result<Channel, Error> {
    let failed = |source| Error::Connect { endpoint: config.endpoint.clone(), source: Box::new(source) };
    match &config.endpoint {
        Endpoint::Http(uri) => endpoint(uri.clone(), config)?.connect().await.map_err(failed),
        Endpoint::Https(uri) => {
            let path = config
                .ca_file
                .as_deref()
                .ok_or_else(|| Error::CaMissing { endpoint: config.endpoint.clone() })?;
            let mut tls = ClientTlsConfig::new().ca_certificate(ca(path)?);
            if let Some(files) = &config.identity_files {
                tls = tls.identity(identity(files)?);
            }
            let endpoint = endpoint(uri.clone(), config)?.tls_config(tls);
            let endpoint =
                endpoint.map_err(|source| Error::Ca { path: path.into(), source: source.into() })?;
            endpoint.connect().await.map_err(failed)
        }
        Endpoint::Unix(path) => {
            // HTTP/2 wants an authority, and a path has none.
            let endpoint = endpoint(Uri::from_static("http://localhost"), config)?;
            let path = path.clone();
            let connector = service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await.map_err(failed)
        }
    }
}

fn endpoint(uri: Uri, config: &ClientConfig) -> Result<transport::Endpoint, Error> {
    transport::Endpoint::from(uri)
        .connect_timeout(config.connect_timeout)
        .user_agent(concat!("skms/", env!("CARGO_PKG_VERSION")))
        .map_err(|source| Error::Connect { endpoint: config.endpoint.clone(), source: Box::new(source) })
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
