//! An issuer at work: its keys, and the check of a token with them.

use std::{path::PathBuf, sync::Arc};

use jsonwebtoken::{Validation, errors::ErrorKind};
use serde::de::IgnoredAny;

use super::{
    Caller, Method,
    caller::Proof,
    claims::Claims,
    clock::Clock,
    config::{self, Algorithm, CertificateBound, JwksSource, Name, SingleUse},
    error::{self, Error},
    fetch,
    jws::{Unverified, media_type},
    keys::Found,
    published::{Published, Version},
    refusal::Refusal,
    remote::{Remote, Requests},
    replay::{Moment, Once, Used},
};
use crate::{model::Reason, telemetry::metrics};

/// An issuer of tokens.
#[derive(Debug)]
pub(super) struct Issuer {
    name: Name,
    config: config::Issuer,
    types: Vec<String>,
    /// What the library checks, for each algorithm: it wants those of one family only.
    validations: Vec<(Algorithm, Validation)>,
    pub(super) published: Arc<Published>,
    keys: Keys,
    /// The tokens that were used up, where they are good for one change.
    used: Option<Arc<Used>>,
    clock: Clock,
}

#[derive(Debug)]
enum Keys {
    File(PathBuf),
    Remote(Arc<Remote>),
}

/// A token that was checked.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) caller: Caller,
    pub(super) claims: Claims,
    /// When it ends.
    pub(super) ends: Moment,
    /// The keys that it was checked with.
    pub(super) generation: u64,
}

impl Issuer {
    /// Reads the keys if they are in a file. Blocks.
    pub(super) fn open(name: &Name, config: &config::Issuer, clock: Clock) -> Result<Self, Error> {
        let max_stale = match config.jwks {
            JwksSource::File(_) => None,
            JwksSource::Url(_) => Some(config.max_stale),
        };
        let published = Arc::new(Published::new(config.algorithms.clone(), max_stale));
        let keys = match &config.jwks {
            JwksSource::File(path) => Keys::File(path.clone()),
            JwksSource::Url(url) => {
                if url.scheme_str() == Some("https") {
                    fetch::roots(&config.jwks_ca)?;
                }
                Keys::Remote(Arc::new(Remote {
                    name: name.to_string(),
                    url: url.clone(),
                    authorities: config.jwks_ca.clone(),
                    refresh: config.refresh,
                    cool_down: config.cool_down,
                    published: published.clone(),
                    clock: clock.clone(),
                    requests: Requests::default(),
                }))
            }
        };
        let issuer = Self {
            name: name.clone(),
            types: config.types.iter().map(|typ| media_type(typ)).collect(),
            validations: config.algorithms.iter().map(|one| (*one, validation(config, *one))).collect(),
            config: config.clone(),
            published,
            keys,
            used: match config.single_use {
                SingleUse::Never => None,
                SingleUse::ForChanges => Some(Arc::default()),
            },
            clock,
        };
        issuer.reload()?;
        Ok(issuer)
    }

    /// What its tokens have as `iss`.
    pub(super) fn iss(&self) -> &str {
        &self.config.issuer
    }

    /// The file of its keys.
    pub(super) fn file(&self) -> Option<&PathBuf> {
        match &self.keys {
            Keys::File(path) => Some(path),
            Keys::Remote(_) => None,
        }
    }

    pub(super) fn remote(&self) -> Option<&Arc<Remote>> {
        match &self.keys {
            Keys::File(_) => None,
            Keys::Remote(remote) => Some(remote),
        }
    }

    /// Reads the keys again if they are in a file, and tells whether they are others.
    /// Blocks.
    pub(super) fn reload(&self) -> Result<bool, Error> {
        let Some(path) = self.file() else { return Ok(false) };
        let bytes = error::read(path, MAX_FILE)?;
        let published = self.published.publish(&bytes, self.clock.steady());
        let changed = published.map_err(|source| Error::Keys { path: path.clone(), source })?;
        metrics().jwks_fetched(self.name.as_str());
        Ok(changed)
    }

    /// Checks a token that names this issuer.
    pub(super) async fn verify(&self, token: &[u8], unverified: &Unverified) -> Result<Verified, Refusal> {
        let Unverified { algorithm, typ, kid: _, claims } = unverified;
        let (_, validation) = self
            .validations
            .iter()
            .find(|(allowed, _)| allowed == algorithm)
            .ok_or(Refusal::malformed("an algorithm that its issuer does not use"))?;
        if !self.types.contains(typ) {
            return Err(Refusal::malformed("a type that is not taken"));
        }
        let keys = self.keys_for(unverified).await?;
        let key = match keys.keys.find(unverified.kid.as_deref(), *algorithm) {
            Found::Key(key) => key,
            Found::Unfit => return Err(Refusal::signature("the key is not for this algorithm")),
            Found::None => return Err(Refusal::signature("no such key")),
        };
        jsonwebtoken::decode::<IgnoredAny>(token, key, validation).map_err(|error| refusal(error.kind()))?;
        let (wall, steady) = (self.clock.wall(), self.clock.steady());
        let claims = Claims::judge(claims, &self.config, wall)?;
        if self.config.certificate_bound == CertificateBound::Required && claims.certificate.is_none() {
            return Err(Refusal::certificate("bound to no certificate"));
        }
        let left = claims.expires.duration_since(wall).unwrap_or_default();
        let ends = (claims.expires, steady.checked_add(left).unwrap_or(steady));
        let once = self.used.clone().map(|used| Once { used, id: claims.id.clone(), ends });
        let caller = Caller::new(Proof {
            method: Method::Token,
            issuer: self.name.to_string(),
            subject: claims.subject.clone(),
            roles: claims.roles.clone(),
            tenant: claims.tenant.clone(),
            expires: Some(claims.expires),
            token: claims.id.clone(),
            once,
        });
        Ok(Verified { caller, claims, ends, generation: keys.generation })
    }

    /// The keys, fetched again where the one that is wanted is not among them.
    async fn keys_for(&self, token: &Unverified) -> Result<Arc<Version>, Refusal> {
        let current = self.published.current(self.clock.steady());
        let missing = current.as_ref().is_none_or(|version| {
            matches!(version.keys.find(token.kid.as_deref(), token.algorithm), Found::None)
        });
        match (missing, &self.keys) {
            (true, Keys::Remote(remote)) => {
                remote.ask().await;
                let now = self.clock.steady();
                remote.tell(now);
                self.published.current(now)
            }
            _ => current,
        }
        .ok_or(Refusal::signature("there are no keys of the issuer, or they are too old"))
    }
}

/// What the library checks beside the signature. The times are judged by [`Claims`].
fn validation(config: &config::Issuer, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm.into());
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&config.audiences);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidAudience => Refusal::new(Reason::TokenAudienceMismatch, "another audience"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => {
            Refusal::new(Reason::TokenAudienceMismatch, "no audience")
        }
        ErrorKind::MissingRequiredClaim(_) => Refusal::malformed("a claim is missing or of the wrong type"),
        ErrorKind::InvalidIssuer => Refusal::new(Reason::TokenIssuerUntrusted, "another issuer"),
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::Base64(_) => {
            Refusal::malformed("a header member of the wrong type")
        }
        _ => Refusal::signature("the signature does not match"),
    }
}

/// A hundred times what large issuers publish.
const MAX_FILE: u64 = 1024 * 1024;
