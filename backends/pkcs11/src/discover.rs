//! What a token can do, found out when it is opened.
//!
//! Which curves a token has is not in a list of PKCS#11 2.40, nor is the form of the
//! parameters, which hashes RSAES-OAEP takes, or which optional attributes a key; and
//! some of what is listed does not work. So each use of a key type is tried with session
//! objects (`trial`). RSA keys take long to make: they are tried with one that is given
//! to the token, and what holds for it is said of all sizes that the token lists.

use skms_backend::{
    Capabilities, Class, DeviceIdentity, EncryptSupport, EncryptionAlgorithm, Error, KeyType, KeyTypeSupport,
    Operation, ProtectionLevel, Salting, SignSupport, SignatureAlgorithm,
};
use tracing::info;

use crate::{
    error::device,
    mechanism::{Mechanisms, Route},
    module::Generation,
    quirks::{Optional, PointForm, Recipe, Skill},
    session::Token,
    sign::MAX_MESSAGE_BYTES,
    trial::{self, Source},
};

/// How the token makes and uses keys of each type, for each use that it offers.
pub(crate) fn recipes(
    token: &Token,
    mechanisms: &Mechanisms,
    seen: Generation,
) -> Result<Vec<Recipe>, Error> {
    let drafts: Vec<Recipe> =
        KeyType::ALL.into_iter().flat_map(|key_type| drafts(mechanisms, key_type)).collect();
    let (rsa, others): (Vec<_>, Vec<_>) =
        drafts.into_iter().partition(|draft| draft.key_type.rsa_bits().is_some());
    let mut recipes = Vec::new();
    for draft in others {
        if let Some(proven) = trial::prove(token, &draft, Source::Token, seen)? {
            let import = trial::imports(token, &proven, seen)?;
            recipes.push(Recipe { import, ..proven });
        }
    }
    let curves = recipes.iter().find(|recipe| !recipe.key_type.is_secret()).map(|recipe| recipe.optional);
    let (signing, decrypting): (Vec<_>, Vec<_>) =
        rsa.into_iter().partition(|draft| matches!(draft.skill, Skill::Sign(_)));
    for drafts in [signing, decrypting] {
        recipes.extend(of_rsa(token, drafts, curves, seen)?);
    }
    recipes.sort_by_key(|recipe| recipe.key_type);
    Ok(recipes)
}

/// What the mechanism list promises for a key type, a draft for each use.
fn drafts(mechanisms: &Mechanisms, key_type: KeyType) -> Vec<Recipe> {
    let mut skills = Vec::new();
    if mechanisms.generates(key_type) {
        let routes: Vec<(SignatureAlgorithm, Route)> = SignatureAlgorithm::of(key_type)
            .flat_map(|algorithm| mechanisms.routes(key_type, algorithm).map(move |route| (algorithm, route)))
            .collect();
        let encryption: Vec<EncryptionAlgorithm> = EncryptionAlgorithm::of(key_type)
            .filter(|algorithm| mechanisms.encrypts(key_type, *algorithm))
            .collect();
        skills.extend((!routes.is_empty()).then_some(Skill::Sign(routes)));
        skills.extend((!encryption.is_empty()).then_some(Skill::Encrypt(encryption)));
        skills.extend(mechanisms.macs(key_type).then_some(Skill::Mac));
        skills.extend(mechanisms.agrees(key_type).then_some(Skill::Agree(PointForm::Raw)));
    }
    if skills.is_empty() {
        info!(key_type = %key_type, "not offered: no mechanism makes such keys or uses them");
    }
    let optional = Optional::LEVELS[0];
    let draft = |skill| Recipe { key_type, skill, optional, ec_params: None, import: false };
    skills.into_iter().map(draft).collect()
}

/// RSA for one use: a trial with one size, and what came of it for all.
fn of_rsa(
    token: &Token,
    drafts: Vec<Recipe>,
    curves: Option<Optional>,
    seen: Generation,
) -> Result<Vec<Recipe>, Error> {
    let Some(first) = drafts.first() else { return Ok(Vec::new()) };
    let given = trial::prove(token, first, Source::Sample, seen)?;
    let proven = match (given, curves) {
        (Some(proven), _) => Some(Recipe { import: true, ..proven }),
        // That the listed signatures of RSA work is believed, rather than that every
        // start waits for a key to be made.
        (None, Some(optional)) if matches!(first.skill, Skill::Sign(_)) => {
            Some(Recipe { optional, ..first.clone() })
        }
        (None, _) => trial::prove(token, first, Source::Token, seen)?,
    };
    let Some(proven) = proven else { return Ok(Vec::new()) };
    let of_size = |draft: Recipe| {
        let works = |algorithm, route| proven.routes().contains(&(algorithm, route));
        let skill = match draft.skill {
            Skill::Sign(mut routes) => {
                routes.retain(|&(algorithm, route)| works(algorithm, route));
                Skill::Sign(routes)
            }
            Skill::Encrypt(mut algorithms) => {
                algorithms.retain(|algorithm| proven.encryption().contains(algorithm));
                Skill::Encrypt(algorithms)
            }
            other => other,
        };
        Recipe { skill, key_type: draft.key_type, ..proven.clone() }
    };
    Ok(drafts.into_iter().map(of_size).collect())
}

/// The most random bytes in one call: what network HSMs are known to give at once.
const MAX_RANDOM_BYTES: usize = 64 * 1024;

/// Whether the token gives random bytes: different ones each time.
fn random(token: &Token, seen: Generation) -> Result<bool, Error> {
    let link = token.connect(seen)?;
    let (mut one, mut other) = ([0; 32], [0; 32]);
    let gave = link
        .session
        .generate_random_slice(&mut one)
        .and_then(|()| link.session.generate_random_slice(&mut other))
        .map_err(device(Operation::Open));
    token.present(&link, Operation::Open)?;
    Ok(gave.is_ok() && one != other)
}

/// What the gateway is told about the token.
pub(crate) fn capabilities(
    token: &Token,
    protection_level: ProtectionLevel,
    identity: DeviceIdentity,
    seen: Generation,
) -> Result<Capabilities, Error> {
    if token.recipes.is_empty() {
        return Err(Error::new(Class::Unsupported, Operation::Open)
            .detail(format!("the token with {} offers nothing that can be used", token.name)));
    }
    let mut key_types: Vec<KeyTypeSupport> = Vec::new();
    // All uses of a type follow each other.
    for recipes in token.recipes.chunk_by(|one, next| one.key_type == next.key_type) {
        let Some(first) = recipes.first() else { continue };
        let mut support = KeyTypeSupport::new(first.key_type);
        support.import = recipes.iter().all(|recipe| recipe.import);
        for recipe in recipes {
            match &recipe.skill {
                Skill::Sign(_) => support.sign = signatures(recipe),
                Skill::Encrypt(algorithms) => support.encrypt = encryption(algorithms),
                Skill::Mac => support.mac = true,
                Skill::Agree(_) => support.agree = true,
            }
        }
        key_types.push(support);
    }
    let max_random_bytes = if random(token, seen)? { MAX_RANDOM_BYTES } else { 0 };
    Ok(Capabilities {
        protection_level,
        identity,
        key_types,
        kept_only: Vec::new(),
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_mac_bytes: MAX_MESSAGE_BYTES,
        max_random_bytes,
    })
}

fn signatures(recipe: &Recipe) -> Vec<SignSupport> {
    recipe
        .algorithms()
        .into_iter()
        .map(|algorithm| SignSupport { algorithm, digest: recipe.route(algorithm) == Some(Route::Digest) })
        .collect()
}

fn encryption(algorithms: &[EncryptionAlgorithm]) -> Vec<EncryptSupport> {
    algorithms
        .iter()
        .map(|&algorithm| {
            let salting = if algorithm.is_rsa_oaep() { None } else { Some(Salting::Nonce) };
            EncryptSupport { algorithm, salting }
        })
        .collect()
}
