//! The key that a call means: remembered, or searched for and held against its pin.
//!
//! **Invariant:** a handle is remembered as proven only after the key behind it was
//! shown to be the pinned one; on the way of a call whose key is known, nothing is
//! asked of the token.

use std::{sync::Arc, time::Instant};

use cryptoki::object::{ObjectClass, ObjectHandle};
use skms_backend::{Class, Error, KeyRef, Operation, Pin, Selector};

use crate::{
    adopt,
    cipher::check_value,
    duty::Duty,
    objects::{Found, is_of, judge, public_key, search},
    prove,
    quirks::Recipe,
    session::{Handle, Link, Token},
    template,
};

/// The handle behind a key for an operation with it.
pub(crate) fn resolve(
    token: &Token,
    link: &Link,
    key: &KeyRef,
    operation: Operation,
    deadline: Instant,
) -> Result<Arc<Handle>, Error> {
    let unfit = |detail: &'static str| Error::new(Class::Key, operation).detail(detail);
    let duty = Duty::behind(operation).ok_or_else(|| Error::new(Class::Unsupported, operation))?;
    let recipe = token.recipe(key.key_type, duty).ok_or_else(|| Error::new(Class::Unsupported, operation))?;
    if let Some(known) = token.known(link, key.tag) {
        let flaw = if known.key_type != key.key_type {
            Some(OTHER_TYPE)
        } else if known.duty != duty {
            Some("the key on the token is for another use")
        } else {
            key.pin.as_ref().filter(|pin| **pin != known.pin).map(|_| OTHER_KEY)
        };
        match flaw {
            None if known.proven => return Ok(known),
            None => return proven(token, link, recipe, key, (*known).clone(), operation),
            Some(flaw) if known.proven => return Err(unfit(flaw)),
            // What a search saw may have changed since.
            Some(_) => token.forget(link, key.tag),
        }
    }
    let lock = token.reading(operation, deadline)?;
    if !key.blob.is_empty() {
        let handle = adopt::find(token, link, key, duty, operation)?;
        drop(lock);
        return proven(token, link, recipe, key, handle, operation);
    }
    let found = search(token, link, Selector::Tag(key.tag), operation)?;
    let class = template::class(key.key_type);
    let object = only(&found, class).map_err(|none| {
        unfit(if none { "it is not on the token" } else { "the token has more than one key under this tag" })
    })?;
    judge(token, link, object, (class, duty), operation)?;
    if !is_of(link, object, key.key_type, operation)? {
        return Err(unfit(OTHER_TYPE));
    }
    let public = if class == ObjectClass::PRIVATE_KEY {
        let public = only(&found, ObjectClass::PUBLIC_KEY)
            .map_err(|_| unfit("the token has no public key beside it, or more than one"))?;
        Some(public_key(link, public, operation)?.ok_or_else(|| unfit("its public key cannot be read"))?)
    } else {
        None
    };
    drop(lock);
    let pin = match public {
        Some(public) => Pin::Public(public),
        None => Pin::Secret(check_value(&link.session, object, key.key_type)?),
    };
    if key.pin.as_ref().is_some_and(|expected| *expected != pin) {
        return Err(unfit(OTHER_KEY));
    }
    let handle = Handle { object, key_type: key.key_type, duty, pin, proven: false };
    proven(token, link, recipe, key, handle, operation)
}

/// Shows that a key is the one of its pin, and remembers that.
fn proven(
    token: &Token,
    link: &Link,
    recipe: &Recipe,
    key: &KeyRef,
    mut handle: Handle,
    operation: Operation,
) -> Result<Arc<Handle>, Error> {
    if let Pin::Public(public) = &handle.pin
        && !prove::belongs(token, link, recipe, handle.object, public)?
    {
        token.forget(link, key.tag);
        let why = "the private key on the token does not belong to the public key";
        return Err(Error::new(Class::Key, operation).detail(why));
    }
    // With the catalog's own copy of the pin there is one in memory.
    if let Some(pin) = &key.pin {
        handle.pin = pin.clone();
    }
    handle.proven = true;
    let handle = Arc::new(handle);
    token.remember(link.epoch, key.tag, Arc::clone(&handle));
    Ok(handle)
}

/// The only object of a class; otherwise whether there is none.
fn only(found: &[Found], class: ObjectClass) -> Result<ObjectHandle, bool> {
    let mut of_class = found.iter().filter(|found| found.class == class);
    match (of_class.next(), of_class.next()) {
        (Some(only), None) => Ok(only.object),
        (first, _) => Err(first.is_none()),
    }
}

const OTHER_TYPE: &str = "the key on the token is of another type";
const OTHER_KEY: &str = "it is another key than the one that was made";
