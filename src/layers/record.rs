//! Calls that were let in and never came to the gate, which records the others: those
//! that were refused for their form, whose body never came, or that look at no key.

use http::Response;
use tonic::{Status, body::Body};
use tonic_types::StatusExt as _;

use super::{Arrived, Guards, authorize, metrics};
use crate::{
    audit::Outcome,
    auth::Call,
    model::{Action, Reason},
    policy::Decision,
    telemetry::Code,
};

/// A call that was let in.
pub(super) struct Admitted {
    pub(super) call: Call,
    pub(super) action: Action,
    /// Why it was let in.
    pub(super) decision: Decision,
}

/// The response, once it is on record.
pub(super) async fn kept(
    guards: &Guards,
    admitted: &Admitted,
    arrived: &Arrived<'_>,
    response: Response<Body>,
) -> Response<Body> {
    if admitted.call.taken.is_set() {
        return response;
    }
    let latency = arrived.begun.elapsed();
    let outcome = match metrics::code(&response) {
        Code::Ok => Outcome::done(latency),
        _ => Outcome::refused(reason(&response), latency),
    };
    let Admitted { call, action, decision } = admitted;
    match authorize::record(guards, &call.caller, *action, decision, outcome, arrived).await {
        Ok(()) => response,
        Err(unrecorded) => unrecorded,
    }
}

/// Why it was refused. Every refusal here says so.
fn reason(response: &Response<Body>) -> Reason {
    let status = response.extensions().get::<Status>();
    let told = status.and_then(|status| status.get_details_error_info()).map(|info| info.reason);
    told.and_then(|told| Reason::ALL.iter().copied().find(|reason| reason.text() == told))
        .unwrap_or(Reason::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::status;

    #[test]
    fn the_reason_of_every_refusal_is_read_from_its_response() {
        for told in Reason::ALL {
            let response = status::refusal(*told, "text", "id").into_http();
            assert_eq!(reason(&response), *told);
        }
    }
}
