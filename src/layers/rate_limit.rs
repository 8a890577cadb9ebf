//! How much a caller may ask for, by the price of the method. What a device is to do
//! costs more, and is charged at the gate.

use http::Response;
use tonic::body::Body;

use super::{Arrived, Guards};
use crate::{
    audit::Refused,
    model::{Reason, Rpc},
    rates,
    rpc::status,
    telemetry::metrics,
};

/// Charges whoever calls: a caller by its id, a stranger by its address.
pub(super) async fn charged(
    guards: &Guards,
    name: &str,
    rpc: Rpc,
    arrived: &Arrived<'_>,
) -> Result<(), Response<Body>> {
    let Err(exceeded) = guards.rates.charge_caller(name, rates::of_call(rpc)) else { return Ok(()) };
    metrics().rate_limited(exceeded.limit.label());
    let record = Refused {
        source: name,
        peer: &arrived.peer.address,
        certificate: arrived.peer.fingerprint.as_deref(),
        request_id: arrived.request_id,
        rpc: rpc.name(),
        reason: Reason::RateLimited,
        detail: "the caller has used up its share",
    };
    // Refused it is in any case.
    let _ = guards.log.refused(&record).await;
    Err(status::rate_limited(&exceeded, arrived.request_id).into_http())
}
