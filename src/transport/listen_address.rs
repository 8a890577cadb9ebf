//! Where the gateway listens.
//!
//! **Invariant:** as long as callers are not authenticated, a [`ListenAddress`] can
//! be reached from this machine only.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;

/// An address to listen on, written `127.0.0.1:7443` or `unix:/run/skms/skms.sock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum ListenAddress {
    /// A TCP port of the loopback interface; port 0 is any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The same with a relative socket path resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::Tcp(address) => Self::Tcp(address),
            Self::Unix(path) => Self::Unix(base.join(path)),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => return Err(ListenAddressError::Form(text.to_owned())),
            Some(path) => return Ok(Self::Unix(path.into())),
            None => {}
        }
        let address: SocketAddr = text.parse().map_err(|_| ListenAddressError::Form(text.to_owned()))?;
        if address.ip().is_loopback() {
            Ok(Self::Tcp(address))
        } else {
            Err(ListenAddressError::NotLoopback(address))
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = ListenAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why the gateway does not listen there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddressError {
    /// Neither an address with a port nor a socket.
    #[error("`{0}` is no address; write `IP:PORT`, such as `127.0.0.1:7443`, or `unix:PATH`")]
    Form(String),
    /// Other machines could reach it.
    #[error(
        "`{0}` can be reached from other machines, and callers are not authenticated yet; \
         listen on `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`"
    )]
    NotLoopback(SocketAddr),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_they_were_written() {
        for text in ["127.0.0.1:7443", "127.8.8.8:0", "[::1]:7443", "unix:/run/skms/skms.sock", "unix:a.sock"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_other_machines_reach_is_refused() {
        for text in ["0.0.0.0:7443", "[::]:7443", "10.0.0.1:7443", "[::ffff:10.0.0.1]:7443"] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(matches!(error, ListenAddressError::NotLoopback(_)), "{error}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "7443", "localhost:7443", "127.0.0.1", "127.0.0.1:70000", "unix:", "tcp:1"] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(matches!(error, ListenAddressError::Form(_)), "{error}");
        }
    }
}
