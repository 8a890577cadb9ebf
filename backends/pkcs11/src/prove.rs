//! Which key a handle stands for, shown by what it does.
//!
//! **Invariant:** what a token says of a key is not believed: a private key is the one
//! that belongs to a public key because it signed, decrypted or agreed for it, and a
//! secret key the one that makes its check value.

use bytes::Bytes;
use cryptoki::{
    mechanism::MechanismType,
    object::{Attribute, AttributeType, ObjectHandle},
};
use skms_backend::{
    Class, DecryptInput, EncryptionAlgorithm, Error, KeyType, Operation, Pin, PublicKey, SignInput,
    SignatureAlgorithm,
};

use crate::{
    agree, cipher,
    duty::Duty,
    error::device,
    mechanism::Route,
    quirks::{PointForm, Recipe, Skill},
    session::{Handle, Link, Token},
    sign::{self, Request},
};

const SAMPLE: &[u8] = b"skms proof of a key: nothing is signed, decrypted or agreed by this";

/// Whether the private key behind `object` belongs to `public`.
///
/// # Errors
/// Where the device refuses to use it.
pub(crate) fn belongs(
    token: &Token,
    link: &Link,
    recipe: &Recipe,
    object: ObjectHandle,
    public: &PublicKey,
) -> Result<bool, Error> {
    let key_type = recipe.key_type;
    match &recipe.skill {
        Skill::Sign(routes) => {
            let allowed = allowed(link, object)?;
            let may = |(algorithm, route): &&(SignatureAlgorithm, Route)| {
                let mechanism = route.mechanism(*algorithm).map(|mechanism| mechanism.mechanism_type());
                allowed.is_empty() || mechanism.is_some_and(|mechanism| allowed.contains(&mechanism))
            };
            let Some(&(algorithm, route)) = routes.iter().find(may) else { return Ok(false) };
            signs(link, object, key_type, (algorithm, route), public)
        }
        Skill::Encrypt(algorithms) => {
            let Some(algorithm) = algorithms.first() else { return Ok(false) };
            match decrypts(token, link, object, key_type, *algorithm, public) {
                // Another key does not open it, and cannot tell why.
                Err(error) if error.class() == Class::Caller => Ok(false),
                decrypted => decrypted,
            }
        }
        Skill::Agree(form) => agrees(link, object, key_type, *form, public),
        Skill::Mac => Ok(false),
    }
}

/// Whether a signature verifies.
pub(crate) fn signs(
    link: &Link,
    object: ObjectHandle,
    key_type: KeyType,
    (algorithm, route): (SignatureAlgorithm, Route),
    public: &PublicKey,
) -> Result<bool, Error> {
    let input = SignInput::Message(Bytes::from_static(SAMPLE));
    let signature = sign::one(&link.session, object, Request { key_type, algorithm, route }, &input)?;
    Ok(public.verify(algorithm, &input, &signature.0))
}

/// Whether what was encrypted for the public key is decrypted.
pub(crate) fn decrypts(
    token: &Token,
    link: &Link,
    object: ObjectHandle,
    key_type: KeyType,
    algorithm: EncryptionAlgorithm,
    public: &PublicKey,
) -> Result<bool, Error> {
    let Ok(ciphertext) = public.encrypt_oaep(algorithm, SAMPLE) else { return Ok(false) };
    let (pin, input) = (Pin::Public(public.clone()), DecryptInput::Oaep(ciphertext.into()));
    let key = Handle { object, key_type, duty: Duty::Encrypt, pin, proven: false };
    Ok(cipher::decrypt(token, link, &key, algorithm, &input)?.expose() == SAMPLE)
}

/// Whether the private key times the base point is the public key, as far as agreement
/// can tell: its x-coordinate.
pub(crate) fn agrees(
    link: &Link,
    object: ObjectHandle,
    key_type: KeyType,
    form: PointForm,
    public: &PublicKey,
) -> Result<bool, Error> {
    let Some(base) = base_point(key_type) else { return Ok(false) };
    let secret = agree::agree(&link.session, object, key_type, form, &base)?;
    let x = match key_type.field_bytes() {
        Some(field) => public.raw().get(1..=field),
        None => Some(public.raw()),
    };
    Ok(x == Some(secret.expose()))
}

/// The mechanisms that a key is allowed; none: the token does not say.
pub(crate) fn allowed(link: &Link, object: ObjectHandle) -> Result<Vec<MechanismType>, Error> {
    let read = link
        .session
        .get_attributes(object, &[AttributeType::AllowedMechanisms])
        .map_err(device(Operation::Find))?;
    Ok(read
        .into_iter()
        .find_map(|attribute| match attribute {
            Attribute::AllowedMechanisms(mechanisms) => Some(mechanisms),
            _ => None,
        })
        .unwrap_or_default())
}

/// The base point of a curve: SP 800-186 §3.2.1, SEC 2 §2.4.1, RFC 7748 §4.1.
fn base_point(key_type: KeyType) -> Option<Vec<u8>> {
    let (x, y) = match key_type {
        KeyType::EcP256 => (
            "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        ),
        KeyType::EcP384 => (
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
        ),
        KeyType::EcP521 => (
            "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
            "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
        ),
        KeyType::EcSecp256k1 => (
            "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8",
        ),
        KeyType::X25519 => return Some([[9].as_slice(), &[0; 31]].concat()),
        _ => return None,
    };
    hex::decode(["04", x, y].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_that_agrees_has_a_base_point_on_it() {
        for key_type in KeyType::ALL.into_iter().filter(|key_type| key_type.agrees()) {
            let point = base_point(key_type).unwrap();
            assert!(PublicKey::from_point(key_type, &point).is_ok(), "{key_type}");
        }
    }
}
