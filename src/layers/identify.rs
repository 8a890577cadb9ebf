//! Who calls. Until callers can prove who they are, whoever reached a socket of
//! this machine is the local caller; `transport` listens nowhere else.

use std::{sync::Arc, time::Instant};

use http::Request;

use crate::{
    auth::{Arrival, Caller},
    transport::Peer,
};

/// Puts down who calls, for the RPCs.
pub(super) fn caller<B>(request: &mut Request<B>, request_id: Arc<str>, deadline: Instant) {
    let peer =
        request.extensions().get::<Peer>().map_or_else(|| "unknown".into(), |peer| Arc::clone(&peer.0));
    let arrival = Arrival { caller: Caller::local(), peer, request_id, deadline };
    request.extensions_mut().insert(arrival);
}
