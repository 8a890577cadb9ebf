//! Trials: keys in session objects, which must do what they are for.

use bytes::Bytes;
use skms_backend::{
    CheckValue, DecryptInput, EncryptInput, EncryptionAlgorithm, Error, Operation, Pin, PublicKey,
};
use tracing::info;

use crate::{
    cipher,
    duty::Duty,
    error::{blames_template, device},
    make::{Made, create, discard},
    material::Material,
    module::Generation,
    objects::public_key,
    prove,
    quirks::{self, Optional, PointForm, Recipe, Skill},
    session::{Handle, Link, Token},
    template::Place,
};

/// Where the key of a trial comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The token makes it.
    Token,
    /// It is given to the token.
    Sample,
}

/// The recipe with everything that a trial shows, or `None` if no trial succeeds.
///
/// # Errors
/// When the token is lost meanwhile.
pub(crate) fn prove(
    token: &Token,
    draft: &Recipe,
    source: Source,
    seen: Generation,
) -> Result<Option<Recipe>, Error> {
    let material = match source {
        Source::Token => None,
        Source::Sample => match Material::sample(draft.key_type) {
            Some(sample) => Some(sample),
            None => return Ok(None),
        },
    };
    let mut forms: Vec<Option<Vec<u8>>> = quirks::ec_params(draft.key_type).into_iter().map(Some).collect();
    if forms.is_empty() {
        forms.push(None);
    }
    for ec_params in forms {
        for optional in Optional::LEVELS {
            let trial = Recipe { optional, ec_params: ec_params.clone(), ..draft.clone() };
            match attempt(token, &trial, material.as_ref(), seen)? {
                Attempt::Works(skill) => return Ok(Some(Recipe { skill, ..trial })),
                Attempt::Refused { template: true } | Attempt::Idle => {}
                Attempt::Refused { template: false } => break,
            }
        }
    }
    info!(key_type = %draft.key_type, duty = ?draft.duty(), "not offered: the token has no such key that works");
    Ok(None)
}

/// Whether the token takes keys of a proven recipe from outside, and uses them as such.
///
/// # Errors
/// When the token is lost meanwhile.
pub(crate) fn imports(token: &Token, recipe: &Recipe, seen: Generation) -> Result<bool, Error> {
    let Some(sample) = Material::sample(recipe.key_type) else { return Ok(false) };
    Ok(matches!(attempt(token, recipe, Some(&sample), seen)?, Attempt::Works(_)))
}

enum Attempt {
    /// The key does this.
    Works(Skill),
    /// There is a key, and it does nothing.
    Idle,
    /// There is no key; perhaps because of the template.
    Refused { template: bool },
}

fn attempt(
    token: &Token,
    trial: &Recipe,
    material: Option<&Material>,
    seen: Generation,
) -> Result<Attempt, Error> {
    // A session a trial: a refusal may spoil it.
    let link = token.connect(seen)?;
    let mechanisms = trial.mechanisms(&trial.usage()).unwrap_or_default();
    let secrecy = (token.login_required, mechanisms);
    match create(&link.session, trial, Place::Session, secrecy, material) {
        Ok(made) => {
            let expected = material.map(|material| &material.pin);
            let works = working(token, (&link, seen), trial, made, expected);
            discard(&link.session, made);
            token.present(&link, Operation::Open)?;
            Ok(works.map_or(Attempt::Idle, Attempt::Works))
        }
        Err(error) => {
            token.present(&link, Operation::Open)?;
            let template = blames_template(&error);
            let error = device(Operation::Open)(error);
            info!(key_type = %trial.key_type, duty = ?trial.duty(), optional = ?trial.optional, %error, "trial key refused");
            Ok(Attempt::Refused { template })
        }
    }
}

/// What the key of a trial does of what it is to do.
///
/// The key is in `link`, and can be used from every session: each way has one of its own.
fn working(
    token: &Token,
    (link, seen): (&Link, Generation),
    trial: &Recipe,
    made: Made,
    expected: Option<&Pin>,
) -> Option<Skill> {
    let key_type = trial.key_type;
    let aside =
        |work: &dyn Fn(&Link) -> Result<bool, Error>| token.connect(seen).and_then(|link| work(&link));
    let noted = |worked: Result<bool, Error>, what: &str| {
        let works = matches!(worked, Ok(true));
        if !works {
            let error = worked.err().map(|error| error.to_string());
            info!(key_type = %key_type, what, error, "not offered: the token lists it but it does not work");
        }
        works
    };
    let Some(public) = made.public else {
        let worked = secret(token, link, trial, made, expected);
        return noted(worked, "a secret key").then(|| trial.skill.clone());
    };
    let public: PublicKey = match public_key(link, public, Operation::Open) {
        Ok(Some(public)) if public.key_type() == key_type => public,
        _ => {
            info!(key_type = %key_type, "the public half of a trial key cannot be read");
            return None;
        }
    };
    if expected.is_some_and(|expected| *expected != Pin::Public(public.clone())) {
        return None;
    }
    match &trial.skill {
        Skill::Sign(routes) => {
            let mut routes = routes.clone();
            routes.retain(|&way| {
                noted(aside(&|link| prove::signs(link, made.hidden, key_type, way, &public)), way.0.name())
            });
            (!routes.is_empty()).then_some(Skill::Sign(routes))
        }
        Skill::Encrypt(algorithms) => {
            let mut algorithms = algorithms.clone();
            algorithms.retain(|&algorithm| {
                let decrypts =
                    |link: &Link| prove::decrypts(token, link, made.hidden, key_type, algorithm, &public);
                noted(aside(&decrypts), algorithm.name())
            });
            (!algorithms.is_empty()).then_some(Skill::Encrypt(algorithms))
        }
        Skill::Agree(_) => [PointForm::Raw, PointForm::Der]
            .into_iter()
            .find(|form| {
                noted(aside(&|link| prove::agrees(link, made.hidden, key_type, *form, &public)), "agreement")
            })
            .map(Skill::Agree),
        Skill::Mac => None,
    }
}

/// Whether a secret key has a check value that stays, and is the one of what was given;
/// and whether it decrypts what it encrypted, and nothing else.
fn secret(
    token: &Token,
    link: &Link,
    trial: &Recipe,
    made: Made,
    expected: Option<&Pin>,
) -> Result<bool, Error> {
    let (object, key_type, duty) = (made.hidden, trial.key_type, trial.duty());
    let value = || cipher::check_value(&link.session, object, key_type);
    let first: CheckValue = value()?;
    // A device that takes a nonce of its own is not told by this gateway.
    if first != value()? || expected.is_some_and(|expected| *expected != Pin::Secret(first)) {
        return Ok(false);
    }
    if duty != Duty::Encrypt {
        return Ok(true);
    }
    let algorithm = EncryptionAlgorithm::of(key_type).next();
    let Some(algorithm) = algorithm else { return Ok(false) };
    let key = Handle { object, key_type, duty, pin: Pin::Secret(first), proven: true };
    for plaintext in [&b""[..], b"skms trial of a key type"] {
        let input = EncryptInput {
            salt: Bytes::from_static(&[0; 12]),
            header: Bytes::from_static(b"header"),
            aad: Bytes::from_static(b"aad"),
            plaintext: Bytes::from_static(plaintext),
        };
        let encrypted = cipher::encrypt(link, &key, &input)?;
        let message = DecryptInput::Authenticated {
            salt: input.salt,
            header: input.header,
            commitment: encrypted.commitment,
            aad: input.aad,
            ciphertext: encrypted.ciphertext,
        };
        if cipher::decrypt(token, link, &key, algorithm, &message)?.expose() != plaintext {
            return Ok(false);
        }
    }
    Ok(true)
}
