//! Public areas as public keys.

use skms_backend::{KeyType, PublicKey};
use tss_esapi::structures::{EccPoint, Public};

use crate::template;

/// The public key in the public area of a key of this type; `None` for any other.
pub(crate) fn read(key_type: KeyType, public: &Public) -> Option<PublicKey> {
    match public {
        Public::Rsa { unique, parameters, .. } => {
            if Some(parameters.key_bits()) != template::rsa_bits(key_type) {
                return None;
            }
            // Templates ask for the exponent 65537 and for no other.
            (parameters.exponent().value() == 0)
                .then(|| PublicKey::from_rsa(key_type, unique.value(), &[1, 0, 1]).ok())?
        }
        Public::Ecc { unique, parameters, .. } => {
            if Some(parameters.ecc_curve()) != template::curve(key_type) {
                return None;
            }
            let [x, y] = coordinates(key_type, unique)?;
            PublicKey::from_point(key_type, &[&[4], x.as_slice(), y.as_slice()].concat()).ok()
        }
        Public::KeyedHash { .. } | Public::SymCipher { .. } => None,
    }
}

/// Both coordinates, each as long as the field is.
fn coordinates(key_type: KeyType, point: &EccPoint) -> Option<[Vec<u8>; 2]> {
    let width = key_type.field_bytes()?;
    Some([padded(point.x().value(), width)?, padded(point.y().value(), width)?])
}

/// A number with zeros before it: a TPM may leave them out.
pub(crate) fn padded(number: &[u8], width: usize) -> Option<Vec<u8>> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..)?;
    // It may be secret, so it is not left behind by a vector that grows.
    let mut wide = Vec::with_capacity(width);
    wide.resize(width.checked_sub(number.len())?, 0);
    wide.extend_from_slice(number);
    Some(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_wide_as_their_field() {
        assert_eq!(padded(&[1], 3), Some(vec![0, 0, 1]));
        assert_eq!(padded(&[0, 0, 0, 1, 2], 2), Some(vec![1, 2]));
        assert_eq!(padded(&[1, 2, 3], 2), None);
        assert_eq!(padded(&[], 1), Some(vec![0]));
    }
}
