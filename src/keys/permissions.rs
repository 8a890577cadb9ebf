//! Saying what the caller itself may do.

use super::{Call, Error, Keyring};
use crate::{
    gate::Subject,
    model::{Action, KeyId, Target},
};

/// Whether one action is allowed.
#[derive(Clone, Debug)]
pub struct Permission {
    /// The action.
    pub action: Action,
    /// Whether the caller may do it.
    pub allowed: bool,
    /// The ids of the policies that decided.
    pub policies: Vec<String>,
}

impl Keyring {
    /// Says for each of these actions whether the caller may do it to the key, or to
    /// the gateway; with no actions, for all that can be done to it. Of a key that the
    /// caller may not see it learns no more than of one that is not there.
    ///
    /// # Errors
    /// What the gate refuses.
    pub async fn permissions(
        &self,
        call: &Call,
        actions: Vec<Action>,
        key: Option<&KeyId>,
    ) -> Result<Vec<Permission>, Error> {
        let (target, subject) = match key {
            Some(name) => (Target::Key, self.find(name).1),
            None => (Target::Gateway, Subject::Gateway),
        };
        let (gate, caller) = (self.gate.clone(), call.caller.clone());
        self.gate
            .admit(call, Action::TestPermissions, Subject::Gateway, move |_| async move {
                let subject = match subject {
                    Subject::Key(key, asked) => {
                        let subject = Subject::Key(key, asked.clone());
                        let sees = gate.decide(&caller, Action::GetKey, &subject).allowed;
                        if sees { subject } else { Subject::Missing(asked) }
                    }
                    other => other,
                };
                let asked: Vec<Action> = if actions.is_empty() {
                    Action::ALL.into_iter().filter(|action| action.target() == target).collect()
                } else {
                    actions
                };
                let permission = |action: Action| {
                    let decision = gate.decide(&caller, action, &subject);
                    let policies = decision.policies.iter().map(ToString::to_string).collect();
                    Permission { action, allowed: decision.allowed, policies }
                };
                Ok(asked.into_iter().map(permission).collect())
            })
            .await
    }
}
