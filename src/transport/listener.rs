//! Sockets that listen.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

use super::{ListenAddress, Peer};

/// A stream of bytes with a peer.
pub(super) type Stream = Box<dyn Bytes>;

/// What HTTP/2 needs of a connection.
pub(super) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A socket that listens.
pub struct Listener {
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listener {
    /// Binds and listens. Calls that arrive from here on wait until they are served.
    ///
    /// # Errors
    /// Says which address cannot be had and why.
    pub async fn bind(address: &ListenAddress) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.clone(), source };
        let socket = match address {
            ListenAddress::Tcp(address) => Socket::Tcp(TcpListener::bind(address).await.map_err(failed)?),
            ListenAddress::Unix(path) => {
                Socket::Unix { listener: bind_unix(path).map_err(failed)?, path: path.clone() }
            }
        };
        Ok(Self { socket })
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
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Small answers must not wait for more to fill a packet.
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), tcp_peer(address)))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok((Box::new(stream), unix_peer(uid)))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, .. } = &self.socket {
            // What is left of it would only puzzle the next start.
            let _ = fs::remove_file(path);
        }
    }
}

fn tcp_peer(address: SocketAddr) -> Peer {
    Peer {
        address: address.to_string().into(),
        source: address.ip().to_string().into(),
        uid: None,
        certificate: None,
        fingerprint: None,
        health_only: false,
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
        health_only: false,
    }
}

/// Binds under a name of its own, closes the socket to all but its owner, and
/// only then gives it the name that others know.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
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
    let named =
        fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).and_then(|()| fs::rename(&own, path));
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
