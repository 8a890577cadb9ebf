//! The two encodings of an ECDSA signature: r‖s of fixed width (IEEE P1363) and
//! `ECDSA-Sig-Value` in DER (RFC 3279 §2.2.3).

use der::{Decode, Encode, Sequence, asn1::UintRef};

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The DER encoding of r‖s, both of the same width. `None` for an odd or empty input.
#[must_use]
pub fn der_from_p1363(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.is_empty() || !signature.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let value = EcdsaSigValue { r: UintRef::new(r).ok()?, s: UintRef::new(s).ok()? };
    value.to_der().ok()
}

/// r‖s, each of `width` bytes, from strict DER. `None` for anything that is not
/// one DER value without trailing bytes, or whose numbers are wider.
#[must_use]
pub fn p1363_from_der(signature: &[u8], width: usize) -> Option<Vec<u8>> {
    let value = EcdsaSigValue::from_der(signature).ok()?;
    let mut fixed = vec![0; 2 * width];
    let (r, s) = fixed.split_at_mut(width);
    for (number, field) in [(value.r, r), (value.s, s)] {
        let bytes = number.as_bytes();
        let start = width.checked_sub(bytes.len())?;
        field.get_mut(start..)?.copy_from_slice(bytes);
    }
    Some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_survives_both_encodings() {
        for width in [32, 48, 66] {
            for first in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut fixed = vec![0x5a; 2 * width];
                fixed[0] = first;
                fixed[width] = first;
                let der = der_from_p1363(&fixed).unwrap();
                assert_eq!(p1363_from_der(&der, width).unwrap(), fixed);
            }
        }
    }

    #[test]
    fn loose_der_is_refused() {
        let der = der_from_p1363(&[0x11; 64]).unwrap();
        let mut trailing = der.clone();
        trailing.push(0);
        assert_eq!(p1363_from_der(&trailing, 32), None);
        assert_eq!(p1363_from_der(&der[..der.len() - 1], 32), None);
        assert_eq!(p1363_from_der(&der, 31), None);
        assert_eq!(p1363_from_der(&[], 32), None);
        // A negative number, and one with a superfluous leading zero.
        assert_eq!(p1363_from_der(&[0x30, 6, 2, 1, 0x80, 2, 1, 1], 32), None);
        assert_eq!(p1363_from_der(&[0x30, 7, 2, 2, 0, 1, 2, 1, 1], 32), None);
        assert_eq!(der_from_p1363(&[1, 2, 3]), None);
    }
}
