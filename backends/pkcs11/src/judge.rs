//! What is demanded of a private or secret key before it is used.
//!
//! **Invariant:** a key that may do anything but its duty, or that could leave the
//! token, is not used; nor is one of which the token does not say so.

use cryptoki::object::{Attribute, AttributeType, ObjectClass};

use crate::duty::Duty;

/// What is read back of a private key to judge it.
const OF_PRIVATE: [AttributeType; 13] = [
    AttributeType::Class,
    AttributeType::Private,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Local,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
    AttributeType::Derive,
    AttributeType::SignRecover,
    AttributeType::AlwaysAuthenticate,
];

/// What is read back of a secret key to judge it.
const OF_SECRET: [AttributeType; 14] = [
    AttributeType::Class,
    AttributeType::Private,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Local,
    AttributeType::Sign,
    AttributeType::Verify,
    AttributeType::Encrypt,
    AttributeType::Decrypt,
    AttributeType::Wrap,
    AttributeType::Unwrap,
    AttributeType::Derive,
];

/// The attributes to read: what an object cannot have makes some modules answer none.
pub(crate) const fn judged(class: ObjectClass) -> &'static [AttributeType] {
    if is_secret(class) { &OF_SECRET } else { &OF_PRIVATE }
}

/// What the attributes of a key say that it is for.
pub(crate) fn duty(attributes: &[Attribute], class: ObjectClass) -> Option<Duty> {
    let secret = is_secret(class);
    Duty::ALL
        .into_iter()
        .filter(|duty| secret == matches!(duty, Duty::Mac) || *duty == Duty::Encrypt)
        .find(|duty| uses(*duty, class).iter().all(|used| attributes.contains(used)))
}

/// The first thing about a key for `duty` that is not as it must be, for people.
pub(crate) fn flaw(
    attributes: &[Attribute],
    class: ObjectClass,
    duty: Duty,
    login_required: bool,
) -> Option<&'static str> {
    let has = |wanted: Attribute| attributes.contains(&wanted);
    // What came from outside was in the clear once, and says so.
    let imported = has(Attribute::Local(false));
    let uses = uses(duty, class);
    // Must be said by the token.
    let demanded = [
        (has(Attribute::Class(class)), "it is an object of another class"),
        (has(Attribute::Private(true)) || !login_required, "it can be used without a login"),
        (has(Attribute::Sensitive(true)), "it is not sensitive"),
        (has(Attribute::Extractable(false)), "it is extractable"),
        (has(Attribute::AlwaysSensitive(true)) || imported, "it was not always sensitive"),
        (has(Attribute::NeverExtractable(true)) || imported, "it was once extractable"),
        (uses.iter().all(|used| attributes.contains(used)), "it may not do what it is for"),
    ];
    // A token that leaves one out does not know the use.
    let forbidden = [
        (Attribute::Sign(true), "it may sign"),
        (Attribute::Encrypt(true), "it may encrypt"),
        (Attribute::Decrypt(true), "it may decrypt"),
        (Attribute::Wrap(true), "it may wrap"),
        (Attribute::Unwrap(true), "it may unwrap"),
        (Attribute::Derive(true), "it may derive"),
        (Attribute::SignRecover(true), "it may sign with recovery"),
        (Attribute::AlwaysAuthenticate(true), "it wants the PIN for every use"),
    ];
    let missing = demanded.into_iter().find(|(kept, _)| !kept).map(|(_, flaw)| flaw);
    let excess = |(used, _): &(Attribute, &str)| !uses.contains(used) && attributes.contains(used);
    missing.or_else(|| forbidden.into_iter().find(excess).map(|(_, flaw)| flaw))
}

/// The first thing that keeps a key that others made from a duty. How well it is kept is
/// no such thing.
pub(crate) fn unusable(attributes: &[Attribute], class: ObjectClass, duty: Duty) -> Option<&'static str> {
    let uses = uses(duty, class);
    [
        (!attributes.contains(&Attribute::Class(class)), "it is an object of another class"),
        (attributes.contains(&Attribute::AlwaysAuthenticate(true)), "it wants the PIN for every use"),
        (!uses.iter().all(|used| attributes.contains(used)), "it may not do what it is for"),
    ]
    .into_iter()
    .find(|(kept, _)| *kept)
    .map(|(_, flaw)| flaw)
}

/// The uses that a key must have for its duty, and beside which it has none. Whether it
/// may verify its own codes is all the same.
fn uses(duty: Duty, class: ObjectClass) -> Vec<Attribute> {
    match duty {
        Duty::Sign | Duty::Mac => vec![Attribute::Sign(true)],
        Duty::Encrypt if is_secret(class) => vec![Attribute::Encrypt(true), Attribute::Decrypt(true)],
        Duty::Encrypt => vec![Attribute::Decrypt(true)],
        Duty::Agree => vec![Attribute::Derive(true)],
    }
}

const fn is_secret(class: ObjectClass) -> bool {
    matches!(class, ObjectClass::SECRET_KEY)
}

#[cfg(test)]
mod tests {
    use skms_backend::{EncryptionAlgorithm, KeyType};

    use super::*;
    use crate::{
        quirks::{Optional, PointForm, Recipe, Skill},
        template::{self, Place},
    };

    const SECRET: ObjectClass = ObjectClass::SECRET_KEY;
    const PRIVATE: ObjectClass = ObjectClass::PRIVATE_KEY;

    /// Keys as they are asked for, one of each kind.
    fn good() -> Vec<(ObjectClass, Duty, Vec<Attribute>)> {
        let gcm = Skill::Encrypt(vec![EncryptionAlgorithm::Aes256Gcm]);
        let oaep = Skill::Encrypt(vec![EncryptionAlgorithm::RsaOaepSha1]);
        [
            (KeyType::EcP256, Skill::Sign(Vec::new())),
            (KeyType::EcP256, Skill::Agree(PointForm::Raw)),
            (KeyType::Rsa2048, oaep),
            (KeyType::Aes256, gcm),
            (KeyType::HmacSha256, Skill::Mac),
        ]
        .into_iter()
        .map(|(key_type, skill)| {
            let optional = Optional::LEVELS[3];
            let recipe = Recipe { key_type, skill, optional, ec_params: None, import: false };
            let class = template::class(key_type);
            let mut attributes = template::hidden(&recipe, Place::Session, true, Vec::new());
            attributes.extend([
                Attribute::Class(class),
                Attribute::AlwaysSensitive(true),
                Attribute::NeverExtractable(true),
                Attribute::Local(true),
            ]);
            (class, recipe.duty(), attributes)
        })
        .collect()
    }

    fn changed(attributes: &[Attribute], to: &Attribute) -> Vec<Attribute> {
        let others = attributes.iter().filter(|other| other.attribute_type() != to.attribute_type());
        others.chain([to]).cloned().collect()
    }

    #[test]
    fn a_key_as_it_was_asked_for_has_no_flaw_and_says_its_duty() {
        for (class, of, attributes) in good() {
            assert_eq!(flaw(&attributes, class, of, true), None, "{of:?}");
            assert_eq!(duty(&attributes, class), Some(of));
            for other in Duty::ALL.into_iter().filter(|other| *other != of) {
                if (of, other) != (Duty::Sign, Duty::Mac) && (of, other) != (Duty::Mac, Duty::Sign) {
                    assert!(flaw(&attributes, class, other, true).is_some(), "{of:?} as {other:?}");
                }
            }
        }
    }

    #[test]
    fn how_a_key_of_others_is_kept_does_not_make_it_unusable() {
        for (class, of, attributes) in good() {
            let loose = changed(&attributes, &Attribute::Sensitive(false));
            let loose = changed(&loose, &Attribute::Extractable(true));
            let loose = changed(&loose, &Attribute::Unwrap(true));
            assert_eq!(unusable(&loose, class, of), None);
            assert!(unusable(&loose, ObjectClass::PUBLIC_KEY, of).is_some());
            assert!(unusable(&[Attribute::Class(class)], class, of).is_some());
            let asking = changed(&loose, &Attribute::AlwaysAuthenticate(true));
            assert!(unusable(&asking, class, of).is_some());
        }
    }

    #[test]
    fn every_attribute_that_is_not_as_asked_is_a_flaw() {
        for (class, duty, attributes) in good() {
            let mut bad = vec![
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::Private(false),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::AlwaysSensitive(false),
                Attribute::NeverExtractable(false),
            ];
            let uses: [fn(bool) -> Attribute; 4] =
                [Attribute::Sign, Attribute::Decrypt, Attribute::Unwrap, Attribute::Derive];
            bad.extend(uses.map(|used| used(!attributes.contains(&used(true)))));
            if class == SECRET {
                bad.extend([Attribute::Wrap(true), Attribute::Encrypt(duty != Duty::Encrypt)]);
            } else {
                bad.extend([Attribute::SignRecover(true), Attribute::AlwaysAuthenticate(true)]);
            }
            for bad in bad {
                assert!(flaw(&changed(&attributes, &bad), class, duty, true).is_some(), "{duty:?} {bad:?}");
                assert!(judged(class).contains(&bad.attribute_type()), "{bad:?} is not read back");
            }
        }
    }

    #[test]
    fn only_a_key_that_says_it_came_from_outside_may_have_been_seen() {
        for (class, duty, attributes) in good() {
            let mut imported = attributes;
            for said in [
                Attribute::AlwaysSensitive(false),
                Attribute::NeverExtractable(false),
                Attribute::Local(false),
            ] {
                imported = changed(&imported, &said);
            }
            assert_eq!(flaw(&imported, class, duty, true), None);
            let silent: Vec<_> =
                imported.into_iter().filter(|said| *said != Attribute::Local(false)).collect();
            assert!(flaw(&silent, class, duty, true).is_some());
        }
    }

    #[test]
    fn silence_about_secrecy_is_a_flaw() {
        for (class, duty, attributes) in good() {
            for kind in
                [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::NeverExtractable]
            {
                let mut silent = attributes.clone();
                silent.retain(|attribute| attribute.attribute_type() != kind);
                assert!(flaw(&silent, class, duty, true).is_some(), "{kind:?}");
            }
        }
        assert_eq!(duty(&[], PRIVATE), None);
    }
}
