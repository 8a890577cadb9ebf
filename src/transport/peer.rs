//! The other end of a connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::model::ClientCertificate;

/// Who hears of a client certificate that is not taken, and of what is wrong with it. It
/// must not wait: there is no record of a handshake here, only somebody who makes one.
pub type Refused = Arc<dyn Fn(&Peer, &'static str) + Send + Sync>;

/// Who is at the other end, as far as the connection tells. Cheap to clone.
#[derive(Clone, Debug)]
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
    /// Whether the certificate is good no more.
    pub withdrawn: Withdrawn,
    /// Whether it came to a listener that tells of health and of nothing else.
    pub health_only: bool,
}

/// Whether the certificate that a connection began with has ended, or would not be taken
/// any more. The farewell of HTTP/2 is advice, so that calls can still arrive on it. All
/// clones are one.
#[derive(Clone, Debug, Default)]
pub struct Withdrawn(Arc<AtomicBool>);

impl Withdrawn {
    /// Whether it is.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}
