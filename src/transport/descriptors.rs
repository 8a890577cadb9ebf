//! Room for file descriptors: every connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Sees to it that the system lets us open so many connections, or says that it does
/// not: the ones that are too many would fail, and with them whatever opens a file.
pub(super) fn reserve(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let set = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    if set.is_err() || raised < wanted {
        warn!(
            wanted,
            allowed = ?getrlimit(Resource::Nofile).current,
            "there can be fewer open files than connections; raise the limit (LimitNOFILE=), or lower \
             `connections.total`"
        );
    }
}

/// What is not a connection: the catalog, the log, devices, admin, sockets to issuers.
const OTHERS: u64 = 256;
