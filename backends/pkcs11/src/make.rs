//! Making keys on the token, and taking over those that were made elsewhere.
//!
//! **Invariant:** no key is given out before it was read back, was found as it was asked
//! for, and did what it is for.

use std::{sync::Arc, time::Instant};

use cryptoki::{
    error::Error as Cryptoki,
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectHandle},
    session::Session,
};
use skms_backend::{Class, Error, GeneratedKey, KeySpec, KeyTag, Operation, Pin, Secret, Selector};
use tracing::warn;

use crate::{
    cipher::check_value,
    duty::Duty,
    error::{device, of_well_formed},
    material::{Material, wipe},
    mechanism,
    objects::{judge, public_key, remove, search},
    prove,
    quirks::Recipe,
    session::{Context, Handle, Link, Token},
    template::{self, Place, class, token_key_type},
};

/// The objects of a key: what is hidden of it, and its public half if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Made {
    pub(crate) hidden: ObjectHandle,
    pub(crate) public: Option<ObjectHandle>,
}

/// Makes a key, or gives `material` to the token, reads it back, and removes it again if
/// it is not what was asked for.
pub(crate) fn make(
    token: &Token,
    context: &mut Context,
    (spec, tag): (&KeySpec, KeyTag),
    material: Option<&Secret>,
    deadline: Instant,
) -> Result<GeneratedKey, Error> {
    let operation = if material.is_some() { Operation::Import } else { Operation::Generate };
    let unsupported = || Error::new(Class::Unsupported, operation);
    let recipe = token.recipe(spec.key_type, Duty::of(&spec.usage)).ok_or_else(unsupported)?;
    let mechanisms = recipe.mechanisms(&spec.usage).ok_or_else(unsupported)?;
    if material.is_some() && !recipe.import {
        return Err(unsupported());
    }
    let unsound = || {
        let why = format!("it is no key of type {}", spec.key_type);
        Error::new(Class::Caller, operation).detail(why)
    };
    let material = material
        .map(|material| Material::read(spec.key_type, material.expose()).ok_or_else(unsound))
        .transpose()?;
    let _lock = token.writing(operation, deadline)?;
    // A clean-up must not meet an older key: the tag has to be free.
    token.run(context, operation, |link| {
        if search(token, link, Selector::Tag(tag), operation)?.is_empty() {
            Ok(())
        } else {
            Err(Error::new(Class::Key, operation).detail("the tag is taken on the token"))
        }
    })?;
    let pin = token
        .run(context, operation, |link| {
            let place = Place::Token { label: &token.label, tag };
            let login = token.login_required;
            let made = create(&link.session, recipe, place, (login, mechanisms.clone()), material.as_ref())
                .map_err(device(operation))?;
            let accepted = accept(token, link, recipe, (made, tag), mechanisms, operation).and_then(|pin| {
                if material.as_ref().is_some_and(|material| material.pin != pin) {
                    return Err(broken("the token made another key of the material", operation));
                }
                Ok(pin)
            });
            if accepted.is_err() {
                // By handle first: label and tag may be what the token got wrong.
                discard(&link.session, made);
            }
            let (key_type, duty, pin) = (spec.key_type, recipe.duty(), accepted?);
            let handle = Handle { object: made.hidden, key_type, duty, pin: pin.clone(), proven: true };
            token.remember(link.epoch, tag, Arc::new(handle));
            Ok(pin)
        })
        .inspect_err(|_| clean_up(token, context, tag, operation))
        // The material was read before.
        .map_err(of_well_formed)?;
    Ok(GeneratedKey { pin, blob: bytes::Bytes::new() })
}

/// Makes the objects of a key, all of them or none.
pub(crate) fn create(
    session: &Session,
    recipe: &Recipe,
    place: Place<'_>,
    (login_required, mechanisms): (bool, Vec<MechanismType>),
    material: Option<&Material>,
) -> Result<Made, Cryptoki> {
    let key_type = recipe.key_type;
    let mut hidden = template::hidden(recipe, place, login_required, mechanisms);
    let Some(material) = material else {
        let mechanism = mechanism::generation(key_type);
        if key_type.is_secret() {
            hidden.extend(template::parameters(recipe));
            return Ok(Made { hidden: session.generate_key(&mechanism, &hidden)?, public: None });
        }
        let public = [template::public(recipe, place), template::parameters(recipe)].concat();
        let (public, hidden) = session.generate_key_pair(&mechanism, &public, &hidden)?;
        return Ok(Made { hidden, public: Some(public) });
    };
    let curve = recipe.ec_params.clone().map(Attribute::EcParams);
    let kind = Attribute::KeyType(token_key_type(key_type));
    hidden.extend([Attribute::Class(class(key_type)), kind.clone()]);
    hidden.extend(curve.clone());
    hidden.extend(material.hidden.iter().cloned());
    let created = session.create_object(&hidden);
    hidden.iter_mut().for_each(wipe);
    let hidden = created?;
    if key_type.is_secret() {
        return Ok(Made { hidden, public: None });
    }
    let mut public = template::public(recipe, place);
    public.extend([Attribute::Class(cryptoki::object::ObjectClass::PUBLIC_KEY), kind]);
    public.extend(curve);
    public.extend(material.public.iter().cloned());
    match session.create_object(&public) {
        Ok(public) => Ok(Made { hidden, public: Some(public) }),
        Err(error) => {
            discard(session, Made { hidden, public: None });
            Err(error)
        }
    }
}

/// Removes the objects of a key that is not wanted.
pub(crate) fn discard(session: &Session, made: Made) {
    for object in [Some(made.hidden), made.public].into_iter().flatten() {
        if let Err(error) = session.destroy_object(object) {
            warn!(%error, "a part of a key that is not wanted stays");
        }
    }
}

/// Demands that a key just made is what was asked for, and tells which it is.
fn accept(
    token: &Token,
    link: &Link,
    recipe: &Recipe,
    (made, tag): (Made, KeyTag),
    mechanisms: Vec<MechanismType>,
    operation: Operation,
) -> Result<Pin, Error> {
    let key_type = recipe.key_type;
    let mut demanded = vec![
        Attribute::Token(true),
        Attribute::Label(token.label.clone()),
        Attribute::Id(tag.as_bytes().to_vec()),
        Attribute::KeyType(token_key_type(key_type)),
    ];
    if let Some(public) = made.public {
        confirm(link, public, &demanded, operation)?;
    }
    if recipe.optional.unmodifiable {
        demanded.push(Attribute::Modifiable(false));
    }
    if recipe.optional.allowed_mechanisms {
        demanded.push(Attribute::AllowedMechanisms(mechanisms));
    }
    if let Some(length) = key_type.secret_bytes() {
        demanded.push(Attribute::ValueLen((length as u64).into()));
    }
    confirm(link, made.hidden, &demanded, operation)?;
    judge(token, link, made.hidden, (class(key_type), recipe.duty()), operation)?;
    if operation == Operation::Generate {
        let told = link.session.get_attributes(made.hidden, &[AttributeType::Local]);
        if told.map_err(device(operation))?.contains(&Attribute::Local(false)) {
            return Err(broken("the token says that it did not make the key", operation));
        }
    }
    let Some(public) = made.public else {
        return check_value(&link.session, made.hidden, key_type).map(Pin::Secret);
    };
    let public = public_key(link, public, operation)?
        .filter(|public| public.key_type() == key_type)
        .ok_or_else(|| broken("the public key cannot be read, or is of another type", operation))?;
    if !prove::belongs(token, link, recipe, made.hidden, &public)? {
        return Err(broken("the new key does not do what it is for", operation));
    }
    Ok(Pin::Public(public))
}

fn broken(detail: &'static str, operation: Operation) -> Error {
    Error::new(Class::Broken, operation).detail(detail)
}

/// Demands that an object just made has these attributes.
fn confirm(
    link: &Link,
    object: ObjectHandle,
    demanded: &[Attribute],
    operation: Operation,
) -> Result<(), Error> {
    let kinds: Vec<AttributeType> = demanded.iter().map(Attribute::attribute_type).collect();
    let actual = link.session.get_attributes(object, &kinds).map_err(device(operation))?;
    match demanded.iter().find(|wanted| !actual.iter().any(|attribute| same(attribute, wanted))) {
        None => Ok(()),
        Some(wanted) => Err(Error::new(Class::Broken, operation)
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

fn clean_up(token: &Token, context: &mut Context, tag: KeyTag, operation: Operation) {
    if let Err(error) = token.run(context, Operation::Destroy, |link| remove(token, link, tag, operation)) {
        warn!(%tag, %error, "what is left of a failed key stays on the token for now");
    }
}
