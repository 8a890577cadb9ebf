//! Sockets that whoever starts the gateway has opened for it (systemd socket activation,
//! sd_listen_fds(3)). They go on listening while the gateway is restarted: who connects
//! meanwhile waits, and is not refused.
//!
//! **Invariant:** every such socket is served: one that no listener is configured for is an
//! error, as whoever connects to it would wait for ever.

use std::{
    io,
    net::TcpListener as StdTcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener as StdUnixListener},
};

use rustix::io::{FdFlags, fcntl_setfd};
use socket2::SockRef;

use super::{ListenAddress, Name};

/// The sockets that were passed, and nobody has taken yet.
#[derive(Default)]
pub struct Passed(Vec<Socket>);

struct Socket {
    /// Its name, where whoever passed it gave it one.
    name: Option<String>,
    address: ListenAddress,
    socket: OwnedFd,
}

impl Passed {
    /// Takes all that were passed to this process. It can be done once.
    ///
    /// # Errors
    /// One of them is no socket that listens.
    pub fn take() -> Result<Self, PassedError> {
        let passed = sd_listen_fds::get().map_err(|_| PassedError::Malformed)?;
        let sockets = passed.into_iter().enumerate().map(|(number, (name, socket))| {
            let socket = socket.into_std();
            let unusable = |source| PassedError::Unusable { number, source };
            let address = address(&socket).map_err(unusable)?;
            fcntl_setfd(&socket, FdFlags::CLOEXEC).map_err(|error| unusable(error.into()))?;
            Ok(Socket { name, address, socket })
        });
        Ok(Self(sockets.collect::<Result<_, _>>()?))
    }

    /// The socket of a listener: the one with its address, or with its name where that leaves
    /// the port open.
    pub(super) fn of(&mut self, name: &Name, address: &ListenAddress) -> Option<OwnedFd> {
        let is_its = |socket: &Socket| {
            let is_named = address.is_any_port() && socket.name.as_deref() == Some(name.as_str());
            is_named && matches!(socket.address, ListenAddress::Tcp(_)) || socket.address == *address
        };
        let number = self.0.iter().position(is_its)?;
        Some(self.0.swap_remove(number).socket)
    }

    /// That all of them were taken.
    ///
    /// # Errors
    /// One was not.
    pub fn finish(self) -> Result<(), PassedError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some(Socket { name, address, .. }) => {
                Err(PassedError::NotConfigured { address, name: name.unwrap_or_default() })
            }
        }
    }
}

fn address(socket: &OwnedFd) -> io::Result<ListenAddress> {
    let socket = SockRef::from(socket);
    if !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    let address = socket.local_addr()?;
    let tcp = address.as_socket().map(ListenAddress::Tcp);
    let unix = || address.as_pathname().map(|path| ListenAddress::Unix(path.to_owned()));
    let neither = || io::Error::new(io::ErrorKind::InvalidInput, "it is neither TCP nor a named Unix socket");
    tcp.or_else(unix).ok_or_else(neither)
}

/// The same for the runtime.
pub(super) fn tcp(socket: OwnedFd) -> io::Result<tokio::net::TcpListener> {
    let listener = StdTcpListener::from(socket);
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

/// The same for the runtime.
pub(super) fn unix(socket: OwnedFd) -> io::Result<tokio::net::UnixListener> {
    let listener = StdUnixListener::from(socket);
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

/// Sockets that were passed and cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// The variables that tell of them make no sense.
    #[error("LISTEN_PID and LISTEN_FDS are no numbers; they are set by who passes sockets (systemd)")]
    Malformed,
    /// It is none that listens.
    #[error("the socket number {number} that was passed (LISTEN_FDS) cannot be used")]
    Unusable {
        /// Which one, counted from 0.
        number: usize,
        /// Why.
        source: io::Error,
    },
    /// No listener has its address.
    #[error(
        "a socket on `{address}` was passed (name `{name}`), and no listener is configured for it: give one this address, or take the socket out of the unit"
    )]
    NotConfigured {
        /// Where it listens.
        address: ListenAddress,
        /// Its name; may be empty.
        name: String,
    },
}
