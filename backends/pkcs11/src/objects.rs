//! The objects of this gateway on a token: looking for them, judging and removing them.
//!
//! Every object of the gateway is a token object whose `CKA_LABEL` names the
//! gateway's instance and whose `CKA_ID` is the tag of the key.
//!
//! **Invariant:** an object is used or destroyed only if label and tag are those
//! of this gateway; there is no search without the label.

use cryptoki::{
    error::{Error as Cryptoki, RvError},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
};
use skms_backend::{Class, Error, KeyTag, KeyType, Operation, PublicKey, Selector};
use tracing::warn;

use crate::{
    duty::Duty,
    error::device,
    judge::{flaw, judged},
    public::{build, identify},
    session::{Link, Token},
    template::token_key_type,
};

/// An object that this gateway made.
pub(crate) struct Found {
    pub(crate) object: ObjectHandle,
    pub(crate) class: ObjectClass,
    pub(crate) tag: KeyTag,
}

/// The objects of this gateway. That there are none is believed only of a token
/// that is there: SoftHSM finds nothing, without an error, on one that is gone.
pub(crate) fn search(
    token: &Token,
    link: &Link,
    selector: Selector,
    operation: Operation,
) -> Result<Vec<Found>, Error> {
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

/// Removes everything under a tag; nothing there is fine. The caller holds the lock on
/// the objects.
pub(crate) fn remove(token: &Token, link: &Link, tag: KeyTag, operation: Operation) -> Result<(), Error> {
    token.forget(link, tag);
    let mut objects = search(token, link, Selector::Tag(tag), operation)?;
    // What is secret first: what a crash leaves behind is then harmless.
    objects.sort_by_key(|found| found.class == ObjectClass::PUBLIC_KEY);
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

/// Demands that a key is made for its duty and hidden.
pub(crate) fn judge(
    token: &Token,
    link: &Link,
    object: ObjectHandle,
    (class, duty): (ObjectClass, Duty),
    operation: Operation,
) -> Result<(), Error> {
    let attributes = link.session.get_attributes(object, judged(class)).map_err(device(operation))?;
    match flaw(&attributes, class, duty, token.login_required) {
        None => Ok(()),
        Some(flaw) => {
            let made = matches!(operation, Operation::Generate | Operation::Import);
            let class = if made { Class::Broken } else { Class::Key };
            Err(Error::new(class, operation).detail(flaw))
        }
    }
}

/// Whether a private or secret key is of a type, as far as it lets itself be read: not
/// every token shows the curve of a private key.
pub(crate) fn is_of(
    link: &Link,
    object: ObjectHandle,
    key_type: KeyType,
    operation: Operation,
) -> Result<bool, Error> {
    if let Some((actual, _)) = identify(&link.session, object, operation)? {
        return Ok(actual == key_type);
    }
    let kind = link.session.get_attributes(object, &[AttributeType::KeyType]).map_err(device(operation))?;
    Ok(kind.contains(&Attribute::KeyType(token_key_type(key_type))))
}

/// The public key in an object; `None` where it cannot be read, or is of no known type.
pub(crate) fn public_key(
    link: &Link,
    object: ObjectHandle,
    operation: Operation,
) -> Result<Option<PublicKey>, Error> {
    let identified = identify(&link.session, object, operation)?;
    Ok(identified.and_then(|(key_type, attributes)| build(key_type, &attributes)))
}
