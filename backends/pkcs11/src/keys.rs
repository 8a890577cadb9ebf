//! Finding and removing the keys of this gateway.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use cryptoki::object::{ObjectClass, ObjectHandle};
use skms_backend::{Class, Error, FoundKey, KeyTag, Operation, Pin, Selector};
use tracing::warn;

use crate::{
    cipher::check_value,
    error::device,
    judge::{self, judged},
    objects::{is_of, judge, public_key, remove, search},
    public::identify,
    session::{Context, Handle, Link, Token},
};

/// Removes everything under a tag; nothing there is fine.
pub(crate) fn destroy(
    token: &Token,
    context: &mut Context,
    tag: KeyTag,
    deadline: Instant,
) -> Result<(), Error> {
    let _lock = token.writing(Operation::Destroy, deadline)?;
    token.run(context, Operation::Destroy, |link| remove(token, link, tag, Operation::Destroy))
}

/// The objects under one tag.
#[derive(Default)]
struct Parts {
    hidden: Vec<(ObjectHandle, ObjectClass)>,
    public: Vec<ObjectHandle>,
}

/// Every key of this gateway, or the one under a tag, whole or not.
pub(crate) fn find(
    token: &Token,
    context: &mut Context,
    selector: Selector,
    deadline: Instant,
) -> Result<Vec<FoundKey>, Error> {
    let _lock = token.reading(Operation::Find, deadline)?;
    let (epoch, keys) = token.run(context, Operation::Find, |link| {
        let mut keys: BTreeMap<KeyTag, Parts> = BTreeMap::new();
        for found in search(token, link, selector, Operation::Find)? {
            let parts = keys.entry(found.tag).or_default();
            match found.class {
                ObjectClass::PUBLIC_KEY => parts.public.push(found.object),
                class @ (ObjectClass::PRIVATE_KEY | ObjectClass::SECRET_KEY) => {
                    parts.hidden.push((found.object, class));
                }
                _ => {}
            }
        }
        Ok((link.epoch, keys))
    })?;
    let mut answer = Vec::with_capacity(keys.len());
    for (tag, parts) in keys {
        // A session each: what is wrong with one key is no matter of the next.
        let pin = match token.run(context, Operation::Find, |link| whole(token, link, &parts)) {
            Ok(handle) => handle.map(|handle| {
                let pin = handle.pin.clone();
                token.remember(epoch, tag, Arc::new(handle));
                pin
            }),
            Err(error) if error.class() == Class::Key => {
                warn!(%tag, %error, "a key on the token is not fit for use");
                None
            }
            Err(error) => return Err(error),
        };
        answer.push(FoundKey { tag, pin, blob: bytes::Bytes::new() });
    }
    Ok(answer)
}

/// The key in these objects, if they are all of one and in order.
fn whole(token: &Token, link: &Link, parts: &Parts) -> Result<Option<Handle>, Error> {
    let (object, class, public) = match (parts.hidden.as_slice(), parts.public.as_slice()) {
        (&[(object, class @ ObjectClass::PRIVATE_KEY)], &[public]) => (object, class, Some(public)),
        (&[(object, class @ ObjectClass::SECRET_KEY)], []) => (object, class, None),
        _ => return Ok(None),
    };
    let attributes = link.session.get_attributes(object, judged(class)).map_err(device(Operation::Find))?;
    let Some(duty) = judge::duty(&attributes, class) else {
        return Err(
            Error::new(Class::Key, Operation::Find).detail("it is for nothing that a key here is for")
        );
    };
    judge(token, link, object, (class, duty), Operation::Find)?;
    let Some(public) = public else {
        let Some((key_type, _)) = identify(&link.session, object, Operation::Find)? else { return Ok(None) };
        if token.recipe(key_type, duty).is_none() {
            return Ok(None);
        }
        let pin = Pin::Secret(check_value(&link.session, object, key_type)?);
        return Ok(Some(Handle { object, key_type, duty, pin, proven: true }));
    };
    let Some(public) = public_key(link, public, Operation::Find)? else { return Ok(None) };
    let key_type = public.key_type();
    if !is_of(link, object, key_type, Operation::Find)? {
        return Ok(None);
    }
    // The private half is tried when it is first used.
    Ok(Some(Handle { object, key_type, duty, pin: Pin::Public(public), proven: false }))
}
