//! From what the catalog keeps to a key in the TPM.
//!
//! **Invariant:** no key is used that is bound to another tag, type or duty, that another
//! TPM has wrapped, or that is not the one of its pin.

use skms_backend::{Class, Error, Hash, KeyRef, Operation, Pin, SaltedKey, Secret};
use tss_esapi::{handles::ObjectHandle, structures::Public};

use crate::{
    blob::Wrapped,
    cipher,
    device::{Connection, Guard, Tpm},
    duty::Duty,
    error::device,
    public, template,
};

/// The handle of a key, which is loaded if it is not yet.
pub(crate) fn resolve(
    connection: &mut Connection,
    key: &KeyRef,
    duty: Duty,
    operation: Operation,
) -> Result<ObjectHandle, Error> {
    if let Some(handle) = connection.loaded.get(key, duty) {
        return Ok(handle);
    }
    let wrapped = read(connection, key, duty, operation)?;
    let unfit = |why: &'static str| Error::new(Class::Key, operation).detail(why);
    if let Some(Pin::Public(pinned)) = &key.pin
        && public::read(key.key_type, &wrapped.public).as_ref() != Some(pinned)
    {
        return Err(unfit(ANOTHER));
    }
    let handle = load(connection, wrapped, operation)?;
    let told = match &key.pin {
        Some(Pin::Secret(pinned)) => match cipher::check_value(connection, handle, key.key_type, operation) {
            Ok(value) if value == *pinned => Ok(()),
            Ok(_) => Err(unfit(ANOTHER)),
            Err(error) => Err(error),
        },
        Some(Pin::Public(_)) | None => Ok(()),
    };
    match told {
        Ok(()) => {
            connection.loaded.insert(key, duty, handle);
            Ok(handle)
        }
        Err(error) => {
            connection.flush(handle);
            Err(error)
        }
    }
}

/// The handle of a key, whatever it is for, and its public area.
pub(crate) fn with_public(
    connection: &mut Connection,
    key: &KeyRef,
    operation: Operation,
) -> Result<(ObjectHandle, Public), Error> {
    let unfit = |why: String| Error::new(Class::Key, operation).detail(why);
    let public = Wrapped::read(&key.blob).map_err(|error| unfit(error.to_string()))?.public;
    let is_for =
        |duty: &Duty| *public.auth_policy().value() == *template::binding(key.tag, key.key_type, *duty);
    let duty = Duty::ALL.into_iter().find(is_for).ok_or_else(|| unfit(OTHERWISE_BOUND.to_owned()))?;
    Ok((resolve(connection, key, duty, operation)?, public))
}

/// The bytes of a key that the TPM only keeps.
pub(crate) fn unseal(
    tpm: &Tpm,
    connection: &mut Connection,
    key: &KeyRef,
    operation: Operation,
) -> Result<std::sync::Arc<Secret>, Error> {
    if let Some(bytes) = tpm.kept.get(key) {
        return Ok(bytes);
    }
    let wrapped = read(connection, key, Duty::Encrypt, operation)?;
    let handle = load(connection, wrapped, operation)?;
    let data = connection.call(Guard::Sealed, operation, |context| context.unseal(handle));
    connection.flush(handle);
    let bytes = Secret::new(data?.value().to_vec());
    let unfit = |why: &'static str| Error::new(Class::Key, operation).detail(why);
    if key.key_type.secret_bytes() != Some(bytes.expose().len()) {
        return Err(unfit("it is a key of another length"));
    }
    let value = SaltedKey::new(bytes.expose()).check_value(key.key_type);
    match &key.pin {
        Some(pin) if pin.check_value() != value.as_ref() => Err(unfit(ANOTHER)),
        _ => Ok(tpm.kept.insert(key, bytes)),
    }
}

/// Whether a blob was wrapped by the TPM that is there: for the start of the gateway.
pub(crate) fn recognises(connection: &Connection, key: &KeyRef) -> Result<(), Error> {
    let wrapped = Wrapped::read(&key.blob)
        .map_err(|error| Error::new(Class::Key, Operation::Open).detail(error.to_string()))?;
    of_this_tpm(connection, &wrapped, Operation::Open)
}

/// Reads a blob, and refuses it where it is not what it is said to be.
fn read(connection: &Connection, key: &KeyRef, duty: Duty, operation: Operation) -> Result<Wrapped, Error> {
    let unfit = |why: String| Error::new(Class::Key, operation).detail(why);
    let wrapped = Wrapped::read(&key.blob).map_err(|error| unfit(error.to_string()))?;
    of_this_tpm(connection, &wrapped, operation)?;
    let binding = template::binding(key.tag, key.key_type, duty);
    if *wrapped.public.auth_policy().value() != *binding {
        return Err(unfit(OTHERWISE_BOUND.to_owned()));
    }
    Ok(wrapped)
}

fn of_this_tpm(connection: &Connection, wrapped: &Wrapped, operation: Operation) -> Result<(), Error> {
    if wrapped.parent == connection.parent_name {
        return Ok(());
    }
    let why = format!(
        "it was wrapped under the storage key {}, and this TPM has {}: it was cleared, or is another one",
        hex::encode(wrapped.parent),
        hex::encode(connection.parent_name)
    );
    Err(Error::new(Class::Key, operation).detail(why))
}

/// Loads a key, making room for it; whoever calls this has it flushed or remembered.
fn load(connection: &mut Connection, wrapped: Wrapped, operation: Operation) -> Result<ObjectHandle, Error> {
    if let Some(excess) = connection.loaded.excess() {
        connection.flush(excess);
    }
    let parent = connection.parent;
    let Wrapped { auth, public, private, .. } = wrapped;
    // What is given to the TPM here was wrapped by it, and the Name of what it has loaded is
    // in every proof that follows.
    let loaded = connection
        .call(Guard::Plain, operation, |context| context.load(parent, private.clone(), public.clone()))?;
    let handle = ObjectHandle::from(loaded);
    if let Err(error) = connection.context.tr_set_auth(handle, auth) {
        connection.flush(handle);
        return Err(device(operation)(error));
    }
    Ok(handle)
}

/// The digest of a text, as a check value is made of.
pub(crate) fn hashed(made: &[u8]) -> skms_backend::CheckValue {
    let mut value = [0; skms_backend::CheckValue::BYTES];
    value.copy_from_slice(Hash::Sha256.digest(made).as_ref());
    skms_backend::CheckValue(value)
}

const OTHERWISE_BOUND: &str = "it was made under another tag, of another type, or for something else";
const ANOTHER: &str = "it is another key than the one that was made";
