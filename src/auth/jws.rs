//! A token before its signature is checked: its three parts, and what its header says
//! (RFC 7515 §7.1, §4.1).
//!
//! The library that checks signatures is more generous than a gateway may be: it takes
//! any `typ`, any `crit`, and members that occur twice. So all of that is refused here,
//! before the library sees the token.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{config::Algorithm, json, refusal::Refusal};

/// A token that has the form of one. Nothing in it is true yet.
pub(super) struct Unverified {
    pub(super) algorithm: Algorithm,
    /// In lower case, without `application/`; empty where there is none.
    pub(super) typ: String,
    pub(super) kid: Option<String>,
    /// Its claims, of which only `iss` may be looked at before the signature is
    /// checked, and only to choose the keys.
    pub(super) claims: Map<String, Value>,
}

impl Unverified {
    pub(super) fn parse(token: &[u8]) -> Result<Self, Refusal> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, claims) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(claims), Some(signature), None)
                if !header.is_empty() && !claims.is_empty() && !signature.is_empty() =>
            {
                decode(signature)?;
                (decode(header)?, decode(claims)?)
            }
            _ => return Err(Refusal::malformed("not three parts")),
        };
        let header =
            json::object(&header).ok_or(Refusal::malformed("the header is no strict JSON object"))?;
        let claims =
            json::object(&claims).ok_or(Refusal::malformed("the claims are no strict JSON object"))?;
        if FORBIDDEN.iter().any(|member| header.contains_key(*member)) {
            return Err(Refusal::malformed("a header member that is not taken"));
        }
        let algorithm = text(&header, "alg")?
            .and_then(Algorithm::named)
            .ok_or(Refusal::malformed("no algorithm that is known here"))?;
        let kid = text(&header, "kid")?;
        if kid.is_some_and(|kid| kid.is_empty() || kid.len() > MAX_KID_BYTES) {
            return Err(Refusal::malformed("a key id of no usable length"));
        }
        let typ = text(&header, "typ")?.unwrap_or_default();
        Ok(Self { algorithm, typ: media_type(typ), kid: kid.map(str::to_owned), claims })
    }
}

/// A type as it is compared (RFC 7515 §4.1.9).
pub(super) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

/// Base64url in its only form: no padding, no other alphabet, no stray last bits.
fn decode(part: &[u8]) -> Result<Vec<u8>, Refusal> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::malformed("a part is not base64url"))
}

fn text<'h>(header: &'h Map<String, Value>, member: &str) -> Result<Option<&'h str>, Refusal> {
    match header.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::malformed("a header member of the wrong type")),
    }
}

/// Keys that a token brings with itself; extensions that must be understood, of which
/// none is; other contents than claims. `crit` is refused even when it is empty, which
/// RFC 7515 §4.1.11 forbids.
const FORBIDDEN: [&str; 8] = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "cty"];
/// Issuers use thumbprints and dates.
const MAX_KID_BYTES: usize = 256;
