//! The policies of the first step: what is left of them while the key is not known.
//!
//! **Invariant:** what the whole set allows, the reduced set allows. A permit without
//! its conditions and its resource applies wherever the whole one does; a forbid that
//! depends on anything but the caller and the action is left out.

use cedar_policy::{Effect, Policy, ResourceConstraint};
use serde_json::{Value, json};

/// A policy for the first step, if it has a part in it.
///
/// # Errors
/// What Cedar says where it does not read what it has written.
pub(super) fn reduced(policy: &Policy) -> Result<Option<Policy>, String> {
    match policy.effect() {
        Effect::Permit => {
            let mut json = policy.to_json().map_err(|error| error.to_string())?;
            let parts: Option<&mut serde_json::Map<String, Value>> = json.as_object_mut();
            let parts = parts.ok_or("is not an object in JSON")?;
            parts.insert("conditions".to_owned(), json!([]));
            parts.insert("resource".to_owned(), json!({ "op": "All" }));
            Policy::from_json(Some(policy.id().clone()), json).map(Some).map_err(|error| error.to_string())
        }
        Effect::Forbid => {
            let always =
                !policy.has_non_scope_constraint() && policy.resource_constraint() == ResourceConstraint::Any;
            Ok(always.then(|| policy.clone()))
        }
    }
}
