//! Making a key.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use skms_backend::{EncryptionAlgorithm, KeyTag, KeyType, ProtectionLevel, Secret, SignatureAlgorithm};
use uuid::Uuid;

use super::{
    Call, Error, Keyring, Shown,
    import::{Points, Source},
    intent::Intent,
    placement::{self, Place, Wanted},
};
use crate::{
    catalog::{Begun, Catalog, Error as CatalogError, Expected, Idempotency},
    failpoint,
    gate::{Error as GateError, Permit, Subject},
    model::{Action, BackendName, Key, KeyId, Labels, Origin, Purpose, State, Version},
};

/// What kind of key to make.
#[derive(Clone, Debug)]
pub struct Create {
    /// Its id; `None`: one is made.
    pub id: Option<KeyId>,
    /// Its material.
    pub key_type: KeyType,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may sign with; empty: all that the backend offers.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
    /// What it may encrypt with; empty: all that the backend offers.
    pub encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// The least protection that will do.
    pub protection_floor: Option<ProtectionLevel>,
    /// Who is to hold it; `None`: the placement order decides.
    pub backend: Option<BackendName>,
    /// The user's labels.
    pub labels: Labels,
    /// Other names.
    pub aliases: Vec<KeyId>,
    /// A sentence for people.
    pub description: String,
    /// Whether every version of it is imported.
    pub import_only: bool,
    /// Before this time it does not sign.
    pub not_before: Option<SystemTime>,
    /// From this time on it does not sign.
    pub expires: Option<SystemTime>,
    /// How often each version may protect something; `None`: as often as is safe.
    pub max_operations: Option<NonZeroU64>,
    /// How long a version stays restorable after its destruction was scheduled.
    pub destroy_after: Duration,
    /// How often the gateway is to rotate it.
    pub rotation_period: Option<Duration>,
    /// When it is to do so first; `None`: after one period.
    pub next_rotation: Option<SystemTime>,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// Only find out whether it could be made.
    pub validate_only: bool,
}

impl Create {
    /// The id that the key is to have.
    pub(super) fn id(&self) -> Result<KeyId, Error> {
        match &self.id {
            Some(id) => Ok(id.clone()),
            None => format!("key-{}", Uuid::new_v4().simple())
                .parse()
                .map_err(|_| Error::Internal { what: "a generated key id breaks the grammar" }),
        }
    }
}

impl Keyring {
    /// Makes a key. It is on disk and on the device when this returns.
    ///
    /// # Errors
    /// The id or an alias is taken; no backend offers it; the device or the
    /// catalog failed, and then nothing of the key is left or the sweep removes
    /// it; what the gate refuses.
    pub async fn create(&self, call: &Call, request: Create) -> Result<Shown, Error> {
        self.make(call, request, Source::Generated).await
    }

    /// Makes a key of what comes from `source`.
    pub(super) async fn make(&self, call: &Call, request: Create, source: Source) -> Result<Shown, Error> {
        let id = request.id()?;
        let keyring = self.clone();
        let (call_here, action) = (call.clone(), source.action(Action::CreateKey));
        let wanted = Wanted {
            key_type: request.key_type,
            purpose: request.purpose,
            signatures: &request.signature_algorithms,
            encryption: &request.encryption_algorithms,
            floor: request.protection_floor,
            backend: request.backend.as_ref(),
            origin: source.origin(),
        };
        // Policies judge the key that would be made. Where none can be made the caller
        // learns so only if it might have had one.
        let place = placement::choose(self.gate.backends().iter(), &wanted);
        let owner = (call.caller.id().to_owned(), call.caller.tenant().map(str::to_owned));
        let proposed = self.proposed(id, owner, &request, (place.as_ref().ok(), source.origin()))?;
        let subject = Subject::Proposed(Arc::new(proposed.clone()));
        let also = source.also(&subject);
        self.gate
            .admit_all(call, action, subject, also, move |permit| async move {
                let made = async {
                    let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                        principal: call_here.caller.principal(),
                        action,
                        request_id,
                        fingerprint,
                    });
                    // What was answered before is answered again, whatever has changed since.
                    if let Some(key) = keyring.catalog.first_answer(idempotency.clone()).await? {
                        return Ok(keyring.repeated(&permit, key));
                    }
                    permit.note(|facts| facts.validate_only = request.validate_only);
                    let place = place?;
                    permit.note(|facts| facts.backend = Some(place.backend.clone()));
                    let mut key = proposed;
                    // What must fail is not charged to the share of the key that is in the way.
                    is_free(&keyring.catalog, &key)?;
                    if request.validate_only {
                        keyring.check_source(&call_here, &source)?;
                        key.versions.clear();
                        return Ok(Shown::new(&keyring.gate, Arc::new(key)));
                    }
                    permit.charge(source.work(), &key, place.protection_level)?;
                    let points = source.points(POINTS);
                    let material = keyring.material(&permit, &call_here, source).await?;
                    keyring.make_first(&permit, key, (material, points), idempotency).await
                };
                made.await.map_err(|error| keyring.unseen(&permit, error))
            })
            .await
    }

    /// Who may not see the key that has a name is told that it may not have it, and not
    /// what is in the way.
    pub(super) fn unseen(&self, permit: &Permit, error: Error) -> Error {
        let Error::Catalog {
            source:
                CatalogError::KeyExists(name)
                | CatalogError::IdRetired(name)
                | CatalogError::AliasInUse(name)
                | CatalogError::Held(name),
        } = &error
        else {
            return error;
        };
        match self.catalog.lookup(name) {
            Some(key) if !permit.sees(&key) => GateError::Denied.into(),
            _ => error,
        }
    }

    /// The key that would be made there. Where no backend can make it, it is judged as
    /// one of the backend that was asked for, or of the first.
    fn proposed(
        &self,
        id: KeyId,
        owner: (String, Option<String>),
        request: &Create,
        (place, origin): (Option<&Place>, Origin),
    ) -> Result<Key, Error> {
        let first = || self.gate.backends().iter().next().map(|info| info.name().clone());
        let backend = place
            .map(|place| place.backend.clone())
            .or_else(|| request.backend.clone())
            .or_else(first)
            .ok_or(Error::BackendNotFound)?;
        let mut key = new_key(id, owner, request, backend);
        if let Some(place) = place {
            key.signature_algorithms.clone_from(&place.signatures);
            key.encryption_algorithms.clone_from(&place.encryption);
            key.versions.push(Arc::new(first_version(&key, place, origin)?));
        }
        Ok(key)
    }

    /// The first answer to a call that is made again.
    pub(super) fn repeated(&self, permit: &Permit, key: Box<Key>) -> Shown {
        permit.note(|facts| {
            facts.key = Some(key.id.clone());
            facts.repeated = true;
        });
        Shown::new(&self.gate, Arc::from(key))
    }

    /// The same where the name that was asked for may mean another key now: then the caller
    /// must be allowed to do this with the one that it meant, as that is now.
    pub(super) fn repeated_of(
        &self,
        permit: &Permit,
        (action, judged): (Action, &Key),
        asked: &KeyId,
        key: Box<Key>,
    ) -> Result<Shown, Error> {
        let may = |now: &Key| permit.may(action, now);
        if key.id != judged.id && !self.catalog.lookup(&key.id).is_some_and(|now| may(&now)) {
            return Err(Error::KeyNotFound { name: asked.clone() });
        }
        Ok(self.repeated(permit, key))
    }

    async fn make_first(
        &self,
        permit: &Permit,
        key: Key,
        (material, points): (Option<Secret>, Points),
        request: Option<Idempotency>,
    ) -> Result<Shown, Error> {
        let spec = key.spec();
        let at_work = self.at_work(&key.versions);
        let key = match self.catalog.begin_create(key, request).await? {
            Begun::Repeated(key) => return Ok(self.repeated(permit, key)),
            Begun::New(key) => key,
        };
        failpoint::reached(points.intent_written);
        let intent = Intent {
            number: key.latest(),
            key,
            spec,
            material,
            promote: true,
            expected: Expected::default(),
            made: points.material_made,
        };
        let key = self.fulfil(permit, intent).await?;
        drop(at_work);
        failpoint::reached(points.activated);
        Ok(Shown::new(&self.gate, key))
    }
}

const POINTS: Points = Points {
    intent_written: "create-key.intent-written",
    material_made: "create-key.material-made",
    activated: "create-key.activated",
};

pub(super) fn new_key(
    id: KeyId,
    (owner, tenant): (String, Option<String>),
    request: &Create,
    backend: BackendName,
) -> Key {
    let now = SystemTime::now();
    Key {
        id,
        uid: Uuid::new_v4(),
        key_type: request.key_type,
        purpose: request.purpose,
        signature_algorithms: request.signature_algorithms.clone(),
        encryption_algorithms: request.encryption_algorithms.clone(),
        protection_floor: request.protection_floor,
        backend,
        labels: request.labels.clone(),
        aliases: request.aliases.clone(),
        description: request.description.clone(),
        import_only: request.import_only,
        owner,
        tenant,
        not_before: request.not_before,
        expires: request.expires,
        max_operations: request.max_operations,
        expiry_warned: None,
        destroy_after: request.destroy_after,
        rotation_period: request.rotation_period,
        next_rotation: request
            .next_rotation
            .or_else(|| request.rotation_period.and_then(|period| now.checked_add(period))),
        primary: 0,
        min_protect: 0,
        min_process: 0,
        revision: 0,
        created: now,
        updated: now,
        versions: Vec::new(),
    }
}

fn first_version(key: &Key, place: &Place, origin: Origin) -> Result<Version, Error> {
    pending(key.key_type, (1, origin), place.backend.clone(), place.protection_level)
}

/// A version that is about to be made, under a tag of its own.
pub(super) fn pending(
    key_type: KeyType,
    (number, origin): (u32, Origin),
    backend: BackendName,
    protection_level: ProtectionLevel,
) -> Result<Version, Error> {
    let tag = KeyTag::random().ok_or(Error::Internal { what: "the system gives no random bytes" })?;
    Ok(Version {
        number,
        state: match origin {
            Origin::Generated | Origin::Discovered => State::PendingGeneration,
            Origin::Imported => State::PendingImport,
        },
        backend,
        protection_level,
        origin,
        key: Some(skms_backend::KeyRef { tag, key_type, blob: bytes::Bytes::new(), pin: None }),
        public_key: None,
        check_value: None,
        operations: 0,
        created: SystemTime::now(),
        generated: None,
        compromised: None,
        destroys: None,
        destroyed: None,
    })
}

pub(super) fn is_free(catalog: &Catalog, key: &Key) -> Result<(), Error> {
    for name in std::iter::once(&key.id).chain(&key.aliases) {
        if let Some(other) = catalog.lookup(name) {
            let taken = if other.id == *name && other.is_gone() {
                CatalogError::IdRetired(name.clone())
            } else if other.id == *name {
                CatalogError::KeyExists(name.clone())
            } else {
                CatalogError::AliasInUse(name.clone())
            };
            return Err(taken.into());
        }
    }
    Ok(())
}
