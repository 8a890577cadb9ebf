//! Where the gateway is, and how it is spoken to.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use tonic::transport::Uri;

use super::{Retry, TokenSource};

/// How to reach a gateway.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where it is; or where all of them are that know the same keys, of which each call goes
    /// to one that serves and has little to do.
    pub endpoints: Vec<Endpoint>,
    /// The certificates (PEM) that may vouch for it. Required for `https`: the
    /// roots of the system are not asked, since a gateway to key hardware is
    /// vouched for by its owner.
    pub ca_file: Option<PathBuf>,
    /// The client certificate (PEM, with those that lead to its authority) and its key
    /// (PEM), for a gateway that asks for them.
    pub identity_files: Option<IdentityFiles>,
    /// Where the bearer token of the caller comes from.
    pub token: Option<TokenSource>,
    /// Sends the token even where everyone on the way can read it.
    pub danger_plaintext_token: bool,
    /// Which calls are made again.
    pub retry: Retry,
    /// How long connecting may take, the TLS handshake included.
    pub connect_timeout: Duration,
    /// How long one call may take. The gateway is told, and stops then, too.
    pub call_timeout: Duration,
    /// The longest request, in bytes.
    pub max_send_bytes: usize,
    /// The longest answer, in bytes.
    pub max_receive_bytes: usize,
}

impl ClientConfig {
    /// Everything as usual, with the gateway at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoints: vec![endpoint],
            ca_file: None,
            identity_files: None,
            token: None,
            danger_plaintext_token: false,
            retry: Retry::default(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            call_timeout: DEFAULT_CALL_TIMEOUT,
            max_send_bytes: DEFAULT_MAX_SEND_BYTES,
            max_receive_bytes: DEFAULT_MAX_RECEIVE_BYTES,
        }
    }

    /// Another gateway that knows the same keys.
    #[must_use]
    pub fn and_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// The certificates that may vouch for the gateway.
    #[must_use]
    pub fn with_ca_file(self, path: impl Into<PathBuf>) -> Self {
        Self { ca_file: Some(path.into()), ..self }
    }

    /// The client certificate, and its key.
    #[must_use]
    pub fn with_identity(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let files = IdentityFiles { certificate: certificate.into(), key: key.into() };
        Self { identity_files: Some(files), ..self }
    }

    /// Where the token of the caller comes from.
    #[must_use]
    pub fn with_token(self, source: TokenSource) -> Self {
        Self { token: Some(source), ..self }
    }

    /// Which calls are made again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// How long one call may take, with all that is tried again.
    #[must_use]
    pub fn with_call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout, ..self }
    }
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Where a gateway listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `http://host:port`, in the clear.
    Http(Uri),
    /// `https://host:port`.
    Https(Uri),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Endpoint {
    /// Whether others on the network can read what is sent.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Http(uri) => !uri.host().is_some_and(is_loopback),
            Self::Https(_) | Self::Unix(_) => false,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///run/x` and `unix:/run/x` are the same in gRPC's naming.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(EndpointError) };
        }
        let uri: Uri = text.parse().map_err(|_| EndpointError)?;
        let authority = uri.authority().ok_or(EndpointError)?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(EndpointError);
        }
        match uri.scheme_str() {
            Some("http") => Ok(Self::Http(uri)),
            Some("https") => Ok(Self::Https(uri)),
            _ => Err(EndpointError),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) | Self::Https(uri) => f.write_str(uri.to_string().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint is http://HOST:PORT, https://HOST:PORT or unix:/PATH, and nothing behind it")]
pub struct EndpointError;

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Long enough for a handshake across continents.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// RSA keys of 4096 bits take some devices the better part of a minute.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The bound of a batch in the API, which no single request passes.
const DEFAULT_MAX_SEND_BYTES: usize = 4 * 1024 * 1024;
/// A page of 1,000 keys in full view, each with several versions.
const DEFAULT_MAX_RECEIVE_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_back() {
        for text in ["http://127.0.0.1:7443", "https://gateway.example:443", "http://[::1]:7", "unix:/run/s"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///run/s".parse(), Ok(Endpoint::Unix("/run/s".into())));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "localhost:7443",
            "ftp://x",
            "unix:relative",
            "unix:",
            "http://",
            "http://x/path",
            "http://x?query",
            "https://user:password@x",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
        }
    }

    #[test]
    fn only_plain_connections_that_leave_the_machine_are_exposed() {
        for (text, exposed) in [
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("http://localhost:1", false),
            ("http://localhost.evil.example:1", true),
            ("http://10.0.0.1:1", true),
            ("https://10.0.0.1:1", false),
            ("unix:/run/s", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
