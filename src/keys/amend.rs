//! Changing a key without any device: what is said of it, the states of its versions,
//! its primary.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use uuid::Uuid;

use super::{Call, Error, Keyring, Shown, known};
use crate::{
    catalog::{Amendment, Begun, Change, Error as CatalogError, Expected, Idempotency},
    gate::{Permit, Subject},
    model::{Action, Key, KeyId, Verb},
};

/// What to change of a key.
#[derive(Clone, Debug)]
pub struct Amend {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The change.
    pub amendment: Amendment,
    /// What its caller believes of it.
    pub etag: Option<String>,
    /// The primary version that it must have; 0: any.
    pub expected_primary: u32,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// Only find out whether it could be done.
    pub validate_only: bool,
}

impl Keyring {
    /// Changes a key. What else must be allowed for that is asked with it: labels
    /// decide who may use a key, and lower minimums bring old versions back.
    ///
    /// # Errors
    /// There is no such key, it has changed, or something of it is in the way; what the
    /// gate refuses.
    pub async fn amend(&self, call: &Call, request: Amend) -> Result<Shown, Error> {
        let (found, subject) = self.find(&request.key);
        let action = action(&request.amendment);
        let also = also(&request.amendment, found.as_ref().ok(), &subject);
        let keyring = self.clone();
        let principal = call.caller.principal();
        self.gate
            .admit_all(call, action, subject, also, move |permit| async move {
                let key = known(found)?;
                let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                    principal,
                    action,
                    request_id,
                    fingerprint,
                });
                // What was answered before is answered again, whatever has changed since.
                if let Some(kept) = keyring.catalog.first_answer(idempotency.clone()).await? {
                    return keyring.repeated_of(&permit, (action, &key), &request.key, kept);
                }
                note(&permit, &request);
                let amended = keyring.amended(&permit, &key, request, idempotency).await;
                amended.map_err(|error| keyring.unseen(&permit, error))
            })
            .await
    }

    async fn amended(
        &self,
        permit: &Permit,
        key: &Key,
        mut request: Amend,
        idempotency: Option<Idempotency>,
    ) -> Result<Shown, Error> {
        if request.etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
            return Err(CatalogError::EtagMismatch.into());
        }
        if request.expected_primary != 0 && request.expected_primary != key.primary {
            return Err(CatalogError::PrimaryChanged { actual: key.primary }.into());
        }
        let mut minimums = None;
        if let Amendment::Said(change) = &mut request.amendment {
            change.losers = self.losers(permit, key, change.aliases.as_deref().unwrap_or_default())?;
            permit.note(|facts| facts.taken_from = change.losers.keys().cloned().collect());
            if change.min_protect.is_some() || change.min_process.is_some() {
                minimums = Some((key.min_protect, key.min_process));
            }
        }
        if request.validate_only {
            let changed = request.amendment.of(key, SystemTime::now())?;
            return Ok(Shown::new(&self.gate, Arc::new(changed)));
        }
        // What was judged is what is changed: not a key that looks otherwise.
        let expected = Expected {
            etag: request.etag,
            primary: request.expected_primary,
            labels: Some(key.labels.clone()),
            minimums,
            due: None,
        };
        match self.catalog.amend(key.id.clone(), request.amendment, expected, idempotency).await? {
            Begun::Repeated(key) => Ok(self.repeated(permit, key)),
            Begun::New(key) => Ok(Shown::new(&self.gate, key)),
        }
    }

    /// The keys that would lose one of these names, each as it is now. The caller must
    /// be allowed to change them.
    fn losers(&self, permit: &Permit, key: &Key, names: &[KeyId]) -> Result<BTreeMap<KeyId, u64>, Error> {
        let mut losers = BTreeMap::new();
        for name in names.iter().filter(|name| !key.aliases.contains(name)) {
            let Some(other) = self.catalog.lookup(name) else { continue };
            if other.id == *name {
                let exists = if other.is_gone() { CatalogError::IdRetired } else { CatalogError::KeyExists };
                return Err(exists(name.clone()).into());
            }
            if !permit.may(Action::UpdateKey, &other) {
                return Err(CatalogError::AliasInUse(name.clone()).into());
            }
            losers.insert(other.id.clone(), other.revision);
        }
        Ok(losers)
    }
}

/// What is asked for.
const fn action(amendment: &Amendment) -> Action {
    match amendment {
        Amendment::Said(_) => Action::UpdateKey,
        Amendment::Primary(_) => Action::SetPrimaryVersion,
        Amendment::Verb(verb, _) => match verb {
            Verb::Enable => Action::EnableKey,
            Verb::Disable => Action::DisableKey,
            Verb::MarkCompromised => Action::MarkKeyCompromised,
            Verb::ScheduleDestruction => Action::ScheduleKeyDestruction,
            Verb::Restore => Action::RestoreKey,
            Verb::Destroy => Action::DestroyKey,
        },
    }
}

/// What else must be allowed for it.
fn also(amendment: &Amendment, key: Option<&Arc<Key>>, subject: &Subject) -> Vec<(Action, Subject)> {
    let mut also = Vec::new();
    let Amendment::Said(change) = amendment else { return also };
    if let Some(labels) = &change.labels {
        also.push((Action::SetKeyLabels, subject.clone()));
        if let Some(key) = key {
            let proposed = Key { labels: labels.clone(), revision: 0, ..Key::clone(key) };
            also.push((Action::SetKeyLabels, Subject::Proposed(Arc::new(proposed))));
        }
    }
    if key.is_some_and(|key| lowers(change, key)) {
        also.push((Action::LowerMinVersion, subject.clone()));
    }
    also
}

/// Whether old versions may be used after it that may not be used now.
fn lowers(change: &Change, key: &Key) -> bool {
    change.min_protect.is_some_and(|minimum| minimum < key.min_protect)
        || change.min_process.is_some_and(|minimum| minimum < key.min_process)
}

fn note(permit: &Permit, request: &Amend) {
    permit.note(|facts| {
        facts.validate_only = request.validate_only;
        match &request.amendment {
            Amendment::Said(_) => {}
            Amendment::Primary(number) => facts.version = Some(*number),
            Amendment::Verb(_, versions) => facts.versions.clone_from(versions),
        }
    });
}
