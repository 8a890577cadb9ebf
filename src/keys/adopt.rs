//! Taking over a key that a device held before the gateway.
//!
//! What kind of key it is shows only when the device is asked. So the caller must have the
//! permission to ask at all, and then the one to make the key that would come of it.
//!
//! **Invariant:** what is a version in the catalog already is not taken over once more.

use std::sync::Arc;

use skms_backend::{Adopted, Class, Custody, EncryptionAlgorithm, GeneratedKey, SignatureAlgorithm, Usage};
use uuid::Uuid;

use super::{
    Call, Create, Error, Keyring, Shown,
    create::{is_free, new_key, pending},
    placement::{self, Place, Wanted},
};
use crate::{
    catalog::{Begun, Error as CatalogError, Expected, Idempotency},
    gate::{Error as GateError, Permit, Subject, Work},
    model::{Action, BackendName, Key, Origin, Purpose, Reason},
};

/// Which key to take over.
pub struct Adopt {
    /// What names it on its device.
    pub uri: String,
    /// Which backend holds it; `None`: the only one that could.
    pub backend: Option<BackendName>,
    /// The id under which the call may be repeated, and the fingerprint of the request.
    pub repeatable: Option<(Uuid, [u8; 32])>,
    /// What key is to come of it, once it is known what it is.
    pub becomes: Becomes,
}

/// From what was found on a device to the key that it is to be.
pub type Becomes = Box<dyn FnOnce(&Adopted) -> Result<Create, Error> + Send>;

/// A key that was taken over.
#[derive(Clone, Debug)]
pub struct AdoptedKey {
    /// The key.
    pub shown: Shown,
    /// How its device keeps it; `None` where an earlier answer is given again.
    pub custody: Option<Custody>,
}

impl Keyring {
    /// Takes over a key. Nothing on the device changes.
    ///
    /// # Errors
    /// There is no such key there, or more than one, or it cannot be used; it was taken
    /// over before; everything that [`Self::create`] refuses.
    pub async fn adopt(&self, call: &Call, request: Adopt) -> Result<AdoptedKey, Error> {
        let (keyring, caller) = (self.clone(), call.caller.clone());
        self.gate
            .admit(call, Action::AdoptKey, Subject::Gateway, move |permit| async move {
                let adopted = async {
                    let idempotency = request.repeatable.map(|(request_id, fingerprint)| Idempotency {
                        principal: caller.principal(),
                        action: Action::AdoptKey,
                        request_id,
                        fingerprint,
                    });
                    if let Some(key) = keyring.catalog.first_answer(idempotency.clone()).await? {
                        return Ok(AdoptedKey { shown: keyring.repeated(&permit, key), custody: None });
                    }
                    let backend = holder(&permit, request.backend)?;
                    permit.note(|facts| facts.backend = Some(backend.clone()));
                    let found = keyring.look(&permit, &backend, &request.uri).await?;
                    let create = (request.becomes)(&found)?;
                    permit.note(|facts| facts.validate_only = create.validate_only);
                    let place = place(&permit, &backend, &found, &create)?;
                    let owner = (caller.id().to_owned(), caller.tenant().map(str::to_owned));
                    let key = keyring.discovered(owner, &create, &place)?;
                    permit.note(|facts| {
                        facts.key = Some(key.id.clone());
                        facts.also = vec![Action::CreateKey.name()];
                    });
                    if !permit.may(Action::CreateKey, &key) {
                        permit.note(|facts| facts.denied = Some(Action::CreateKey.name()));
                        return Err(GateError::Denied.into());
                    }
                    is_free(&keyring.catalog, &key)?;
                    if let Some(holder) = keyring.catalog.holder(&backend, &found.pin) {
                        return Err(CatalogError::Held(holder.id.clone()).into());
                    }
                    let custody = Some(found.custody);
                    if create.validate_only {
                        let key = Key { versions: Vec::new(), ..key };
                        let shown = Shown::new(&keyring.gate, Arc::new(key));
                        return Ok(AdoptedKey { shown, custody });
                    }
                    permit.charge(Work::Import, &key, place.protection_level)?;
                    let made = GeneratedKey { pin: found.pin, blob: found.blob };
                    Ok(AdoptedKey { shown: keyring.take(&permit, key, made, idempotency).await?, custody })
                };
                adopted.await.map_err(|error| keyring.unseen(&permit, error))
            })
            .await
    }

    /// What the device says of the key.
    async fn look(&self, permit: &Permit, backend: &BackendName, uri: &str) -> Result<Adopted, Error> {
        let device = permit.device(backend).ok_or_else(|| Error::BackendGone { backend: backend.clone() })?;
        let adoption = device.adoption().ok_or_else(|| Error::NotOffered {
            backend: backend.clone(),
            what: "no keys that it did not make".to_owned(),
        })?;
        let ctx = permit.context(self.limits.operation_timeout);
        adoption.adopt(uri, &ctx).await.map_err(|source| match source.class() {
            Class::Caller => {
                let why = source.why().unwrap_or("the device refuses to use this key").to_owned();
                Error::invalid("pkcs11_uri", Reason::FieldInvalid, why)
            }
            _ => Error::Backend { backend: backend.clone(), source },
        })
    }

    /// The key that would come of it.
    fn discovered(
        &self,
        owner: (String, Option<String>),
        create: &Create,
        place: &Place,
    ) -> Result<Key, Error> {
        let mut key = new_key(create.id()?, owner, create, place.backend.clone());
        key.signature_algorithms.clone_from(&place.signatures);
        key.encryption_algorithms.clone_from(&place.encryption);
        let number = (1, Origin::Discovered);
        let version = pending(create.key_type, number, place.backend.clone(), place.protection_level)?;
        key.versions.push(Arc::new(version));
        Ok(key)
    }

    /// Writes it down: first as an intent, under a tag of its own that no device has heard
    /// of, then as a version in use.
    async fn take(
        &self,
        permit: &Permit,
        key: Key,
        made: GeneratedKey,
        request: Option<Idempotency>,
    ) -> Result<Shown, Error> {
        let at_work = self.at_work(&key.versions);
        let key = match self.catalog.begin_create(key, request).await? {
            Begun::Repeated(key) => return Ok(self.repeated(permit, key)),
            Begun::New(key) => key,
        };
        let version = key.versions.first().cloned();
        let tag = version.as_ref().and_then(|version| Some(version.key.as_ref()?.tag));
        let (Some(version), Some(tag)) = (version, tag) else {
            return Err(Error::Internal { what: "the intent has no tag" });
        };
        permit.note(|facts| facts.version = Some(version.number));
        let activated = self.catalog.activate(key.id.clone(), tag, made, true, Expected::default()).await;
        let key = match activated {
            Ok(key) => key,
            Err(error) => {
                self.withdraw(permit, &key, &version, tag).await;
                return Err(error.into());
            }
        };
        drop(at_work);
        Ok(Shown::new(&self.gate, key))
    }
}

/// The backend that is meant.
fn holder(permit: &Permit, named: Option<BackendName>) -> Result<BackendName, Error> {
    if let Some(named) = named {
        permit.capabilities(&named).ok_or(Error::BackendNotFound)?;
        return Ok(named);
    }
    let could: Vec<_> = permit
        .backends()
        .map(|info| info.name().clone())
        .filter(|name| permit.device(name).is_some_and(|device| device.adoption().is_some()))
        .collect();
    match could.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::NoAdoption),
        _ => {
            let why = "required: several backends could hold it";
            Err(Error::invalid("backend", Reason::FieldRequired, why))
        }
    }
}

/// Where it is, and what it can be used with there: what its caller wants, what the
/// backend offers and what the key may do, all of it.
fn place(permit: &Permit, backend: &BackendName, found: &Adopted, create: &Create) -> Result<Place, Error> {
    let wanted = Wanted {
        key_type: create.key_type,
        purpose: create.purpose,
        signatures: &create.signature_algorithms,
        encryption: &create.encryption_algorithms,
        floor: create.protection_floor,
        backend: Some(backend),
        origin: Origin::Discovered,
    };
    let mut place = placement::choose(permit.backends(), &wanted)?;
    let (signs, encrypts) = algorithms(found, create.purpose)?;
    let named = !create.signature_algorithms.is_empty() || !create.encryption_algorithms.is_empty();
    let offered = place.signatures.len() + place.encryption.len();
    place.signatures.retain(|algorithm| signs.contains(algorithm));
    place.encryption.retain(|algorithm| encrypts.contains(algorithm));
    let left = place.signatures.len() + place.encryption.len();
    if left < offered && (named || left == 0) {
        let field = match create.purpose {
            Purpose::SignVerify => "params.signature_algorithms",
            _ => "params.encryption_algorithms",
        };
        let why = "the device does not let the key be used with all of these";
        return Err(Error::invalid(field, Reason::AlgorithmNotAllowed, why));
    }
    Ok(place)
}

/// What the key may be used with for a purpose.
fn algorithms(
    found: &Adopted,
    purpose: Purpose,
) -> Result<(Vec<SignatureAlgorithm>, Vec<EncryptionAlgorithm>), Error> {
    match found.uses.iter().find(|usage| Purpose::behind(usage) == purpose) {
        Some(Usage::Sign(algorithms)) => Ok((algorithms.clone(), Vec::new())),
        Some(Usage::Encrypt(algorithms)) => Ok((Vec::new(), algorithms.clone())),
        Some(Usage::Mac | Usage::Agree) => Ok(Default::default()),
        None => {
            let uses: Vec<_> = found.uses.iter().map(|usage| Purpose::behind(usage).name()).collect();
            let why = format!("the device lets the key be used for {} only", uses.join(" and "));
            Err(Error::invalid("params.purpose", Reason::FieldInvalid, why))
        }
    }
}
