//! The other end of a connection.

use std::sync::Arc;

use crate::model::ClientCertificate;

/// Who is at the other end, as far as the connection tells. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is, as it stands in records: `127.0.0.1:40312`, or `unix:uid=1000` with
    /// the user that the kernel vouches for.
    pub address: Arc<str>,
    /// Whose failures are counted together: the IPv4 address, the IPv6 network (/64), or
    /// the user.
    pub source: Arc<str>,
    /// The user at the other end of a Unix socket.
    pub uid: Option<u32>,
    /// The client certificate, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Its SHA-256, in hexadecimal.
    pub fingerprint: Option<Arc<str>>,
    /// Whether it came to a listener that tells of health and of nothing else.
    pub health_only: bool,
}
