//! Keys that were on the token before the gateway: taking them over, and finding them again.
//!
//! Others made them, and may use and keep them in other ways than the gateway would: that
//! is told, and not refused. What a key must do here is shown before it is taken over.
//!
//! **Invariant:** nothing on the token is changed or removed here; [`release`] does that.
//!
//! **Invariant:** where a name means more than one key, it means none.

mod release;

use std::time::Instant;

use async_trait::async_trait;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use skms_backend::{
    Adopted, Class, Cost, Custody, Error, KeyAdoption, KeyRef, OpContext, Operation, Pin, Release,
};

use crate::{
    Pkcs11Backend,
    backend::CHANGES_OBJECTS,
    cipher::check_value,
    duty::Duty,
    error::device,
    judge::{judged, unusable},
    objects::is_of,
    prove,
    public::identify,
    public_half,
    session::{Context, Handle, Link, Token},
    uri::{KeyName, parse_key},
};

#[async_trait]
impl KeyAdoption for Pkcs11Backend {
    async fn adopt(&self, uri: &str, ctx: &OpContext) -> Result<Adopted, Error> {
        let (selector, name) = parse_key(uri).map_err(refusal)?;
        if !selector.matches(&self.workers.device().name) {
            return Err(refusal("the URI names another token than that of the backend"));
        }
        let deadline = ctx.deadline;
        self.workers
            .run(Operation::Find, Cost::Slow, ctx, move |token, context| {
                adopt(token, context, &name, deadline)
            })
            .await
    }

    async fn release(&self, key: &KeyRef, ctx: &OpContext) -> Result<Release, Error> {
        if !self.destroys_adopted {
            return Ok(Release::Left);
        }
        let (key, deadline) = (key.clone(), ctx.deadline);
        self.workers
            .run(Operation::Destroy, CHANGES_OBJECTS, ctx, move |token, context| {
                release::remove(token, context, &key, deadline)
            })
            .await?;
        Ok(Release::Removed)
    }
}

fn adopt(token: &Token, context: &mut Context, name: &KeyName, deadline: Instant) -> Result<Adopted, Error> {
    let _lock = token.reading(Operation::Find, deadline)?;
    token.run(context, Operation::Find, |link| {
        let object = match matching(token, link, name, Operation::Find)?.as_slice() {
            [object] => *object,
            [] => return Err(refusal("no private or secret key on the token has these attributes")),
            several => {
                let count = several.len();
                let why = format!("{count} keys on the token have these attributes; name one of them");
                return Err(refusal(why));
            }
        };
        let (class, id, label) = place(link, object)?;
        if label == token.label {
            return Err(refusal("it is a key of this gateway"));
        }
        let attributes = link.session.get_attributes(object, judged(class)).map_err(device(Operation::Find))?;
        let (key_type, pin) = if class == ObjectClass::PRIVATE_KEY {
            let public = public_half::find(link, object, &id)?;
            (public.key_type(), Some(Pin::Public(public)))
        } else {
            let identified = identify(&link.session, object, Operation::Find)?;
            (identified.ok_or_else(|| refusal(public_half::UNKNOWN_TYPE))?.0, None)
        };
        if !is_of(link, object, key_type, Operation::Find)? {
            return Err(refusal("the private key and its public half are of different types"));
        }
        if attributes.contains(&Attribute::AlwaysAuthenticate(true)) {
            return Err(refusal("it wants the PIN for every use (CKA_ALWAYS_AUTHENTICATE)"));
        }
        let allowed = prove::allowed(link, object)?;
        let recipes: Vec<_> = Duty::ALL
            .into_iter()
            .filter(|duty| unusable(&attributes, class, *duty).is_none())
            .filter_map(|duty| token.recipe(key_type, duty))
            .filter(|recipe| recipe.allows(&allowed))
            .collect();
        if recipes.is_empty() {
            let why = format!(
                "its attributes let a key of type {key_type} do nothing that the gateway could use it for here: a key signs (CKA_SIGN), decrypts (CKA_DECRYPT; an AES key also CKA_ENCRYPT) or agrees (CKA_DERIVE)"
            );
            return Err(refusal(why));
        }
        let pin = match pin {
            Some(pin) => pin,
            None => Pin::Secret(check_value(&link.session, object, key_type)?),
        };
        for recipe in &recipes {
            if let Pin::Public(public) = &pin
                && !prove::belongs(token, link, recipe, object, public)?
            {
                return Err(refusal("the private key does not belong to the public key beside it"));
            }
        }
        let named = KeyName {
            id: (!id.is_empty()).then_some(id),
            label: (!label.is_empty()).then_some(label),
            class: Some(class),
        };
        Ok(Adopted {
            key_type,
            uses: recipes.iter().map(|recipe| recipe.usage_with(&allowed)).collect(),
            pin,
            blob: named.uri().into(),
            custody: custody(link, object)?,
        })
    })
}

/// The handle of a key that was taken over. Whether a private key is the pinned one is not
/// shown yet.
pub(crate) fn find(
    token: &Token,
    link: &Link,
    key: &KeyRef,
    duty: Duty,
    operation: Operation,
) -> Result<Handle, Error> {
    let unfit = |why: &'static str| Error::new(Class::Key, operation).detail(why);
    let (name, class, pin) = kept(key, operation)?;
    let object = match matching(token, link, &name, operation)?.as_slice() {
        [object] => *object,
        [] => return Err(unfit("it is not on the token")),
        _ => return Err(unfit("the token has more than one key in its place")),
    };
    let attributes = link.session.get_attributes(object, judged(class)).map_err(device(operation))?;
    if let Some(flaw) = unusable(&attributes, class, duty) {
        return Err(unfit(flaw));
    }
    if !is_of(link, object, key.key_type, operation)? {
        return Err(unfit("the key on the token is of another type"));
    }
    if let Pin::Secret(value) = &pin
        && check_value(&link.session, object, key.key_type)? != *value
    {
        return Err(unfit("it is another key than the one that was taken over"));
    }
    Ok(Handle { object, key_type: key.key_type, duty, pin, proven: false })
}

/// What is known of a key since it was taken over: its name and its class on the token, and
/// what it is held against.
fn kept(key: &KeyRef, operation: Operation) -> Result<(KeyName, ObjectClass, Pin), Error> {
    let unfit = |why: &'static str| Error::new(Class::Key, operation).detail(why);
    let place = str::from_utf8(&key.blob).map_err(|_| unfit("where it is cannot be read"))?;
    let (_, name) = parse_key(place).map_err(|_| unfit("where it is cannot be read"))?;
    let (Some(class), Some(pin)) = (name.class, key.pin.clone()) else {
        return Err(unfit("what it must be is not known"));
    };
    Ok((name, class, pin))
}

/// The private and secret keys of this name. That there are none is believed only of a
/// token that is there.
fn matching(
    token: &Token,
    link: &Link,
    name: &KeyName,
    operation: Operation,
) -> Result<Vec<ObjectHandle>, Error> {
    let classes = match name.class {
        Some(class) => vec![class],
        None => vec![ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY],
    };
    let mut found = Vec::new();
    for class in classes {
        let wanted = KeyName { class: Some(class), ..name.clone() }.attributes();
        found.extend(link.session.find_objects(&wanted).map_err(device(operation))?);
    }
    token.present(link, operation)?;
    Ok(found)
}

/// The class, `CKA_ID` and `CKA_LABEL` of an object.
fn place(link: &Link, object: ObjectHandle) -> Result<(ObjectClass, Vec<u8>, Vec<u8>), Error> {
    let wanted = [AttributeType::Class, AttributeType::Id, AttributeType::Label];
    let (mut class, mut id, mut label) = (ObjectClass::PRIVATE_KEY, Vec::new(), Vec::new());
    for attribute in link.session.get_attributes(object, &wanted).map_err(device(Operation::Find))? {
        match attribute {
            Attribute::Class(value) => class = value,
            Attribute::Id(value) => id = value,
            Attribute::Label(value) => label = value,
            _ => {}
        }
    }
    Ok((class, id, label))
}

fn custody(link: &Link, object: ObjectHandle) -> Result<Custody, Error> {
    const SAID: [AttributeType; 6] = [
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
        AttributeType::Local,
        AttributeType::Modifiable,
    ];
    let mut custody = Custody::default();
    for attribute in link.session.get_attributes(object, &SAID).map_err(device(Operation::Find))? {
        match attribute {
            Attribute::Sensitive(said) => custody.sensitive = Some(said),
            Attribute::Extractable(said) => custody.extractable = Some(said),
            Attribute::AlwaysSensitive(said) => custody.always_sensitive = Some(said),
            Attribute::NeverExtractable(said) => custody.never_extractable = Some(said),
            Attribute::Local(said) => custody.local = Some(said),
            Attribute::Modifiable(said) => custody.modifiable = Some(said),
            _ => {}
        }
    }
    Ok(custody)
}

/// What is told to whoever wants to take over a key that cannot be.
pub(crate) fn refusal(why: impl Into<std::sync::Arc<str>>) -> Error {
    Error::new(Class::Caller, Operation::Find).detail(why)
}
