//! Whose tokens are taken, and what they must look like.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use humantime::format_duration;
use serde::Deserialize;

use super::{Algorithm, JwksSource};
use crate::model::BadValue;

/// An issuer of tokens: a section `[auth.issuers.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// What its tokens have as `iss`, to the letter.
    pub issuer: String,
    /// What a token must be for: at least one of them is in its `aud`.
    pub audiences: Vec<String>,
    /// The algorithms that it signs with. No other is taken, whatever a token says.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub jwks: JwksSource,
    /// The authorities that may vouch for the server of its keys, in PEM.
    #[serde(default = "jwks_ca")]
    pub jwks_ca: PathBuf,
    /// The `typ` of its tokens; an empty one stands for tokens without.
    #[serde(default = "types")]
    pub types: Vec<String>,
    /// How far its clock may be from the one here.
    #[serde(default = "leeway", with = "humantime_serde")]
    pub leeway: Duration,
    /// The longest life of a token.
    #[serde(default = "max_lifetime", with = "humantime_serde")]
    pub max_lifetime: Duration,
    /// The claim that names the caller. Within other claims: `a.b`.
    #[serde(default = "subject_claim")]
    pub subject_claim: String,
    /// The claim that lists the roles of the caller.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// The claim that names the tenant of the caller.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// The tenant of callers whose token names none.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Which of its tokens are bound to a client certificate.
    #[serde(default)]
    pub certificate_bound: CertificateBound,
    /// Which calls use up its tokens. What was used up is remembered until the token
    /// has ended, by one process: a restart forgets it, so let the tokens be short-lived.
    #[serde(default)]
    pub single_use: SingleUse,
    /// Time between two fetches of its keys.
    #[serde(default = "refresh", with = "humantime_serde")]
    pub refresh: Duration,
    /// The shortest time between two fetches, whatever asks for them.
    #[serde(default = "cool_down", with = "humantime_serde")]
    pub cool_down: Duration,
    /// How long its keys are trusted while they cannot be fetched.
    #[serde(default = "max_stale", with = "humantime_serde")]
    pub max_stale: Duration,
}

/// Which tokens are bound to a client certificate (RFC 8705).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateBound {
    /// Those that say so.
    #[default]
    IfPresent,
    /// All; one that is not is refused.
    Required,
}

/// Which calls use up a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SingleUse {
    /// None: it is good for any number of calls until it ends.
    #[default]
    Never,
    /// Those that change something, such as CreateKey: it is good for one, and must have
    /// an id (`jti`). All others may be made as often as ever.
    ForChanges,
}

impl Issuer {
    pub(super) fn relative_to(self, base: &Path) -> Self {
        Self { jwks: self.jwks.relative_to(base), jwks_ca: base.join(self.jwks_ca), ..self }
    }

    pub(super) fn bad_values(&self, section: &str) -> Vec<BadValue> {
        let mut bad = Vec::new();
        let mut refuse = |field: &str, problem: &str| {
            bad.push(BadValue::new(format!("{section}.{field}"), problem));
        };
        if self.issuer.is_empty() {
            refuse("issuer", "must be what the tokens have as `iss`");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            refuse("audiences", "must name at least one audience, and no empty one");
        }
        if self.algorithms.is_empty() {
            refuse("algorithms", "must name at least one algorithm, such as `ES256`");
        }
        if self.types.is_empty() {
            refuse("types", "must name at least one type, such as `at+jwt`; `` is a token without");
        }
        for (field, claim) in [
            ("subject_claim", Some(&self.subject_claim)),
            ("roles_claim", Some(&self.roles_claim)),
            ("tenant_claim", self.tenant_claim.as_ref()),
        ] {
            if claim.is_some_and(String::is_empty) {
                refuse(field, "must name a claim");
            }
        }
        if self.tenant.as_ref().is_some_and(String::is_empty) {
            refuse("tenant", "must not be empty");
        }
        if self.leeway > MAX_LEEWAY {
            refuse("leeway", &format!("must be at most `{}`", format_duration(MAX_LEEWAY)));
        }
        if self.refresh < self.cool_down {
            refuse("refresh", "must not be shorter than `cool_down`");
        }
        if self.max_stale < self.refresh {
            refuse("max_stale", "must not be shorter than `refresh`, or the keys are never trusted");
        }
        let named = |field: &str| format!("{section}.{field}");
        bad.extend(BadValue::unless_span(&named("max_lifetime"), self.max_lifetime));
        bad.extend(BadValue::unless_interval(&named("refresh"), self.refresh));
        bad.extend(BadValue::unless_interval(&named("cool_down"), self.cool_down));
        bad.extend(BadValue::unless_interval(&named("max_stale"), self.max_stale));
        bad.extend(BadValue::unless_path(&named("jwks_ca"), &self.jwks_ca));
        bad
    }
}

/// Where Debian and its kin keep the authorities that browsers trust.
fn jwks_ca() -> PathBuf {
    "/etc/ssl/certs/ca-certificates.crt".into()
}

/// RFC 7519 §5.1 and RFC 9068 §2.1.
fn types() -> Vec<String> {
    ["JWT", "at+jwt"].map(str::to_owned).to_vec()
}

/// Clocks that are kept by NTP are far closer.
const fn leeway() -> Duration {
    Duration::from_secs(5)
}

/// More would keep stolen tokens alive.
const MAX_LEEWAY: Duration = Duration::from_secs(30);

/// What most issuers give.
const fn max_lifetime() -> Duration {
    Duration::from_secs(60 * 60)
}

fn subject_claim() -> String {
    "sub".to_owned()
}

fn roles_claim() -> String {
    "roles".to_owned()
}

/// So that a key that its issuer has withdrawn is not trusted for much longer.
const fn refresh() -> Duration {
    Duration::from_secs(5 * 60)
}

/// So that tokens with invented key ids do not make the gateway flood the issuer.
const fn cool_down() -> Duration {
    Duration::from_secs(10)
}

/// Longer than a restart of an issuer, shorter than what a withdrawn key may do.
const fn max_stale() -> Duration {
    Duration::from_secs(60 * 60)
}
