//! One request for the keys of an issuer.
//!
//! **Invariant:** nothing that comes with a call decides where a request goes: the URL
//! is configured, and no redirect is followed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::error;

/// Fetches what is at `uri`. `authorities` vouch for an `https` server.
pub(super) async fn fetch(uri: Uri, authorities: std::path::PathBuf) -> Result<Bytes, Error> {
    let whole = async {
        let tls = tokio::task::spawn_blocking({
            let secure = uri.scheme_str() == Some("https");
            move || if secure { roots(&authorities) } else { Ok(RootCertStore::empty()) }
        });
        request(uri, tls.await.map_err(|_| Error::Stopped)??).await
    };
    tokio::time::timeout(TIMEOUT, whole).await.map_err(|_| Error::Timeout)?
}

/// The authorities in a file. They are read for each request, which is rare, so that a
/// file that was changed needs no reload. Blocks.
pub(super) fn roots(path: &std::path::Path) -> Result<RootCertStore, error::Error> {
    let pem = error::read(path, MAX_AUTHORITIES)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(error::Error::Authorities { path: path.to_owned() });
    }
    Ok(roots)
}

async fn request(uri: Uri, roots: RootCertStore) -> Result<Bytes, Error> {
    // The provider is named, as two libraries in one process may not agree on a default.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    // Made anew for each request, so no connection is kept.
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, concat!("skms/", env!("CARGO_PKG_VERSION")))
        .body(Empty::new())?;
    let response = client.request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(is_json) {
        return Err(Error::NotJson);
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(Error::Body)?;
    Ok(body.to_bytes())
}

/// `application/json`, `application/jwk-set+json` and the like.
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// A request that brought no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Authorities(#[from] error::Error),
    #[error("TLS cannot be used")]
    Tls(#[from] rustls::Error),
    #[error("there is no such request")]
    Request(#[from] http::Error),
    #[error("the server did not answer")]
    Server(#[from] hyper_util::client::legacy::Error),
    #[error("the answer was {0}; it must be 200, and redirects are not followed")]
    Status(StatusCode),
    #[error("the answer is not marked as JSON")]
    NotJson,
    #[error("the answer broke off, or is longer than {MAX_BODY} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer took longer than {TIMEOUT:?}")]
    Timeout,
    #[error("the gateway is stopping")]
    Stopped,
}

/// For everything, from the name of the server to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A hundred times what large issuers publish.
const MAX_BODY: usize = 1024 * 1024;
/// What browsers trust is a quarter of that.
const MAX_AUTHORITIES: u64 = 1024 * 1024;
