//! How tokens differ, as data that was found out when the token was opened.
//! Nothing here is guessed from a vendor's name.

use cryptoki::mechanism::MechanismType;
use der::{Encode, asn1::PrintableStringRef};
use skms_backend::{KeyType, SignatureAlgorithm};

use crate::mechanism::Route;

/// How keys of one type are made and used on a token.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) key_type: KeyType,
    pub(crate) optional: Optional,
    /// `CKA_EC_PARAMS` in the form that the token takes; `None` for RSA.
    pub(crate) ec_params: Option<Vec<u8>>,
    /// Every way to sign; of the ways of one algorithm, the first is used. A key is
    /// allowed all of them, so that it outlives a change of what a token lists.
    pub(crate) routes: Vec<(SignatureAlgorithm, Route)>,
}

impl Recipe {
    /// What the device is given for an algorithm, if it is offered.
    pub(crate) fn route(&self, algorithm: SignatureAlgorithm) -> Option<Route> {
        self.routes.iter().find(|(offered, _)| *offered == algorithm).map(|(_, route)| *route)
    }

    /// The algorithms that are offered, the preferred one first.
    pub(crate) fn algorithms(&self) -> Vec<SignatureAlgorithm> {
        let mut algorithms: Vec<_> = self.routes.iter().map(|(algorithm, _)| *algorithm).collect();
        algorithms.dedup();
        algorithms
    }

    /// The mechanisms behind `algorithms`, each once.
    pub(crate) fn mechanisms(&self, algorithms: &[SignatureAlgorithm]) -> Vec<MechanismType> {
        let mut types = Vec::new();
        for (algorithm, route) in &self.routes {
            if !algorithms.contains(algorithm) {
                continue;
            }
            if let Some(mechanism) = route.mechanism(*algorithm)
                && !types.contains(&mechanism.mechanism_type())
            {
                types.push(mechanism.mechanism_type());
            }
        }
        types
    }
}

/// Attributes that make a key safer and that not every token takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Optional {
    /// `CKA_ALLOWED_MECHANISMS`: the key signs with its own algorithms only.
    pub(crate) allowed_mechanisms: bool,
    /// `CKA_MODIFIABLE` = false: nobody relabels the key.
    pub(crate) unmodifiable: bool,
}

impl Optional {
    /// What is tried, the safest first.
    pub(crate) const LEVELS: [Self; 4] = [
        Self { allowed_mechanisms: true, unmodifiable: true },
        Self { allowed_mechanisms: false, unmodifiable: true },
        Self { allowed_mechanisms: true, unmodifiable: false },
        Self { allowed_mechanisms: false, unmodifiable: false },
    ];
}

/// The forms of `CKA_EC_PARAMS` for a key type that tokens are known to take.
///
/// For Ed25519, PKCS#11 3.0 §2.3.5 allows a curve name and an object
/// identifier; modules take one, the other, or both.
pub(crate) fn ec_params(key_type: KeyType) -> Vec<Vec<u8>> {
    let oid = key_type.oid().and_then(|oid| oid.to_der().ok());
    let name = (key_type == KeyType::Ed25519)
        .then(|| PrintableStringRef::new(b"edwards25519").and_then(|name| name.to_der()).ok())
        .flatten();
    oid.into_iter().chain(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_named_as_the_standard_writes_them() {
        assert_eq!(ec_params(KeyType::EcP256), [hex::decode("06082a8648ce3d030107").unwrap()]);
        assert_eq!(
            ec_params(KeyType::Ed25519),
            [hex::decode("06032b6570").unwrap(), hex::decode("130c656477617264733235353139").unwrap()]
        );
        assert!(ec_params(KeyType::Rsa2048).is_empty());
    }
}
