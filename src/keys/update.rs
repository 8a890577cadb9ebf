//! Changing what is said of a key.

use std::sync::Arc;

use uuid::Uuid;

use super::{Call, Error, Keyring, Shown, known};
use crate::{
    catalog::{Begun, Change, Expected, Idempotency},
    gate::Subject,
    model::{Action, Key, KeyId},
};

/// What to change of a key.
#[derive(Clone, Debug)]
pub struct Update {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The new values; what is `None` stays.
    pub change: Change,
    /// What its caller believes of it.
    pub etag: Option<String>,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// Only find out whether it could be done.
    pub validate_only: bool,
}

impl Keyring {
    /// Changes what is said of a key. Labels decide who may use it, and so changing
    /// them must be allowed for the key as it is and as it would be.
    ///
    /// # Errors
    /// There is no such key, or it has changed; what the gate refuses.
    pub async fn update(&self, call: &Call, request: Update) -> Result<Shown, Error> {
        let (found, subject) = self.find(&request.key);
        let mut also = Vec::new();
        if let Some(labels) = &request.change.labels {
            also.push((Action::SetKeyLabels, subject.clone()));
            if let Ok(key) = &found {
                let proposed = Key { labels: labels.clone(), revision: 0, ..Key::clone(key) };
                also.push((Action::SetKeyLabels, Subject::Proposed(Arc::new(proposed))));
            }
        }
        let keyring = self.clone();
        let principal = call.caller.principal();
        self.gate
            .admit_all(call, Action::UpdateKey, subject, also, move |permit| async move {
                let key = known(found)?;
                let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                    principal,
                    action: Action::UpdateKey,
                    request_id,
                    fingerprint,
                });
                // What was answered before is answered again, whatever has changed since.
                if let Some(key) = keyring.catalog.first_answer(idempotency.clone()).await? {
                    return Ok(keyring.repeated(&permit, key));
                }
                permit.note(|facts| facts.validate_only = request.validate_only);
                if request.etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
                    return Err(crate::catalog::Error::EtagMismatch.into());
                }
                if request.validate_only {
                    let changed = request.change.of(&key);
                    return Ok(Shown::new(&keyring.gate, Arc::new(changed)));
                }
                // What was judged is what is changed: not a key with other labels.
                let expected = Expected { etag: request.etag, primary: 0, labels: Some(key.labels.clone()) };
                let updated = keyring.catalog.update(key.id.clone(), request.change, expected, idempotency);
                match updated.await? {
                    Begun::Repeated(key) => Ok(keyring.repeated(&permit, key)),
                    Begun::New(key) => Ok(Shown::new(&keyring.gate, key)),
                }
            })
            .await
    }
}
