//! How tokens differ, as data that was found out when the token was opened.
//! Nothing here is guessed from a vendor's name.

use cryptoki::mechanism::MechanismType;
use der::{Encode, asn1::PrintableStringRef};
use skms_backend::{EncryptionAlgorithm, KeyType, SignatureAlgorithm, Usage};

use crate::{
    duty::Duty,
    mechanism::{self, Route},
};

/// How keys of one type and use are made and used on a token.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) key_type: KeyType,
    pub(crate) skill: Skill,
    pub(crate) optional: Optional,
    /// `CKA_EC_PARAMS` in the form that the token takes; `None` where there is no curve.
    pub(crate) ec_params: Option<Vec<u8>>,
    /// Whether the token takes such keys from outside, and hides them from then on.
    pub(crate) import: bool,
}

/// What the keys of a recipe do, and how.
#[derive(Clone, Debug)]
pub(crate) enum Skill {
    /// Every way to sign; of the ways of one algorithm, the first is used. A key is
    /// allowed all of them, so that it outlives a change of what a token lists.
    Sign(Vec<(SignatureAlgorithm, Route)>),
    Encrypt(Vec<EncryptionAlgorithm>),
    Mac,
    Agree(PointForm),
}

/// How the token takes the public key of the other side (PKCS#11 2.40 §2.3.8 allows both).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointForm {
    Raw,
    /// In a DER OCTET STRING.
    Der,
}

impl Recipe {
    pub(crate) const fn duty(&self) -> Duty {
        match self.skill {
            Skill::Sign(_) => Duty::Sign,
            Skill::Encrypt(_) => Duty::Encrypt,
            Skill::Mac => Duty::Mac,
            Skill::Agree(_) => Duty::Agree,
        }
    }

    /// What the device is given for an algorithm, if it is offered.
    pub(crate) fn route(&self, algorithm: SignatureAlgorithm) -> Option<Route> {
        self.routes().iter().find(|(offered, _)| *offered == algorithm).map(|(_, route)| *route)
    }

    pub(crate) fn routes(&self) -> &[(SignatureAlgorithm, Route)] {
        match &self.skill {
            Skill::Sign(routes) => routes,
            Skill::Encrypt(_) | Skill::Mac | Skill::Agree(_) => &[],
        }
    }

    /// The encryption algorithms that are offered, the preferred one first.
    pub(crate) fn encryption(&self) -> &[EncryptionAlgorithm] {
        match &self.skill {
            Skill::Encrypt(algorithms) => algorithms,
            Skill::Sign(_) | Skill::Mac | Skill::Agree(_) => &[],
        }
    }

    /// The signature algorithms that are offered, the preferred one first.
    pub(crate) fn algorithms(&self) -> Vec<SignatureAlgorithm> {
        let mut algorithms: Vec<_> = self.routes().iter().map(|(algorithm, _)| *algorithm).collect();
        algorithms.dedup();
        algorithms
    }

    /// All that keys of this recipe can be used for.
    pub(crate) fn usage(&self) -> Usage {
        match &self.skill {
            Skill::Sign(_) => Usage::Sign(self.algorithms()),
            Skill::Encrypt(algorithms) => Usage::Encrypt(algorithms.clone()),
            Skill::Mac => Usage::Mac,
            Skill::Agree(_) => Usage::Agree,
        }
    }

    /// The same with a key that is allowed these mechanisms; none: all of them.
    pub(crate) fn usage_with(&self, allowed: &[MechanismType]) -> Usage {
        let may = |mechanism: MechanismType| allowed.is_empty() || allowed.contains(&mechanism);
        match self.usage() {
            Usage::Sign(mut algorithms) => {
                algorithms.retain(|algorithm| {
                    let mechanism = self.route(*algorithm).and_then(|route| route.mechanism(*algorithm));
                    mechanism.is_some_and(|mechanism| may(mechanism.mechanism_type()))
                });
                Usage::Sign(algorithms)
            }
            Usage::Encrypt(mut algorithms) => {
                algorithms.retain(|algorithm| may(mechanism::encryption(*algorithm)));
                Usage::Encrypt(algorithms)
            }
            usage @ (Usage::Mac | Usage::Agree) => usage,
        }
    }

    /// Whether a key that is allowed these mechanisms can do anything of it.
    pub(crate) fn allows(&self, allowed: &[MechanismType]) -> bool {
        match self.usage_with(allowed) {
            Usage::Sign(algorithms) => !algorithms.is_empty(),
            Usage::Encrypt(algorithms) => !algorithms.is_empty(),
            usage @ (Usage::Mac | Usage::Agree) => {
                let needed = self.mechanisms(&usage).unwrap_or_default();
                allowed.is_empty() || needed.iter().all(|mechanism| allowed.contains(mechanism))
            }
        }
    }

    /// The mechanisms behind a use, each once; `None` where not all of it is offered.
    pub(crate) fn mechanisms(&self, usage: &Usage) -> Option<Vec<MechanismType>> {
        let mut types = Vec::new();
        match (&self.skill, usage) {
            (Skill::Sign(routes), Usage::Sign(wanted)) => {
                if wanted.iter().any(|algorithm| self.route(*algorithm).is_none()) {
                    return None;
                }
                let meant = |algorithm| wanted.is_empty() || wanted.contains(&algorithm);
                for (algorithm, route) in routes.iter().filter(|(algorithm, _)| meant(*algorithm)) {
                    types.extend(route.mechanism(*algorithm).map(|mechanism| mechanism.mechanism_type()));
                }
            }
            (Skill::Encrypt(offered), Usage::Encrypt(wanted)) => {
                if wanted.iter().any(|algorithm| !offered.contains(algorithm)) {
                    return None;
                }
                types.extend(offered.iter().map(|algorithm| mechanism::encryption(*algorithm)));
            }
            (Skill::Mac, Usage::Mac) => types.extend(mechanism::hmac(self.key_type)),
            (Skill::Agree(_), Usage::Agree) => types.push(MechanismType::ECDH1_DERIVE),
            _ => return None,
        }
        let mut each = Vec::new();
        for mechanism in types {
            if !each.contains(&mechanism) {
                each.push(mechanism);
            }
        }
        Some(each)
    }
}

/// Attributes that make a key safer and that not every token takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Optional {
    /// `CKA_ALLOWED_MECHANISMS`: the key is used with its own algorithms only.
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
/// For Ed25519 and X25519, PKCS#11 3.0 §2.3.5 allows a curve name and an object
/// identifier; modules take one, the other, or both.
pub(crate) fn ec_params(key_type: KeyType) -> Vec<Vec<u8>> {
    let oid = key_type.oid().and_then(|oid| oid.to_der().ok());
    let name = match key_type {
        KeyType::Ed25519 => Some("edwards25519"),
        KeyType::X25519 => Some("curve25519"),
        _ => None,
    };
    let name = name.and_then(|name| PrintableStringRef::new(name).and_then(|name| name.to_der()).ok());
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

    #[test]
    fn a_use_of_which_a_part_is_not_offered_is_not_allowed() {
        let recipe = Recipe {
            key_type: KeyType::Rsa2048,
            skill: Skill::Encrypt(vec![EncryptionAlgorithm::RsaOaepSha1]),
            optional: Optional::LEVELS[0],
            ec_params: None,
            import: false,
        };
        let encrypt = |algorithm| recipe.mechanisms(&Usage::Encrypt(vec![algorithm]));
        assert_eq!(encrypt(EncryptionAlgorithm::RsaOaepSha1), Some(vec![MechanismType::RSA_PKCS_OAEP]));
        assert_eq!(encrypt(EncryptionAlgorithm::RsaOaepSha256), None);
        assert_eq!(recipe.mechanisms(&Usage::Sign(Vec::new())), None);
    }
}
