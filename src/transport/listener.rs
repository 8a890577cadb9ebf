//! Sockets that listen.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::{fs::FileTypeExt, fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener},
    sync::watch,
};

use super::{
    ListenAddress, Name, Passed, Peer, Serves, activation,
    config::{Config, Mode},
    peer::Withdrawn,
    tls::{Live, Tls},
};

/// A stream of bytes with a peer.
pub(super) type Stream = Box<dyn Bytes>;

/// What HTTP/2 needs of a connection.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A socket that listens.
pub struct Listener {
    name: Name,
    serves: Serves,
    socket: Socket,
    tls: Option<Live>,
}

enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// Whether its name goes with the gateway.
        is_own: bool,
    },
}

impl Listener {
    /// Binds and listens, unless the socket was passed. Calls that arrive from here on wait until they are served.
    ///
    /// # Errors
    /// Says which address cannot be had and why.
    pub async fn bind(
        name: &Name,
        config: &Config,
        tls: Option<Live>,
        passed: &mut Passed,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address: config.address.clone(), source };
        let socket = match &config.address {
            ListenAddress::Tcp(address) => {
                let listener = match passed.of(name, &config.address) {
                    Some(socket) => activation::tcp(socket),
                    None => bind_tcp(*address),
                };
                Socket::Tcp(listener.map_err(failed)?)
            }
            ListenAddress::Unix(path) => {
                let passed = passed.of(name, &config.address);
                let is_own = passed.is_none();
                let listener = match passed {
                    Some(socket) => activation::unix(socket),
                    None => bind_unix(path, config.mode.unwrap_or_default()),
                };
                Socket::Unix { listener: listener.map_err(failed)?, path: path.clone(), is_own }
            }
        };
        Ok(Self { name: name.clone(), serves: config.serves, socket, tls })
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    pub(super) const fn serves(&self) -> Serves {
        self.serves
    }

    /// What its connections are made with, where it speaks TLS.
    pub(super) fn tls(&self) -> Option<watch::Receiver<Arc<Tls>>> {
        self.tls.as_ref().map(Live::current)
    }

    /// Where it listens; the port is the real one where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<ListenAddress> {
        Ok(match &self.socket {
            Socket::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
            Socket::Unix { path, .. } => ListenAddress::Unix(path.clone()),
        })
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        let health_only = self.serves == Serves::Health;
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                prepare(&stream);
                Ok((Box::new(stream), Peer { health_only, ..tcp_peer(address) }))
            }
            Socket::Unix { listener, .. } => loop {
                let (stream, _) = listener.accept().await?;
                // Of whom nothing is known nothing is heard.
                if let Ok(peer) = stream.peer_cred() {
                    return Ok((Box::new(stream), Peer { health_only, ..unix_peer(peer.uid()) }));
                }
            },
        }
    }
}

/// Both fail only where the client is gone, and that shows soon enough.
fn prepare(stream: &TcpStream) {
    // Small answers must not wait for more to fill a packet.
    let _ = stream.set_nodelay(true);
    // What is sent and not acknowledged for so long is sent to nobody.
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, is_own: true, .. } = &self.socket {
            // What is left of it would only puzzle the next start.
            let _ = fs::remove_file(path);
        }
    }
}

fn tcp_peer(address: SocketAddr) -> Peer {
    // A socket of both families has IPv4 addresses in the form of IPv6.
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    Peer {
        address: address.to_string().into(),
        source: source(address.ip()).into(),
        uid: None,
        certificate: None,
        fingerprint: None,
        withdrawn: Withdrawn::default(),
        health_only: false,
    }
}

/// Whom an address belongs to. Of IPv6 everybody has at least 2^64 addresses.
fn source(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) if address.is_loopback() => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            format!("{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

fn unix_peer(uid: u32) -> Peer {
    let name: Arc<str> = format!("unix:uid={uid}").into();
    Peer {
        address: Arc::clone(&name),
        source: name,
        uid: Some(uid),
        certificate: None,
        fingerprint: None,
        withdrawn: Withdrawn::default(),
        health_only: false,
    }
}

/// How many connections may wait for the gateway to take them; the system may allow fewer.
/// With too few, a burst overflows the queue, and a client that says nothing first waits
/// for ever on a connection of which only its own side knows.
const BACKLOG: u32 = 4096;

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Binds under a name of its own, closes the socket to all who may not open it, and
/// only then gives it the name that others know.
fn bind_unix(path: &Path, mode: Mode) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        if StdUnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        // Left by a gateway that was killed.
    }
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{}", std::process::id()));
    let own = PathBuf::from(own);
    let _ = fs::remove_file(&own);
    let listener = UnixListener::bind(&own)?;
    let permissions = fs::Permissions::from_mode(mode.bits());
    let named = fs::set_permissions(&own, permissions).and_then(|()| fs::rename(&own, path));
    if let Err(error) = named {
        let _ = fs::remove_file(&own);
        return Err(error);
    }
    Ok(listener)
}

/// An address that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{address}`")]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

/// As long as a silent peer is waited for, with its last answer (`http2`).
const UNACKNOWLEDGED: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_with_its_neighbours() {
        for (address, expected) in [
            ("10.1.2.3:4", "10.1.2.3"),
            ("[::ffff:10.1.2.3]:4", "10.1.2.3"),
            ("[2001:db8:1:2:3:4:5:6]:4", "2001:db8:1:2::/64"),
            ("[::1]:4", "::1"),
        ] {
            assert_eq!(*tcp_peer(address.parse().unwrap()).source, *expected);
        }
    }
}
