//! What a token says, after its signature was checked (RFC 7519 §4.1, RFC 7800).
//!
//! The library has checked `iss` and `aud`; the times are judged here, because it reads
//! the clock of the system and rounds what is no whole number.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{config, refusal::Refusal};
use crate::model::Reason;

/// What is known of a token and its caller.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) roles: BTreeSet<String>,
    pub(super) tenant: Option<String>,
    /// When it ends, with the leeway.
    pub(super) expires: SystemTime,
    pub(super) id: Option<String>,
    /// The certificate that it is bound to.
    pub(super) certificate: Option<[u8; 32]>,
}

impl Claims {
    pub(super) fn judge(
        claims: &Map<String, Value>,
        issuer: &config::Issuer,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let expires = lifetime(claims, issuer, now)?;
        // Required even where another claim names the caller: RFC 9068 §2.2.
        let subject = name(claims.get("sub").ok_or(Refusal::malformed("no subject"))?)?;
        let subject = match issuer.subject_claim.as_str() {
            "sub" => subject,
            claim => name(find(claims, claim)?.ok_or(Refusal::malformed("no claim that names the caller"))?)?,
        };
        let named = issuer.tenant_claim.as_ref().map(|claim| find(claims, claim)).transpose()?.flatten();
        let tenant = named.map(name).transpose()?.or_else(|| issuer.tenant.clone());
        Ok(Self {
            subject,
            roles: roles(find(claims, &issuer.roles_claim)?)?,
            tenant,
            expires,
            id: claims.get("jti").map(name).transpose()?,
            certificate: claims.get("cnf").map(certificate).transpose()?,
        })
    }
}

/// Checks the times, and tells when the token ends.
fn lifetime(
    claims: &Map<String, Value>,
    issuer: &config::Issuer,
    now: SystemTime,
) -> Result<SystemTime, Refusal> {
    let expires = moment(claims, "exp")?.ok_or(Refusal::malformed("no end"))?;
    let (not_before, issued) = (moment(claims, "nbf")?, moment(claims, "iat")?);
    let end = expires + issuer.leeway;
    if now >= end {
        return Err(Refusal::new(Reason::TokenExpired, "past its end"));
    }
    let soon = now + issuer.leeway;
    if not_before.is_some_and(|not_before| not_before > soon) {
        return Err(Refusal::new(Reason::TokenNotYetValid, "before its beginning"));
    }
    if issued.is_some_and(|issued| issued > soon) {
        return Err(Refusal::new(Reason::TokenNotYetValid, "issued in the future"));
    }
    let life = match issued {
        Some(issued) => expires.duration_since(issued).ok(),
        // What is left of it; it cannot be longer than that by much.
        None => Some(expires.duration_since(now).unwrap_or_default().saturating_sub(issuer.leeway)),
    };
    match life {
        Some(life) if life <= issuer.max_lifetime => Ok(end),
        Some(_) => Err(Refusal::malformed("it lives longer than is taken here")),
        None => Err(Refusal::malformed("it ends before it was issued")),
    }
}

/// A time in whole seconds, written as such, between the epoch and the year 9999.
fn moment(claims: &Map<String, Value>, claim: &str) -> Result<Option<SystemTime>, Refusal> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = match value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    seconds
        .filter(|seconds| *seconds <= LAST_SECOND)
        .map(|seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds)))
        .ok_or(Refusal::malformed("a time that is none"))
}

/// A claim by its name, or by a path of names through objects. A claim that has the
/// dots in its name, as in `https://corp.example/roles`, is found first.
fn find<'c>(claims: &'c Map<String, Value>, path: &str) -> Result<Option<&'c Value>, Refusal> {
    if let Some(value) = claims.get(path) {
        return Ok(Some(value));
    }
    let mut steps = path.split('.');
    let mut here = steps.next().and_then(|step| claims.get(step));
    for step in steps {
        here = match here {
            None => return Ok(None),
            Some(Value::Object(members)) => members.get(step),
            Some(_) => return Err(Refusal::malformed("a claim of the wrong type")),
        };
    }
    Ok(here)
}

/// A list of roles, or one text of them with a space between two (RFC 6749 §3.3). A
/// claim of any other form is refused rather than read as no roles: rules may also
/// forbid by role.
fn roles(claim: Option<&Value>) -> Result<BTreeSet<String>, Refusal> {
    match claim {
        None => Ok(BTreeSet::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(BTreeSet::new()),
        Some(Value::String(text)) => text.split(' ').map(word).collect(),
        Some(Value::Array(items)) => items.iter().map(name).collect(),
        Some(_) => Err(Refusal::malformed("roles of the wrong type")),
    }
}

fn name(value: &Value) -> Result<String, Refusal> {
    value.as_str().ok_or(Refusal::malformed("a claim of the wrong type")).and_then(word)
}

/// Text that names something: in a log line it stays on its line, and two names that
/// differ only in what nobody sees are not two names.
fn word(text: &str) -> Result<String, Refusal> {
    let seen = text.trim() == text && !text.chars().any(|char| char.is_control() || is_invisible(char));
    if (1..=MAX_NAME_BYTES).contains(&text.len()) && seen {
        Ok(text.to_owned())
    } else {
        Err(Refusal::malformed("a name that is empty, too long, or has characters that are not seen"))
    }
}

/// The format characters of Unicode (category Cf) that steer the direction of text, join
/// or part letters, or show nothing at all.
const fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The certificate of RFC 8705 §3.1. A token that is bound to something else as well
/// (`jkt` of RFC 9449) is refused, as nobody here could check that.
fn certificate(confirmation: &Value) -> Result<[u8; 32], Refusal> {
    let members = confirmation.as_object().ok_or(Refusal::malformed("a confirmation of the wrong type"))?;
    if members.keys().any(|member| member != "x5t#S256") {
        return Err(Refusal::certificate("bound to something else than a certificate"));
    }
    members
        .get("x5t#S256")
        .and_then(Value::as_str)
        .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Refusal::malformed("a confirmation that is no thumbprint"))
}

/// As long as the longest subject that the OpenID Connect core (§2) allows.
const MAX_NAME_BYTES: usize = 256;
/// The end of the year 9999, which is what other clocks and formats end with.
const LAST_SECOND: u64 = 253_402_300_799;
