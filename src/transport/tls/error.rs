//! Why TLS cannot be set up.

use std::{io, path::PathBuf};

use skms_backend::SecretRefError;

/// Why the files of a listener cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file holds cannot be used.
    #[error("cannot use `{}`: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] SecretRefError),
    /// The certificate and the key cannot be used together.
    #[error("cannot use the key with the certificate `{}`", path.display())]
    Pair {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A chain could mean two authorities.
    #[error("`{first}` and `{second}` have a certificate in common; a chain to it would name neither")]
    Shared {
        /// An authority.
        first: String,
        /// Another.
        second: String,
    },
    /// The library does not do what it is asked for.
    #[error("cannot set TLS up")]
    Setup {
        /// Why.
        source: rustls::Error,
    },
}

impl Error {
    pub(super) fn content(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), problem: problem.into() }
    }
}
