//! Making, finding and removing keys.
//!
//! Every object of the gateway is a token object whose `CKA_LABEL` names the
//! gateway's instance and whose `CKA_ID` is the tag of the key.
//!
//! **Invariant:** an object is used or destroyed only if label and tag are those
//! of this gateway; there is no search without the label.

use std::{collections::BTreeMap, time::Instant};

use cryptoki::{
    error::{Error as Cryptoki, RvError},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
};
use skms_backend::{
    Class, Error, FoundKey, GeneratedKey, KeySpec, KeyTag, KeyType, Operation, Pin, PublicKey, Selector,
    SignatureAlgorithm, Usage,
};
use tracing::warn;

use crate::{
    error::device,
    mechanism,
    public::{build, identify},
    quirks::Recipe,
    session::{Context, Handle, Link, Token},
    template::{self, JUDGED, Place, flaw, token_key_type},
};

/// Makes a key, reads it back, and removes it again if it is not what was asked for.
pub(crate) fn generate(
    token: &Token,
    context: &mut Context,
    spec: &KeySpec,
    tag: KeyTag,
    deadline: Instant,
) -> Result<GeneratedKey, Error> {
    let unsupported = || Error::new(Class::Unsupported, Operation::Generate);
    let recipe = token.recipe(spec.key_type).ok_or_else(unsupported)?;
    let Usage::Sign(wanted) = &spec.usage else { return Err(unsupported()) };
    let algorithms: Vec<SignatureAlgorithm> =
        if wanted.is_empty() { recipe.algorithms() } else { wanted.clone() };
    if algorithms.iter().any(|algorithm| recipe.route(*algorithm).is_none()) {
        return Err(unsupported());
    }
    let _lock = token.writing(Operation::Generate, deadline)?;
    // A clean-up must not meet an older key: the tag has to be free.
    token.run(context, Operation::Generate, |link| {
        if search(token, link, Selector::Tag(tag), Operation::Generate)?.is_empty() {
            Ok(())
        } else {
            Err(Error::new(Class::Key, Operation::Generate).detail("the tag is taken on the token"))
        }
    })?;
    let made = token
        .run(context, Operation::Generate, |link| make(token, link, recipe, &algorithms, tag))
        .inspect_err(|_| clean_up(token, context, tag))?;
    Ok(GeneratedKey { pin: Pin::Public(made), blob: bytes::Bytes::new() })
}

/// The caller holds the lock on the objects.
fn make(
    token: &Token,
    link: &Link,
    recipe: &Recipe,
    algorithms: &[SignatureAlgorithm],
    tag: KeyTag,
) -> Result<PublicKey, Error> {
    let place = Place::Token { label: &token.label, tag };
    let mechanisms = recipe.mechanisms(algorithms);
    let public = template::public(recipe, recipe.optional, place);
    let private = template::private(recipe.optional, place, token.login_required, mechanisms.clone());
    let epoch = token.epoch();
    let (public, private) = link
        .session
        .generate_key_pair(&mechanism::generation(recipe.key_type), &public, &private)
        .map_err(device(Operation::Generate))?;
    let mut demanded = vec![
        Attribute::Token(true),
        Attribute::Label(token.label.clone()),
        Attribute::Id(tag.as_bytes().to_vec()),
        Attribute::KeyType(token_key_type(recipe.key_type)),
    ];
    let checked = (|| {
        confirm(link, public, &demanded)?;
        if recipe.optional.unmodifiable {
            demanded.push(Attribute::Modifiable(false));
        }
        if recipe.optional.allowed_mechanisms {
            demanded.push(Attribute::AllowedMechanisms(mechanisms));
        }
        confirm(link, private, &demanded)?;
        judge(token, link, private, Operation::Generate)?;
        match identify(&link.session, public, Operation::Generate)? {
            Some((key_type, attributes)) if key_type == recipe.key_type => build(key_type, &attributes),
            _ => None,
        }
        .ok_or_else(|| broken("the public key cannot be read, or is of another type"))
    })();
    match checked {
        Ok(key) => {
            token.remember(epoch, tag, Handle { object: private, key_type: recipe.key_type });
            Ok(key)
        }
        Err(error) => {
            // By handle first: label and tag may be what the token got wrong.
            for half in [private, public] {
                if let Err(error) = link.session.destroy_object(half) {
                    warn!(%tag, %error, "a half of a refused key stays on the token");
                }
            }
            Err(error)
        }
    }
}

fn broken(detail: &'static str) -> Error {
    Error::new(Class::Broken, Operation::Generate).detail(detail)
}

/// Demands that an object just made has these attributes.
fn confirm(link: &Link, object: ObjectHandle, demanded: &[Attribute]) -> Result<(), Error> {
    let kinds: Vec<AttributeType> = demanded.iter().map(Attribute::attribute_type).collect();
    let actual = link.session.get_attributes(object, &kinds).map_err(device(Operation::Generate))?;
    match demanded.iter().find(|wanted| !actual.iter().any(|attribute| same(attribute, wanted))) {
        None => Ok(()),
        Some(wanted) => Err(Error::new(Class::Broken, Operation::Generate)
            .detail(format!("the token did not keep the attribute {}", wanted.attribute_type()))),
    }
}

/// Equal, where a list of mechanisms has no order.
fn same(actual: &Attribute, wanted: &Attribute) -> bool {
    match (actual, wanted) {
        (Attribute::AllowedMechanisms(actual), Attribute::AllowedMechanisms(wanted)) => {
            actual.len() == wanted.len() && wanted.iter().all(|mechanism| actual.contains(mechanism))
        }
        _ => actual == wanted,
    }
}

/// Demands that a private key is as every key of the gateway must be.
fn judge(token: &Token, link: &Link, object: ObjectHandle, operation: Operation) -> Result<(), Error> {
    let attributes = link.session.get_attributes(object, &JUDGED).map_err(device(operation))?;
    match flaw(&attributes, token.login_required) {
        None => Ok(()),
        Some(flaw) => {
            let class = if operation == Operation::Generate { Class::Broken } else { Class::Key };
            Err(Error::new(class, operation).detail(flaw))
        }
    }
}

fn clean_up(token: &Token, context: &mut Context, tag: KeyTag) {
    if let Err(error) =
        token.run(context, Operation::Destroy, |link| remove(token, link, tag, Operation::Generate))
    {
        warn!(%tag, %error, "what is left of a failed key stays on the token for now");
    }
}

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

/// The caller holds the lock on the objects.
fn remove(token: &Token, link: &Link, tag: KeyTag, operation: Operation) -> Result<(), Error> {
    token.forget(tag);
    let mut objects = search(token, link, Selector::Tag(tag), operation)?;
    // The private half first: what a crash leaves behind is then harmless.
    objects.sort_by_key(|found| found.class != ObjectClass::PRIVATE_KEY);
    for found in objects {
        match link.session.destroy_object(found.object) {
            // Another process was faster.
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::ObjectHandleInvalid, _)) => {}
            Err(error) => return Err(device(operation)(error)),
        }
    }
    if search(token, link, Selector::Tag(tag), operation)?.is_empty() {
        Ok(())
    } else {
        Err(Error::new(Class::Broken, operation)
            .detail("the token keeps an object that it said it destroyed"))
    }
}

/// Every key of this gateway, or the one under a tag, whole or not.
pub(crate) fn find(
    token: &Token,
    context: &mut Context,
    selector: Selector,
    deadline: Instant,
) -> Result<Vec<FoundKey>, Error> {
    token.run(context, Operation::Find, |link| {
        let _lock = token.reading(Operation::Find, deadline)?;
        let epoch = token.epoch();
        let mut keys: BTreeMap<KeyTag, (Vec<ObjectHandle>, Vec<ObjectHandle>)> = BTreeMap::new();
        for found in search(token, link, selector, Operation::Find)? {
            let (private, public) = keys.entry(found.tag).or_default();
            match found.class {
                ObjectClass::PRIVATE_KEY => private.push(found.object),
                ObjectClass::PUBLIC_KEY => public.push(found.object),
                _ => {}
            }
        }
        let mut answer = Vec::with_capacity(keys.len());
        for (tag, halves) in keys {
            let public_key = match (halves.0.as_slice(), halves.1.as_slice()) {
                ([private], [public]) => whole(token, link, tag, epoch, *private, *public)?,
                _ => None,
            };
            answer.push(FoundKey { tag, pin: public_key.map(Pin::Public), blob: bytes::Bytes::new() });
        }
        Ok(answer)
    })
}

/// The public key of a pair, if both halves are in order. Remembers the private one.
fn whole(
    token: &Token,
    link: &Link,
    tag: KeyTag,
    epoch: u64,
    private: ObjectHandle,
    public: ObjectHandle,
) -> Result<Option<PublicKey>, Error> {
    match judge(token, link, private, Operation::Find) {
        Err(error) if error.class() == Class::Key => {
            warn!(%tag, %error, "a key on the token is not fit for use");
            return Ok(None);
        }
        judged => judged?,
    }
    let Some((key_type, attributes)) = identify(&link.session, public, Operation::Find)? else {
        return Ok(None);
    };
    let Some(public_key) = build(key_type, &attributes) else { return Ok(None) };
    if !is_of(link, private, key_type, Operation::Find)? {
        return Ok(None);
    }
    token.remember(epoch, tag, Handle { object: private, key_type });
    Ok(Some(public_key))
}

/// Whether a private key is of a type, as far as it lets itself be read: not
/// every token shows the curve of a private key.
fn is_of(link: &Link, private: ObjectHandle, key_type: KeyType, operation: Operation) -> Result<bool, Error> {
    if let Some((actual, _)) = identify(&link.session, private, operation)? {
        return Ok(actual == key_type);
    }
    let kind = link.session.get_attributes(private, &[AttributeType::KeyType]).map_err(device(operation))?;
    Ok(kind.contains(&Attribute::KeyType(token_key_type(key_type))))
}

/// The handle of the private key under a tag: remembered, or searched for.
pub(crate) fn resolve(
    token: &Token,
    link: &Link,
    tag: KeyTag,
    key_type: KeyType,
    deadline: Instant,
) -> Result<ObjectHandle, Error> {
    let unfit = |detail: &'static str| Error::new(Class::Key, Operation::Sign).detail(detail);
    let other_type = || unfit("the key on the token is of another type");
    if let Some(known) = token.known(tag) {
        return if known.key_type == key_type { Ok(known.object) } else { Err(other_type()) };
    }
    let _lock = token.reading(Operation::Sign, deadline)?;
    let epoch = token.epoch();
    let mut found = search(token, link, Selector::Tag(tag), Operation::Sign)?;
    found.retain(|found| found.class == ObjectClass::PRIVATE_KEY);
    let object = match found.as_slice() {
        [only] => only.object,
        [] => return Err(unfit("it is not on the token")),
        _ => return Err(unfit("the token has more than one private key under this tag")),
    };
    judge(token, link, object, Operation::Sign)?;
    if !is_of(link, object, key_type, Operation::Sign)? {
        return Err(other_type());
    }
    token.remember(epoch, tag, Handle { object, key_type });
    Ok(object)
}

/// An object that this gateway made.
struct Found {
    object: ObjectHandle,
    class: ObjectClass,
    tag: KeyTag,
}

/// The objects of this gateway. That there are none is believed only of a token
/// that is there: SoftHSM finds nothing, without an error, on one that is gone.
fn search(token: &Token, link: &Link, selector: Selector, operation: Operation) -> Result<Vec<Found>, Error> {
    let mut wanted = vec![Attribute::Token(true), Attribute::Label(token.label.clone())];
    if let Selector::Tag(tag) = selector {
        wanted.push(Attribute::Id(tag.as_bytes().to_vec()));
    }
    let objects = link.session.find_objects(&wanted).map_err(device(operation))?;
    let mut found = Vec::with_capacity(objects.len());
    for object in objects {
        let attributes = link
            .session
            .get_attributes(object, &[AttributeType::Class, AttributeType::Id])
            .map_err(device(operation))?;
        let class = attributes.iter().find_map(|attribute| match attribute {
            Attribute::Class(class) => Some(*class),
            _ => None,
        });
        let tag = attributes.iter().find_map(|attribute| match attribute {
            Attribute::Id(id) => KeyTag::from_slice(id),
            _ => None,
        });
        match (class, tag) {
            (Some(class), Some(tag)) => found.push(Found { object, class, tag }),
            _ => warn!("an object under the gateway's label has no tag of the gateway; left alone"),
        }
    }
    token.present(link, operation)?;
    Ok(found)
}
