//! How much a caller may ask for, by the price of the method; that there is no such
//! method is an answer, too. What a device is to do costs more, and is charged at the
//! gate.

use std::num::NonZeroU32;

use http::Response;
use tonic::body::Body;

use super::{Arrived, Guards};
use crate::{audit::Refused, auth::Caller, model::Reason, rates, rpc::status, telemetry::metrics};

/// Charges whoever calls: a caller by its id, a stranger by its address.
pub(super) async fn charged(
    guards: &Guards,
    caller: Option<&Caller>,
    arrived: &Arrived<'_>,
) -> Result<(), Response<Body>> {
    let source = caller.map_or(&*arrived.peer.source, Caller::id);
    let units = arrived.rpc.map_or(NonZeroU32::MIN, rates::of_call);
    let Err(exceeded) = guards.rates.charge_caller(source, units) else { return Ok(()) };
    metrics().rate_limited(exceeded.limit.label());
    let record = Refused {
        source,
        caller,
        peer: &arrived.peer.address,
        certificate: arrived.peer.fingerprint.as_deref(),
        request_id: arrived.request_id,
        rpc: arrived.name(),
        reason: Reason::RateLimited,
        detail: "the caller has used up its share",
        latency: arrived.begun.elapsed(),
    };
    guards.log.refused(&record).await;
    Err(status::rate_limited(&exceeded, arrived.request_id).into_http())
}
