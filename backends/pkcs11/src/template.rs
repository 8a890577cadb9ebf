//! Templates of new keys, and what is demanded of keys that are there.
//!
//! **Invariant:** a private key of the gateway signs and does nothing else, and
//! was never outside the token in the clear; a key of which the token does not
//! say so is not used.

use cryptoki::{
    mechanism::MechanismType,
    object::{Attribute, AttributeType, KeyType as TokenKeyType, ObjectClass},
};
use skms_backend::{KeyTag, KeyType};

use crate::quirks::{Optional, Recipe};

/// Where a key is to live.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On the token, under the gateway's label and the key's tag.
    Token { label: &'a [u8], tag: KeyTag },
    /// In the session that makes it: a trial that leaves nothing behind.
    Session,
}

impl Place<'_> {
    fn attributes(self) -> Vec<Attribute> {
        match self {
            Self::Token { label, tag } => vec![
                Attribute::Token(true),
                Attribute::Label(label.to_vec()),
                Attribute::Id(tag.as_bytes().to_vec()),
            ],
            Self::Session => vec![Attribute::Token(false)],
        }
    }
}

/// 65537, the only public exponent that is made.
const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];

/// The template of a public key.
pub(crate) fn public(recipe: &Recipe, optional: Optional, place: Place<'_>) -> Vec<Attribute> {
    let mut template = place.attributes();
    template.extend([Attribute::Private(false), Attribute::Verify(true)]);
    if let Some(bits) = recipe.key_type.rsa_bits() {
        template.extend([
            Attribute::ModulusBits((bits as u64).into()),
            Attribute::PublicExponent(PUBLIC_EXPONENT.to_vec()),
            Attribute::Encrypt(false),
            Attribute::Wrap(false),
            Attribute::VerifyRecover(false),
        ]);
    } else {
        template.push(Attribute::Derive(false));
    }
    template.extend(recipe.ec_params.clone().map(Attribute::EcParams));
    if optional.unmodifiable {
        template.push(Attribute::Modifiable(false));
    }
    template
}

/// The template of a private key that may use `mechanisms`.
pub(crate) fn private(
    optional: Optional,
    place: Place<'_>,
    login_required: bool,
    mechanisms: Vec<MechanismType>,
) -> Vec<Attribute> {
    let mut template = place.attributes();
    template.extend([
        // Where there is no login there is nobody to be private for.
        Attribute::Private(login_required),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::SignRecover(false),
    ]);
    if optional.unmodifiable {
        template.push(Attribute::Modifiable(false));
    }
    if optional.allowed_mechanisms {
        template.push(Attribute::AllowedMechanisms(mechanisms));
    }
    template
}

/// The key type of PKCS#11 for a key type of ours.
pub(crate) const fn token_key_type(key_type: KeyType) -> TokenKeyType {
    match key_type {
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => TokenKeyType::RSA,
        KeyType::EcP256 | KeyType::EcP384 | KeyType::EcP521 | KeyType::EcSecp256k1 => TokenKeyType::EC,
        KeyType::Ed25519 => TokenKeyType::EC_EDWARDS,
        KeyType::X25519 => TokenKeyType::EC_MONTGOMERY,
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => TokenKeyType::ML_DSA,
        KeyType::Aes128 | KeyType::Aes256 => TokenKeyType::AES,
        KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => TokenKeyType::GENERIC_SECRET,
    }
}

/// What is read back of a private key to judge it.
pub(crate) const JUDGED: [AttributeType; 12] = [
    AttributeType::Class,
    AttributeType::Private,
    AttributeType::Sensitive,
    AttributeType::Extractable,
    AttributeType::AlwaysSensitive,
    AttributeType::NeverExtractable,
    AttributeType::Sign,
    AttributeType::Decrypt,
    AttributeType::Unwrap,
    AttributeType::Derive,
    AttributeType::SignRecover,
    AttributeType::AlwaysAuthenticate,
];

/// The first thing about a private key that is not as it must be, for people.
pub(crate) fn flaw(attributes: &[Attribute], login_required: bool) -> Option<&'static str> {
    let has = |wanted: Attribute| attributes.contains(&wanted);
    // Must be said by the token.
    let demanded = [
        (has(Attribute::Class(ObjectClass::PRIVATE_KEY)), "it is no private key"),
        (has(Attribute::Private(true)) || !login_required, "it can be used without a login"),
        (has(Attribute::Sensitive(true)), "it is not sensitive"),
        (has(Attribute::Extractable(false)), "it is extractable"),
        (has(Attribute::AlwaysSensitive(true)), "it was not always sensitive"),
        (has(Attribute::NeverExtractable(true)), "it was once extractable"),
        (has(Attribute::Sign(true)), "it may not sign"),
    ];
    // A token that leaves one out does not know the use.
    let forbidden = [
        (has(Attribute::Decrypt(true)), "it may decrypt"),
        (has(Attribute::Unwrap(true)), "it may unwrap"),
        (has(Attribute::Derive(true)), "it may derive"),
        (has(Attribute::SignRecover(true)), "it may sign with recovery"),
        (has(Attribute::AlwaysAuthenticate(true)), "it wants the PIN for every signature"),
    ];
    let missing = demanded.into_iter().find(|(kept, _)| !kept);
    missing.or_else(|| forbidden.into_iter().find(|(broken, _)| *broken)).map(|(_, flaw)| flaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<Attribute> {
        let mut attributes = private(Optional::LEVELS[3], Place::Session, true, Vec::new());
        attributes.extend([
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::AlwaysSensitive(true),
            Attribute::NeverExtractable(true),
        ]);
        attributes
    }

    #[test]
    fn a_key_as_it_was_asked_for_has_no_flaw() {
        assert_eq!(flaw(&good(), true), None);
    }

    #[test]
    fn every_attribute_that_is_not_as_asked_is_a_flaw() {
        for bad in [
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::Private(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::AlwaysSensitive(false),
            Attribute::NeverExtractable(false),
            Attribute::Sign(false),
            Attribute::Decrypt(true),
            Attribute::Unwrap(true),
            Attribute::Derive(true),
            Attribute::SignRecover(true),
            Attribute::AlwaysAuthenticate(true),
        ] {
            let mut attributes = good();
            attributes.retain(|attribute| attribute.attribute_type() != bad.attribute_type());
            attributes.push(bad.clone());
            assert!(flaw(&attributes, true).is_some(), "{bad:?}");
            assert!(JUDGED.contains(&bad.attribute_type()), "{bad:?} is not read back");
        }
    }

    #[test]
    fn silence_about_secrecy_is_a_flaw() {
        for kind in [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::NeverExtractable] {
            let mut attributes = good();
            attributes.retain(|attribute| attribute.attribute_type() != kind);
            assert!(flaw(&attributes, true).is_some(), "{kind:?}");
        }
    }
}
