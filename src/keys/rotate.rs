//! Making a new version of a key.

use std::{sync::Arc, time::SystemTime};

use uuid::Uuid;

use super::{
    Call, Error, Keyring, Shown,
    create::pending,
    import::{Points, Source},
    intent::Intent,
    known, placement,
};
use crate::{
    catalog::{Begun, Expected, Idempotency},
    failpoint,
    model::{Action, KeyId, State},
};

/// Which key to rotate.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// What its caller believes of it.
    pub etag: Option<String>,
    /// The primary version that it must have; 0: any.
    pub expected_primary: u32,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// Leaves the primary where it is.
    pub stage_only: bool,
    /// When the gateway was to do this by itself; `None`: somebody asks for it.
    pub due: Option<SystemTime>,
}

impl Keyring {
    /// Makes a new version, and moves the primary to it in one transaction.
    ///
    /// # Errors
    /// There is no such key, or it has changed; the device or the catalog failed,
    /// and then the key is as it was; what the gate refuses.
    pub async fn rotate(&self, call: &Call, request: Rotate) -> Result<Shown, Error> {
        self.renew(call, request, Source::Generated).await
    }

    /// Makes a new version of what comes from `source`.
    pub(super) async fn renew(&self, call: &Call, request: Rotate, source: Source) -> Result<Shown, Error> {
        let (found, subject) = self.find(&request.key);
        let (keyring, call_here) = (self.clone(), call.clone());
        let (action, also) = (source.action(Action::RotateKey), source.also(&subject));
        self.gate
            .admit_all(call, action, subject, also, move |permit| async move {
                let key = known(found)?;
                let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                    principal: call_here.caller.principal(),
                    action,
                    request_id,
                    fingerprint,
                });
                // What was answered before is answered again, whatever has changed since.
                if let Some(kept) = keyring.catalog.first_answer(idempotency.clone()).await? {
                    return keyring.repeated_of(&permit, (action, &key), &request.key, kept);
                }
                source.fits(&key)?;
                // A key that is out of use as a whole is not brought back by a rotation.
                if key.state() != State::Enabled {
                    let version = key.primary.max(1);
                    return Err(Error::State { key: key.id.clone(), version, state: key.state() });
                }
                let wanted = placement::Wanted {
                    key_type: key.key_type,
                    purpose: key.purpose,
                    signatures: &key.signature_algorithms,
                    encryption: &key.encryption_algorithms,
                    floor: key.protection_floor,
                    backend: Some(&key.backend),
                    origin: source.origin(),
                };
                let place = placement::choose(permit.backends(), &wanted).map_err(|error| match error {
                    Error::BackendNotFound => Error::BackendGone { backend: key.backend.clone() },
                    // The request names no type and no algorithm; the key does.
                    Error::Invalid { .. } => Error::NotOffered {
                        backend: key.backend.clone(),
                        what: format!("{} keys with the algorithms of this key", key.key_type),
                    },
                    error => error,
                })?;
                permit.note(|facts| {
                    facts.backend = Some(place.backend.clone());
                    facts.scheduled = request.due.is_some();
                });
                // What the key's owner has scheduled is not held against anybody's share.
                if request.due.is_none() {
                    permit.charge(source.work(), &key, place.protection_level)?;
                }
                let (origin, points) = (source.origin(), source.points(POINTS));
                let material = keyring.material(&permit, &call_here, source).await?;
                let version = pending(key.key_type, (0, origin), place.backend, place.protection_level)?;
                let at_work = keyring.at_work(&[Arc::new(version.clone())]);
                let expected = Expected {
                    etag: request.etag,
                    primary: request.expected_primary,
                    due: request.due,
                    ..Expected::default()
                };
                // What was judged is what is rotated: not a key with other labels.
                let judged = Expected { labels: Some(key.labels.clone()), ..expected.clone() };
                let begun = keyring.catalog.begin_rotate(key.id.clone(), version, judged, idempotency);
                let key = match begun.await? {
                    Begun::Repeated(key) => return Ok(keyring.repeated(&permit, key)),
                    Begun::New(key) => key,
                };
                failpoint::reached(points.intent_written);
                let intent = Intent {
                    number: key.latest(),
                    spec: key.spec(),
                    key,
                    promote: !request.stage_only,
                    expected,
                    material,
                    made: points.material_made,
                };
                let key = keyring.fulfil(&permit, intent).await?;
                drop(at_work);
                failpoint::reached(points.activated);
                Ok(Shown::new(&keyring.gate, key))
            })
            .await
    }
}

const POINTS: Points = Points {
    intent_written: "rotate-key.intent-written",
    material_made: "rotate-key.material-made",
    activated: "rotate-key.activated",
};
