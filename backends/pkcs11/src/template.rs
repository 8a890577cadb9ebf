//! Templates of new keys.
//!
//! **Invariant:** a key of the gateway does what it is for and nothing else, and
//! does not leave the token.

use cryptoki::{
    mechanism::MechanismType,
    object::{Attribute, KeyType as TokenKeyType, ObjectClass},
};
use skms_backend::{KeyTag, KeyType};

use crate::{duty::Duty, quirks::Recipe};

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

/// The template of a public key, without the key.
pub(crate) fn public(recipe: &Recipe, place: Place<'_>) -> Vec<Attribute> {
    let mut template = place.attributes();
    let duty = recipe.duty();
    template.extend([Attribute::Private(false), Attribute::Verify(duty == Duty::Sign)]);
    if recipe.key_type.rsa_bits().is_some() {
        template.extend([
            Attribute::Encrypt(duty == Duty::Encrypt),
            Attribute::Wrap(false),
            Attribute::VerifyRecover(false),
        ]);
    } else {
        template.push(Attribute::Derive(false));
    }
    if recipe.optional.unmodifiable {
        template.push(Attribute::Modifiable(false));
    }
    template
}

/// What a token must be told of a key that it makes: its size, or its curve.
pub(crate) fn parameters(recipe: &Recipe) -> Vec<Attribute> {
    match (recipe.key_type.rsa_bits(), recipe.key_type.secret_bytes()) {
        (Some(bits), _) => vec![
            Attribute::ModulusBits((bits as u64).into()),
            Attribute::PublicExponent(PUBLIC_EXPONENT.to_vec()),
        ],
        (None, Some(length)) => vec![Attribute::ValueLen((length as u64).into())],
        (None, None) => recipe.ec_params.clone().map(Attribute::EcParams).into_iter().collect(),
    }
}

/// The template of a private or secret key that may use `mechanisms`, without the key.
pub(crate) fn hidden(
    recipe: &Recipe,
    place: Place<'_>,
    login_required: bool,
    mechanisms: Vec<MechanismType>,
) -> Vec<Attribute> {
    let mut template = place.attributes();
    let duty = recipe.duty();
    template.extend([
        // Where there is no login there is nobody to be private for.
        Attribute::Private(login_required),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(matches!(duty, Duty::Sign | Duty::Mac)),
        Attribute::Decrypt(duty == Duty::Encrypt),
        Attribute::Unwrap(false),
        Attribute::Derive(duty == Duty::Agree),
    ]);
    if recipe.key_type.is_secret() {
        template.extend([
            Attribute::Verify(duty == Duty::Mac),
            Attribute::Encrypt(duty == Duty::Encrypt),
            Attribute::Wrap(false),
        ]);
    } else {
        template.push(Attribute::SignRecover(false));
    }
    if recipe.optional.unmodifiable {
        template.push(Attribute::Modifiable(false));
    }
    if recipe.optional.allowed_mechanisms {
        template.push(Attribute::AllowedMechanisms(mechanisms));
    }
    template
}

/// The class of the objects that hold what is secret of a key.
pub(crate) const fn class(key_type: KeyType) -> ObjectClass {
    if key_type.is_secret() { ObjectClass::SECRET_KEY } else { ObjectClass::PRIVATE_KEY }
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
