//! Removing a key that was taken over, where the configuration wants that.
//!
//! **Invariant:** what is removed is the pinned key, shown to be so at that moment, and the
//! public key that belongs to it; nothing else has its `CKA_ID` and its value.

use std::time::Instant;

use cryptoki::{
    error::{Error as Cryptoki, RvError},
    object::{ObjectClass, ObjectHandle},
};
use skms_backend::{Class, Error, KeyRef, Operation, Pin, PublicKey};

use super::{kept, matching};
use crate::{
    cipher::check_value,
    duty::Duty,
    error::device,
    judge::{judged, unusable},
    objects::public_key,
    prove,
    session::{Context, Link, Token},
    uri::KeyName,
};

const OPERATION: Operation = Operation::Destroy;

/// Removes the key and its public half; what is gone is no error.
pub(super) fn remove(
    token: &Token,
    context: &mut Context,
    key: &KeyRef,
    deadline: Instant,
) -> Result<(), Error> {
    let _lock = token.writing(OPERATION, deadline)?;
    token.run(context, OPERATION, |link| {
        let (name, class, pin) = kept(key, OPERATION)?;
        token.forget(link, key.tag);
        match matching(token, link, &name, OPERATION)?.as_slice() {
            // An earlier attempt came so far.
            [] => {}
            [object] => {
                if !is_pinned(token, link, key, (*object, class), &pin)? {
                    return Err(unfit("it is another key than the one that was taken over"));
                }
                destroy(link, *object)?;
            }
            _ => return Err(unfit("the token has more than one key in its place")),
        }
        if let Pin::Public(public) = &pin {
            for object in public_halves(link, &name, public)? {
                destroy(link, object)?;
            }
        }
        if matching(token, link, &name, OPERATION)?.is_empty() {
            return Ok(());
        }
        Err(Error::new(Class::Broken, OPERATION)
            .detail("the token keeps an object that it said it destroyed"))
    })
}

/// Whether the key does what only the pinned one does.
fn is_pinned(
    token: &Token,
    link: &Link,
    key: &KeyRef,
    (object, class): (ObjectHandle, ObjectClass),
    pin: &Pin,
) -> Result<bool, Error> {
    let public = match pin {
        Pin::Secret(value) => {
            return Ok(check_value(&link.session, object, key.key_type)? == *value);
        }
        Pin::Public(public) => public,
    };
    let attributes = link.session.get_attributes(object, judged(class)).map_err(device(OPERATION))?;
    let usable = Duty::ALL.into_iter().filter(|duty| unusable(&attributes, class, *duty).is_none());
    for recipe in usable.filter_map(|duty| token.recipe(key.key_type, duty)) {
        if prove::belongs(token, link, recipe, object, public)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The public keys beside it that have its value.
fn public_halves(link: &Link, name: &KeyName, public: &PublicKey) -> Result<Vec<ObjectHandle>, Error> {
    let Some(id) = &name.id else { return Ok(Vec::new()) };
    let beside = KeyName { id: Some(id.clone()), label: None, class: Some(ObjectClass::PUBLIC_KEY) };
    let mut halves = Vec::new();
    for object in link.session.find_objects(&beside.attributes()).map_err(device(OPERATION))? {
        if public_key(link, object, OPERATION)?.as_ref() == Some(public) {
            halves.push(object);
        }
    }
    Ok(halves)
}

fn destroy(link: &Link, object: ObjectHandle) -> Result<(), Error> {
    match link.session.destroy_object(object) {
        // Another process was faster.
        Ok(()) | Err(Cryptoki::Pkcs11(RvError::ObjectHandleInvalid, _)) => Ok(()),
        Err(error) => Err(device(OPERATION)(error)),
    }
}

fn unfit(why: &'static str) -> Error {
    Error::new(Class::Key, OPERATION).detail(why)
}
