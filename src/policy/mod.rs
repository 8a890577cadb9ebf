//! May this caller do this with this key?
//!
//! The question is asked for every action, and this is the only place that
//! answers it. While every caller is a local one there is one rule: what runs on
//! this machine and can reach the socket may do everything. The gateway refuses
//! to listen anywhere else for as long as that is the rule.

use crate::{
    auth::{Caller, Method},
    model::{Action, Key},
};

/// The answer, with the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// The name of the rule that decided, for the record.
    pub rule: &'static str,
}

/// Decides. `key` is `None` where the action is on no key, or on one that does
/// not exist.
#[must_use]
pub fn decide(caller: &Caller, action: Action, _key: Option<&Key>) -> Decision {
    match caller.method() {
        Method::Local => match action {
            // What the gateway does by itself nobody can ask it for.
            Action::FindOrphans | Action::Sweep => Decision { allowed: false, rule: "gateway-only" },
            Action::CreateKey
            | Action::GetKey
            | Action::ListKeys
            | Action::RotateKey
            | Action::UpdateKey
            | Action::SetKeyLabels
            | Action::SignMessage
            | Action::VerifySignature
            | Action::ListBackends
            | Action::GetBackend
            | Action::TestPermissions
            | Action::GetServerInfo
            | Action::DescribeApi => Decision { allowed: true, rule: "local-callers" },
        },
        Method::Token | Method::Certificate | Method::Unix => Decision { allowed: false, rule: "no-rule" },
        Method::Gateway => Decision { allowed: true, rule: "gateway-itself" },
    }
}
