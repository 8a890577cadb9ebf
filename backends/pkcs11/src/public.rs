//! Keys as tokens store them: what type an object is of, and its public half.

use cryptoki::{
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectHandle},
    session::Session,
};
use der::{Decode, asn1::OctetStringRef};
use skms_backend::{Error, KeyType, Operation, PublicKey};

use crate::{error::device, quirks, template::token_key_type};

/// The key type of an object and the attributes that hold its public half.
/// `None` for an object of no type that is known here.
pub(crate) fn identify(
    session: &Session,
    object: ObjectHandle,
    operation: Operation,
) -> Result<Option<(KeyType, Vec<Attribute>)>, Error> {
    let read = |wanted: &[AttributeType]| session.get_attributes(object, wanted).map_err(device(operation));
    let kind = read(&[AttributeType::KeyType])?;
    // Asked for by type: what an object cannot have makes some modules answer nothing at all.
    let attributes = match kind.first() {
        Some(Attribute::KeyType(TokenKeyType::RSA)) => {
            read(&[AttributeType::Modulus, AttributeType::PublicExponent])?
        }
        Some(Attribute::KeyType(
            TokenKeyType::EC | TokenKeyType::EC_EDWARDS | TokenKeyType::EC_MONTGOMERY,
        )) => read(&[AttributeType::EcParams, AttributeType::EcPoint])?,
        Some(Attribute::KeyType(kind @ (TokenKeyType::AES | TokenKeyType::GENERIC_SECRET))) => {
            let attributes = read(&[AttributeType::ValueLen])?;
            return Ok(secret_type(*kind, &attributes).map(|key_type| (key_type, attributes)));
        }
        _ => return Ok(None),
    };
    Ok(key_type(&attributes).map(|key_type| (key_type, attributes)))
}

fn secret_type(kind: TokenKeyType, attributes: &[Attribute]) -> Option<KeyType> {
    let length = attributes.iter().find_map(|attribute| match attribute {
        Attribute::ValueLen(length) => usize::try_from(u64::from(*length)).ok(),
        _ => None,
    })?;
    KeyType::ALL
        .into_iter()
        .find(|known| token_key_type(*known) == kind && known.secret_bytes() == Some(length))
}

fn key_type(attributes: &[Attribute]) -> Option<KeyType> {
    attributes.iter().find_map(|attribute| match attribute {
        Attribute::Modulus(modulus) => {
            let modulus = unsigned(modulus);
            let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
            KeyType::ALL.into_iter().find(|key_type| key_type.rsa_bits() == Some(bits))
        }
        Attribute::EcParams(params) => {
            KeyType::ALL.into_iter().find(|key_type| quirks::ec_params(*key_type).contains(params))
        }
        _ => None,
    })
}

/// The public key in what [`identify`] read, if it is whole and well-formed.
pub(crate) fn build(key_type: KeyType, attributes: &[Attribute]) -> Option<PublicKey> {
    let mut modulus = None;
    let mut exponent = None;
    let mut point = None;
    for attribute in attributes {
        match attribute {
            Attribute::Modulus(value) => modulus = Some(unsigned(value)),
            Attribute::PublicExponent(value) => exponent = Some(unsigned(value)),
            Attribute::EcPoint(value) => point = Some(value.as_slice()),
            _ => {}
        }
    }
    if key_type.rsa_bits().is_some() {
        // A key type says its exponent too.
        let exponent = exponent.filter(|exponent| *exponent == [1, 0, 1])?;
        PublicKey::from_rsa(key_type, modulus?, exponent).ok()
    } else {
        PublicKey::from_point(key_type, bare_point(key_type, point?)?).ok()
    }
}

/// The point out of `CKA_EC_POINT`: a DER OCTET STRING by the book (PKCS#11 2.40
/// §2.3.3), the bare bytes on some tokens. The length tells which.
fn bare_point(key_type: KeyType, value: &[u8]) -> Option<&[u8]> {
    let length = key_type.field_bytes().map_or(32, |field| 1 + 2 * field);
    if value.len() == length {
        return Some(value);
    }
    let inner = <&OctetStringRef>::from_der(value).ok()?.as_bytes();
    (inner.len() == length).then_some(inner)
}

/// A big-endian number without the zeros before it.
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_in_both_forms() {
        for (key_type, length) in [(KeyType::EcP256, 65), (KeyType::EcP521, 133), (KeyType::Ed25519, 32)] {
            let mut point = vec![0x5a; length];
            point[0] = 4;
            let der = der::Encode::to_der(&OctetStringRef::new(&point).unwrap()).unwrap();
            assert_eq!(bare_point(key_type, &point), Some(point.as_slice()));
            assert_eq!(bare_point(key_type, &der), Some(point.as_slice()));
            assert_eq!(bare_point(key_type, &point[1..]), None);
            assert_eq!(bare_point(key_type, &der[..der.len() - 1]), None);
            assert_eq!(bare_point(key_type, &[]), None);
        }
    }

    #[test]
    fn rsa_keys_are_told_by_their_modulus_and_their_exponent() {
        let mut modulus = vec![0xff; 257];
        modulus[0] = 0;
        let attributes = |exponent: &[u8]| {
            vec![Attribute::Modulus(modulus.clone()), Attribute::PublicExponent(exponent.to_vec())]
        };
        assert_eq!(key_type(&attributes(&[1, 0, 1])), Some(KeyType::Rsa2048));
        assert!(build(KeyType::Rsa2048, &attributes(&[0, 1, 0, 1])).is_some());
        assert!(build(KeyType::Rsa2048, &attributes(&[3])).is_none());
        assert!(build(KeyType::Rsa2048, &[]).is_none());
        assert_eq!(key_type(&[Attribute::Modulus(vec![0xff; 128])]), None);
    }
}
