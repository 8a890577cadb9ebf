//! What local callers may do, for as long as the gate does not ask [`super::Policies`].

use crate::{
    auth::{Caller, Method},
    model::Action,
};

/// The answer, with the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDecision {
    /// Whether it may.
    pub allowed: bool,
    /// The name of the rule that decided, for the record.
    pub rule: &'static str,
}

/// Decides without policies: what runs on this machine and can reach the socket may
/// do everything, and nobody else may do anything.
#[must_use]
pub fn local_decision(caller: &Caller, action: Action) -> LocalDecision {
    match (caller.method(), action) {
        // What the gateway does by itself nobody can ask it for.
        (Method::Local, Action::FindOrphans | Action::Sweep) => {
            LocalDecision { allowed: false, rule: "gateway-only" }
        }
        (Method::Local, _) => LocalDecision { allowed: true, rule: "local-callers" },
        (Method::Gateway, _) => LocalDecision { allowed: true, rule: "gateway-itself" },
        (Method::Token | Method::Certificate | Method::Unix, _) => {
            LocalDecision { allowed: false, rule: "no-rule" }
        }
    }
}
