//! The other end of a connection.

use std::sync::Arc;

/// Where a connection comes from, as it stands in records: `127.0.0.1:40312`, or
/// `unix:uid=1000` with the user that the kernel vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub Arc<str>);
