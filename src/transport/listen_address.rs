//! Where the gateway listens.

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
    /// A TCP port; 0 is any free one.
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

    /// Whether this machine alone can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether the system is to choose a port, another one each time.
    #[must_use]
    pub const fn is_any_port(&self) -> bool {
        match self {
            Self::Tcp(address) => address.port() == 0,
            Self::Unix(_) => false,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some("") => Err(ListenAddressError(text.to_owned())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| ListenAddressError(text.to_owned())),
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

/// A text that is neither an address with a port nor a socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address; write `IP:PORT`, such as `127.0.0.1:7443`, or `unix:PATH`")]
pub struct ListenAddressError(String);

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
    fn what_other_machines_reach_is_not_local() {
        for (text, local) in [
            ("127.0.0.1:7443", true),
            ("127.8.8.8:7443", true),
            ("[::1]:7443", true),
            ("[::ffff:127.0.0.1]:7443", true),
            ("unix:a.sock", true),
            ("0.0.0.0:7443", false),
            ("[::]:7443", false),
            ("10.0.0.1:7443", false),
            ("[::ffff:10.0.0.1]:7443", false),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().is_local(), local, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "7443", "localhost:7443", "127.0.0.1", "127.0.0.1:70000", "unix:", "tcp:1"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
