//! Agreement: ECDH and X25519 with a key on the token (PKCS#11 2.40 §2.3.8).
//!
//! The secret is derived into an object of the session, which may be read, is read, and
//! is destroyed. It is always of the length of the field: what a device cuts off a
//! shorter one differs from device to device.

use async_trait::async_trait;
use cryptoki::{
    mechanism::{
        Mechanism,
        elliptic_curve::{EcKdf, Ecdh1DeriveParams},
    },
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use der::{Encode, asn1::OctetStringRef};
use skms_backend::{Class, Error, KeyAgreement, KeyRef, KeyType, OpContext, Operation, PublicKey, Secret};
use tracing::warn;

use crate::{
    Pkcs11Backend,
    batch::each,
    duty::Duty,
    error::{device, of_well_formed},
    quirks::{PointForm, Skill},
    session::{Handle, Link, Token},
};

#[async_trait]
impl KeyAgreement for Pkcs11Backend {
    async fn agree(&self, key: &KeyRef, peer: &PublicKey, ctx: &OpContext) -> Result<Secret, Error> {
        let recipe = self.workers.device().recipe(key.key_type, Duty::Agree);
        let Some(Skill::Agree(form)) = recipe.map(|recipe| recipe.skill.clone()) else {
            return Err(Error::new(Class::Unsupported, Operation::Agree));
        };
        let key_type = key.key_type;
        let check = |peer: &PublicKey| check(key_type, peer);
        let one = move |_: &Token, link: &Link, handle: &Handle, peer: &PublicKey| {
            agree(&link.session, handle.object, key_type, form, peer.raw())
        };
        let mut agreed =
            each(&self.workers, key, Operation::Agree, vec![peer.clone()], ctx, check, one).await;
        agreed.pop().unwrap_or_else(|| Err(Error::new(Class::Broken, Operation::Agree)))
    }
}

/// Refuses a public key that the device must not see: one off its curve would tell of
/// the private key.
fn check(key_type: KeyType, peer: &PublicKey) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(Error::new(Class::Caller, Operation::Agree).detail(why));
    if peer.key_type() != key_type {
        return refuse("the public key of the other side is of another type");
    }
    if PublicKey::from_spki(key_type, peer.spki_der()).is_err() {
        return refuse("the public key of the other side is none");
    }
    Ok(())
}

/// The secret of the key behind a handle and a point, of the length of the field.
pub(crate) fn agree(
    session: &Session,
    key: ObjectHandle,
    key_type: KeyType,
    form: PointForm,
    point: &[u8],
) -> Result<Secret, Error> {
    let failed = |why: &'static str| Error::new(Class::Broken, Operation::Agree).detail(why);
    let length = key_type.field_bytes().unwrap_or(X25519_BYTES);
    let der;
    let point = match form {
        PointForm::Raw => point,
        PointForm::Der => {
            der = OctetStringRef::new(point)
                .and_then(|point| point.to_der())
                .map_err(|error| failed("encoding the point").source(error))?;
            &der
        }
    };
    let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), point));
    let template = [
        Attribute::Token(false),
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(TokenKeyType::GENERIC_SECRET),
        Attribute::ValueLen((length as u64).into()),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let derived = session.derive_key(&mechanism, key, &template).map_err(device(Operation::Agree));
    // Whether a point is of small order, which only X25519 has, is for the device to find out.
    let derived = if key_type == KeyType::X25519 { derived } else { derived.map_err(of_well_formed) }?;
    let read = session.get_attributes(derived, &[AttributeType::Value]).map_err(device(Operation::Agree));
    if let Err(error) = session.destroy_object(derived) {
        // The caller gives the session up with what is in it.
        warn!(%error, "a derived secret stays until its session is closed");
        return Err(device(Operation::Agree)(error));
    }
    let secret = read?.into_iter().find_map(|attribute| match attribute {
        Attribute::Value(value) => Some(Secret::new(value)),
        _ => None,
    });
    let secret = secret.ok_or_else(|| failed("the device does not let the secret be read"))?;
    if secret.expose().len() != length {
        return Err(failed("the secret is not of the length of the field"));
    }
    // RFC 7748 §6.1: the result of a point of small order.
    if key_type == KeyType::X25519 && secret.expose().iter().all(|byte| *byte == 0) {
        let why = "the public key of the other side cannot be agreed with";
        return Err(Error::new(Class::Caller, Operation::Agree).detail(why));
    }
    Ok(secret)
}

const X25519_BYTES: usize = 32;
