//! Who may not call a method at all, on no key, is refused here: before its body is
//! decoded. Which keys a caller may use is decided at the gate.

use http::Response;
use tonic::body::Body;

use super::{Arrived, Guards};
use crate::{
    audit::{self, Facts, Outcome, Phase, Record},
    auth::Caller,
    model::{Action, Reason},
    rpc::status,
    telemetry::{Step, metrics},
};

/// Nothing, or the answer to a caller that may not.
pub(super) async fn may_call(
    guards: &Guards,
    caller: &Caller,
    action: Action,
    arrived: &Arrived<'_>,
) -> Result<(), Response<Body>> {
    let decision = guards.policies.may_call(caller, action);
    // The gate records what it decides; what never comes to it is recorded here.
    if decision.allowed && action != Action::DescribeApi {
        return Ok(());
    }
    let latency = arrived.begun.elapsed();
    let outcome = if decision.allowed {
        Outcome::done(latency)
    } else {
        metrics().authorization_denied(Step::Method);
        Outcome::refused(Reason::MethodNotAllowed, latency)
    };
    let record = Record {
        time: audit::now(),
        phase: Phase::Outcome,
        request_id: arrived.request_id,
        caller: caller.id(),
        issuer: Some(caller.issuer()),
        subject: Some(caller.subject()),
        tenant: caller.tenant(),
        authenticated_by: caller.method().name(),
        certificate: arrived.peer.fingerprint.as_deref(),
        peer: &arrived.peer.address,
        action: action.name(),
        decision: if decision.allowed { "allow" } else { "deny" },
        policies: &decision.policies,
        key: None,
        facts: Facts::default(),
        outcome: Some(outcome),
    };
    let (reason, message) = match guards.log.append(&record).await {
        Ok(()) if decision.allowed => return Ok(()),
        Ok(()) => (Reason::MethodNotAllowed, "the caller may not call this method"),
        Err(_) => (Reason::AuditUnavailable, "the call cannot be recorded"),
    };
    Err(status::refusal(reason, message, arrived.request_id).into_http())
}
