//! Who may not call a method at all, on no key, is refused here: before its body is
//! decoded. Which keys a caller may use is decided at the gate.

use http::Response;
use tonic::body::Body;

use super::{Arrived, Guards};
use crate::{
    audit::{self, Facts, Outcome, Phase, Record},
    auth::Caller,
    model::{Action, Reason},
    policy::Decision,
    rpc::status,
    telemetry::{Step, metrics},
};

/// Why it may, or the answer to a caller that may not.
pub(super) async fn may_call(
    guards: &Guards,
    caller: &Caller,
    action: Action,
    arrived: &Arrived<'_>,
) -> Result<Decision, Response<Body>> {
    let decision = guards.policies.may_call(caller, action);
    if decision.allowed {
        return Ok(decision);
    }
    metrics().authorization_denied(Step::Method);
    let outcome = Outcome::refused(Reason::MethodNotAllowed, arrived.begun.elapsed());
    record(guards, caller, action, &decision, outcome, arrived).await?;
    let message = "the caller may not call this method";
    Err(status::refusal(Reason::MethodNotAllowed, message, arrived.request_id).into_http())
}

/// Puts on record what was decided before the gate, and how it ended; or the answer
/// where there can be no record.
pub(super) async fn record(
    guards: &Guards,
    caller: &Caller,
    action: Action,
    decision: &Decision,
    outcome: Outcome,
    arrived: &Arrived<'_>,
) -> Result<(), Response<Body>> {
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
    guards.log.append(&record).await.map_err(|_| {
        let message = "the call cannot be recorded";
        status::refusal(Reason::AuditUnavailable, message, arrived.request_id).into_http()
    })
}
