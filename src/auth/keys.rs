//! The public keys of an issuer: a JWK set (RFC 7517 §5), reduced to the keys that may
//! check the tokens of this issuer.
//!
//! **Invariant:** each key of a [`KeySet`] fits every algorithm that it is listed with,
//! by its type, curve and size, and is allowed for it by the issuer's configuration and
//! by its own `use`, `key_ops` and `alg`. So a token that names another algorithm finds
//! no key.

use aws_lc_rs::signature::{self, ParsedPublicKey};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use tracing::debug;

use super::{config::Algorithm, json};

/// The keys of an issuer that can be used.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// What a set has for a token.
pub(super) enum Found<'k> {
    Key(&'k DecodingKey),
    /// Its key is there, and is not for this algorithm.
    Unfit,
    /// No key, or more than one where the token names none.
    None,
}

impl KeySet {
    /// Reads a set. A key that cannot be used is left out, as the set of an issuer may
    /// serve others, too; two usable keys of one id make the whole set unclear.
    pub(super) fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, Error> {
        let set = json::object(bytes).ok_or(Error::Json)?;
        let items = set.get("keys").and_then(Value::as_array).ok_or(Error::Json)?;
        if items.len() > MAX_KEYS {
            return Err(Error::TooMany);
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let read = item.as_object().ok_or("it is no object").and_then(|item| Key::parse(item, allowed));
            match read {
                Ok(key) if key.id.is_some() && keys.iter().any(|other| other.id == key.id) => {
                    return Err(Error::Twice);
                }
                Ok(key) => keys.push(key),
                Err(why) => debug!(index, why, "key of an issuer left out"),
            }
        }
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(Self(keys)) }
    }

    /// The key of this id; where a token names none, the only one for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let fits = |key: &&Key| key.algorithms.contains(&algorithm);
        let Some(id) = id else {
            let mut keys = self.0.iter().filter(fits);
            return match (keys.next(), keys.next()) {
                (Some(key), None) => Found::Key(&key.key),
                _ => Found::None,
            };
        };
        match self.0.iter().find(|key| key.id.as_deref() == Some(id)) {
            Some(key) if fits(&key) => Found::Key(&key.key),
            Some(_) => Found::Unfit,
            None => Found::None,
        }
    }
}

impl Key {
    fn parse(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, &'static str> {
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err("it is a secret, which everybody knows by now");
        }
        if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
            return Err("it is not for signatures");
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or("`key_ops` is no list")?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err("it is not for signatures");
            }
        }
        let (fit, key) = material(jwk)?;
        let own = text(jwk, "alg")?;
        let may = |algorithm: &&Algorithm| {
            allowed.contains(*algorithm) && own.is_none_or(|own| own == algorithm.name())
        };
        let algorithms: Vec<_> = fit.iter().filter(may).copied().collect();
        if algorithms.is_empty() {
            return Err("it is for no algorithm that the issuer may use");
        }
        Ok(Self { id: text(jwk, "kid")?.map(str::to_owned), algorithms, key })
    }
}

/// The key itself, and what it can be used for.
fn material(jwk: &Map<String, Value>) -> Result<(&'static [Algorithm], DecodingKey), &'static str> {
    match (text(jwk, "kty")?, text(jwk, "crv")?) {
        (Some("RSA"), _) => {
            let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
            rsa(&modulus, &exponent)?;
            Ok((&RSA, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
        }
        (Some("EC"), Some("P-256")) => {
            let point = point(jwk, 32)?;
            parsed(&signature::ECDSA_P256_SHA256_FIXED, &point)?;
            Ok((&[Algorithm::Es256], DecodingKey::from_ec_der(&point)))
        }
        (Some("EC"), Some("P-384")) => {
            let point = point(jwk, 48)?;
            parsed(&signature::ECDSA_P384_SHA384_FIXED, &point)?;
            Ok((&[Algorithm::Es384], DecodingKey::from_ec_der(&point)))
        }
        (Some("OKP"), Some("Ed25519")) => {
            let key = bytes(jwk, "x")?;
            parsed(&signature::ED25519, &key)?;
            Ok((&[Algorithm::EdDsa], DecodingKey::from_ed_der(&key)))
        }
        _ => Err("it is of no type that is known here"),
    }
}

/// Refuses what no issuer has for a key. The signature check has the same bounds; here
/// they keep a weak key from hiding behind the id of a good one.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), &'static str> {
    let first = modulus.first().filter(|first| **first != 0).ok_or("its modulus begins with a zero")?;
    let bits = modulus.len().saturating_mul(8).saturating_sub(first.leading_zeros() as usize);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err("its modulus is too short or too long");
    }
    if matches!(exponent, [] | [0, ..] | [1]) || exponent.last().is_some_and(|last| last % 2 == 0) {
        return Err("its exponent is none");
    }
    let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
    let parsed = key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256);
    parsed.map(|_| ()).map_err(|_| "it is no key of its type")
}

/// An uncompressed point (SEC 1 §2.3.3), as long coordinates as RFC 7518 §6.2.1.2 wants.
fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return Err("its point is not as long as its curve wants");
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}

fn parsed(algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]) -> Result<(), &'static str> {
    ParsedPublicKey::new(algorithm, key).map(|_| ()).map_err(|_| "it is no key of its type")
}

fn text<'j>(jwk: &'j Map<String, Value>, member: &str) -> Result<Option<&'j str>, &'static str> {
    match jwk.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member is of the wrong type"),
    }
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, member)?.ok_or("a part of it is missing")?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of it is not base64url")
}

/// A set that is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no JWK set, or has two members of one name.
    #[error("it is no JWK set in strict JSON")]
    Json,
    /// It is longer than that of any issuer.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// It is unclear which key a token means.
    #[error("two of its keys have the same `kid`")]
    Twice,
    /// Nothing in it can check a token of this issuer.
    #[error("none of its keys is for an algorithm of this issuer")]
    NoKey,
}

const RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];
/// NIST SP 800-131A.
const MIN_RSA_BITS: usize = 2048;
/// Longer ones only cost time.
const MAX_RSA_BITS: usize = 8192;
/// The private and shared members of RFC 7518 §6.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];
/// Large issuers publish about ten.
const MAX_KEYS: usize = 100;
