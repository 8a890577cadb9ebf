//! Room for file descriptors: every connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Sees to it that the system lets us open so many connections, or says that it does
/// not, and how many there can be then: one too many would fail, and with it whatever
/// opens a file, such as the audit log.
pub(super) fn reserve(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    // None is no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return connections;
    }
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let set = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    if set.is_ok() && raised >= wanted {
        return connections;
    }
    let allowed = getrlimit(Resource::Nofile).current;
    let connections = allowed.map_or(connections, |allowed| fitting(allowed, connections));
    warn!(
        wanted,
        allowed,
        connections,
        "there can be fewer open files than connections, so there will be fewer connections; raise the \
         limit (LimitNOFILE=), or lower `connections.total`"
    );
    connections
}

/// How many of these connections there can be beside everything else; where there is
/// not even room for that, a quarter of what there is.
fn fitting(allowed: u64, connections: usize) -> usize {
    let left = allowed.saturating_sub(OTHERS).max(allowed / 4);
    usize::try_from(left).map_or(connections, |left| left.min(connections))
}

/// What is no connection with the API: the catalog, the log, devices, admin, probes,
/// sockets to issuers.
const OTHERS: u64 = 320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_everything_else() {
        for (allowed, connections) in
            [(64, 16), (400, 100), (512, 192), (1024, 704), (1344, 1024), (1 << 20, 1024)]
        {
            assert_eq!(fitting(allowed, 1024), connections, "{allowed}");
        }
    }
}
