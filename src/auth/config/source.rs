//! Where the keys of an issuer are published.
//!
//! **Invariant:** a [`JwksSource`] names a file, or a server that proves who it is,
//! or one on this machine: whoever can change the keys can be any caller.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use http::Uri;
use serde::Deserialize;

/// `file:PATH` or `https://…`; `http://` to this machine alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum JwksSource {
    /// A file, read at the start and whenever it changes.
    File(PathBuf),
    /// A URL, fetched at the start and from time to time.
    Url(Uri),
}

impl JwksSource {
    pub(super) fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Url(uri) => Self::Url(uri),
        }
    }
}

impl FromStr for JwksSource {
    type Err = JwksSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err(JwksSourceError::Form) } else { Ok(Self::File(path.into())) };
        }
        let uri: Uri = text.parse().map_err(|_| JwksSourceError::Form)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(JwksSourceError::Form)?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(JwksSourceError::Form);
        }
        match scheme {
            "https" => Ok(Self::Url(uri)),
            "http" if LOOPBACK.contains(&authority.host()) => Ok(Self::Url(uri)),
            "http" => Err(JwksSourceError::Plain),
            _ => Err(JwksSourceError::Form),
        }
    }
}

impl TryFrom<String> for JwksSource {
    type Error = JwksSourceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(uri) => uri.fmt(f),
        }
    }
}

/// A text that names no place for keys. It does not repeat the text, which may hold
/// a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksSourceError {
    /// It is of no form that is known here.
    #[error("write `file:PATH` or `https://HOST/PATH`, without a user or password")]
    Form,
    /// Whoever is on the network could change the keys.
    #[error("`http://` is for this machine only (127.0.0.1, [::1], localhost); use `https://`")]
    Plain,
}

/// What a development set-up runs its issuer on.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];
