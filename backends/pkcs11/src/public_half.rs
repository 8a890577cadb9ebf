//! The public half of a private key that others made.
//!
//! It is looked for under the `CKA_ID` of the private key: as a public key, in the private
//! key itself where the token shows it there, in a certificate.

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use skms_backend::{Error, KeyType, Operation, PublicKey};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    adopt::refusal,
    error::device,
    objects::public_key,
    public::{build, identify},
    session::Link,
};

/// Said of what is not taken over for its type.
pub(crate) const UNKNOWN_TYPE: &str = "it is of no key type that is known here";

/// The public half of the private key in `object`.
pub(crate) fn find(link: &Link, object: ObjectHandle, id: &[u8]) -> Result<PublicKey, Error> {
    let unknown = || refusal(UNKNOWN_TYPE);
    match beside(link, ObjectClass::PUBLIC_KEY, id)?.as_slice() {
        [] => {}
        [public] => return public_key(link, *public, Operation::Find)?.ok_or_else(unknown),
        several => {
            let why = format!("{} public keys on the token have its CKA_ID", several.len());
            return Err(refusal(why));
        }
    }
    if let Some((key_type, attributes)) = identify(&link.session, object, Operation::Find)?
        && let Some(public) = build(key_type, &attributes)
    {
        return Ok(public);
    }
    match beside(link, ObjectClass::CERTIFICATE, id)?.as_slice() {
        [] => Err(refusal(
            "its public half is missing: the token has neither a public key nor a certificate of its CKA_ID, and the private key does not show it",
        )),
        [certificate] => {
            let value = link
                .session
                .get_attributes(*certificate, &[AttributeType::Value])
                .map_err(device(Operation::Find))?;
            let Some(Attribute::Value(der)) = value.first() else { return Err(unknown()) };
            certified(der).ok_or_else(unknown)
        }
        several => {
            let why = format!("{} certificates on the token have its CKA_ID", several.len());
            Err(refusal(why))
        }
    }
}

/// The objects of a class under a `CKA_ID`; an empty one is nobody's.
fn beside(link: &Link, class: ObjectClass, id: &[u8]) -> Result<Vec<ObjectHandle>, Error> {
    if id.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = [Attribute::Token(true), Attribute::Class(class), Attribute::Id(id.to_vec())];
    link.session.find_objects(&wanted).map_err(device(Operation::Find))
}

/// The public key in a certificate.
fn certified(der: &[u8]) -> Option<PublicKey> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let spki = certificate.public_key().raw;
    KeyType::ALL.into_iter().find_map(|key_type| PublicKey::from_spki(key_type, spki).ok())
}
