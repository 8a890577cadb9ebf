//! What a token can do, found out when it is opened.
//!
//! RSA is read from the mechanism list and its sizes. Which curves a token has is
//! not in a list of PKCS#11 2.40, nor is the form of the parameters or which
//! optional attributes it takes; so each curve is tried with a pair of session
//! objects, which must make signatures that verify.

use cryptoki::object::ObjectHandle;
use skms_backend::{
    Capabilities, Class, DeviceIdentity, Error, KeyType, KeyTypeSupport, Operation, ProtectionLevel,
    SignInput, SignSupport, SignatureAlgorithm,
};
use tracing::{info, warn};

use crate::{
    error::{blames_template, device},
    mechanism::{Mechanisms, Route, generation},
    module::Generation,
    public::{build, identify},
    quirks::{self, Optional, Recipe},
    session::{Link, Token},
    sign::{self, MAX_MESSAGE_BYTES, Request},
    template::{self, Place},
};

/// How the token makes and uses each key type that it offers.
pub(crate) fn recipes(
    token: &Token,
    mechanisms: &Mechanisms,
    seen: Generation,
) -> Result<Vec<Recipe>, Error> {
    let mut recipes = Vec::new();
    let signing =
        KeyType::ALL.into_iter().filter(|key_type| SignatureAlgorithm::of(*key_type).next().is_some());
    let (rsa, curves): (Vec<_>, Vec<_>) = signing.partition(|key_type| key_type.rsa_bits().is_some());
    for key_type in curves {
        if let Some(draft) = draft(mechanisms, key_type)
            && let Some(proven) = prove(token, &draft, seen)?
        {
            recipes.push(proven);
        }
    }
    // RSA keys take long to make, so what the token thinks of the optional
    // attributes is taken from the curves, if there are any.
    let mut optional = recipes.first().map(|recipe: &Recipe| recipe.optional);
    for key_type in rsa {
        let Some(draft) = draft(mechanisms, key_type) else { continue };
        match optional {
            Some(optional) => recipes.push(Recipe { optional, ..draft }),
            None => {
                let Some(proven) = prove(token, &draft, seen)? else { continue };
                optional = Some(proven.optional);
                recipes.push(proven);
            }
        }
    }
    recipes.sort_by_key(|recipe| recipe.key_type);
    Ok(recipes)
}

/// What the mechanism list promises for a key type, if anything.
fn draft(mechanisms: &Mechanisms, key_type: KeyType) -> Option<Recipe> {
    let routes: Vec<(SignatureAlgorithm, Route)> = SignatureAlgorithm::of(key_type)
        .flat_map(|algorithm| mechanisms.routes(key_type, algorithm).map(move |route| (algorithm, route)))
        .collect();
    if routes.is_empty() || !mechanisms.generates(key_type) {
        info!(key_type = %key_type, "not offered: no mechanism makes such keys or signs with them");
        return None;
    }
    Some(Recipe { key_type, optional: Optional::LEVELS[0], ec_params: None, routes })
}

/// The recipe with everything that a trial shows, or `None` if no trial succeeds.
///
/// # Errors
/// When the token is lost meanwhile.
fn prove(token: &Token, draft: &Recipe, seen: Generation) -> Result<Option<Recipe>, Error> {
    let forms: Vec<Option<Vec<u8>>> = if draft.key_type.rsa_bits().is_some() {
        vec![None]
    } else {
        quirks::ec_params(draft.key_type).into_iter().map(Some).collect()
    };
    for ec_params in forms {
        for optional in Optional::LEVELS {
            let mut trial = Recipe { optional, ec_params: ec_params.clone(), ..draft.clone() };
            // A session a trial: a refusal may spoil it.
            let link = token.connect(seen)?;
            let mechanisms = trial.mechanisms(&trial.algorithms());
            let public = template::public(&trial, optional, Place::Session);
            let private = template::private(optional, Place::Session, token.login_required, mechanisms);
            match link.session.generate_key_pair(&generation(trial.key_type), &public, &private) {
                Ok((public, private)) => {
                    trial.routes = working(&link, &trial, public, private);
                    for half in [private, public] {
                        if let Err(error) = link.session.destroy_object(half) {
                            warn!(%error, "a trial key stays until its session is closed");
                        }
                    }
                    if !trial.routes.is_empty() {
                        return Ok(Some(trial));
                    }
                }
                Err(error) => {
                    token.present(&link, Operation::Open)?;
                    let without_options = blames_template(&error);
                    let error = device(Operation::Open)(error);
                    info!(key_type = %trial.key_type, ?optional, %error, "trial key refused");
                    if !without_options {
                        break;
                    }
                }
            }
        }
    }
    info!(key_type = %draft.key_type, "not offered: the token makes no such key that works");
    Ok(None)
}

/// The algorithms whose signatures verify.
fn working(
    link: &Link,
    trial: &Recipe,
    public: ObjectHandle,
    private: ObjectHandle,
) -> Vec<(SignatureAlgorithm, Route)> {
    let key = match identify(&link.session, public, Operation::Open) {
        Ok(Some((key_type, attributes))) if key_type == trial.key_type => build(key_type, &attributes),
        _ => None,
    };
    let Some(key) = key else {
        info!(key_type = %trial.key_type, "the public half of a trial key cannot be read");
        return Vec::new();
    };
    let input = SignInput::Message(bytes::Bytes::from_static(b"skms trial of a key type"));
    let mut works = trial.routes.clone();
    works.retain(|&(algorithm, route)| {
        let request = Request { key_type: trial.key_type, algorithm, route };
        let verified = sign::one(&link.session, private, request, &input)
            .is_ok_and(|signature| key.verify(algorithm, &input, &signature.0));
        if !verified {
            info!(%algorithm, ?route, "not offered: the token lists it but makes no signature that verifies");
        }
        verified
    });
    works
}

/// What the gateway is told about the token.
pub(crate) fn capabilities(
    token: &Token,
    protection_level: ProtectionLevel,
    identity: DeviceIdentity,
) -> Result<Capabilities, Error> {
    if token.recipes.is_empty() {
        return Err(Error::new(Class::Unsupported, Operation::Open)
            .detail(format!("the token with {} offers nothing that can be used", token.name)));
    }
    let key_types = token
        .recipes
        .iter()
        .map(|recipe| KeyTypeSupport {
            sign: recipe
                .algorithms()
                .into_iter()
                .map(|algorithm| SignSupport {
                    algorithm,
                    digest: recipe.route(algorithm) == Some(Route::Digest),
                })
                .collect(),
            ..KeyTypeSupport::new(recipe.key_type)
        })
        .collect();
    Ok(Capabilities {
        protection_level,
        identity,
        key_types,
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_random_bytes: 0,
    })
}
