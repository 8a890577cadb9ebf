//! The decision who calls, from what came with the call.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    Caller, Config, Method, bearer,
    cache::{Entry, Fingerprint, Tokens},
    caller::Proof,
    certificate::Authorities,
    clock::Clock,
    deny::Deny,
    error::Error,
    issuer::Issuer,
    jws::Unverified,
    refusal::Refusal,
};
use crate::model::{ClientCertificate, Reason};

/// What came with a call that may tell who makes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The value of every `authorization` header in its order, and of every
    /// `authorization-bin`, which nobody but a forger sends.
    pub authorization: &'a [&'a [u8]],
    /// The certificate of the connection, verified.
    pub certificate: Option<&'a ClientCertificate>,
    /// The user at the other end of a Unix socket.
    pub uid: Option<u32>,
}

/// Decides who calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    /// By what their tokens have as `iss`.
    issuers: HashMap<String, Arc<Issuer>>,
    authorities: Authorities,
    users: HashMap<u32, Caller>,
    deny_file: Option<PathBuf>,
    deny: ArcSwap<Listed>,
    tokens: Tokens,
    certificates: Cache<[u8; 32], Caller>,
    clock: Clock,
    /// Held while files are read again, so that an older one does not win.
    reload: Mutex<()>,
}

/// The list of whom to deny, and how many there were before it.
#[derive(Debug, Default)]
struct Listed {
    deny: Deny,
    generation: u64,
}

impl Authenticator {
    /// Reads the key files and the list of whom to deny. Blocks. Keys behind a URL are
    /// fetched by [`Self::refresh`], or for the first token that wants them.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Self::open_at(config, Clock::default())
    }

    pub(super) fn open_at(config: &Config, clock: Clock) -> Result<Self, Error> {
        let mut issuers = HashMap::new();
        for (name, issuer) in &config.issuers {
            let issuer = Issuer::open(name, issuer, clock.clone())?;
            issuers.insert(issuer.iss().to_owned(), Arc::new(issuer));
        }
        let users = config.unix.iter().map(|(name, user)| {
            let caller = Caller::new(Proof {
                method: Method::Unix,
                issuer: "unix".to_owned(),
                subject: name.to_string(),
                roles: user.roles.clone(),
                tenant: user.tenant.clone(),
                expires: None,
                token: None,
                once: None,
            });
            (user.uid, caller)
        });
        let deny = config.deny_file.as_deref().map(Deny::read).transpose()?.unwrap_or_default();
        Ok(Self(Arc::new(Inside {
            issuers,
            authorities: Authorities::new(config),
            users: users.collect(),
            deny_file: config.deny_file.clone(),
            deny: ArcSwap::from_pointee(Listed { deny, generation: 0 }),
            tokens: Tokens::new(),
            certificates: Cache::new(CERTIFICATES),
            clock,
            reload: Mutex::new(()),
        })))
    }

    /// Who makes the call. A token names the caller; without one the certificate does;
    /// without either the user at the other end of the socket. Proof that is there and
    /// does not hold is never passed over for a lesser one.
    ///
    /// # Errors
    /// Why the caller is nobody.
    pub async fn caller(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        if evidence.certificate.is_some_and(|certificate| self.is_denied_certificate(certificate)) {
            return Err(Refusal::revoked("the certificate is denied"));
        }
        if let Some(token) = bearer::token(evidence.authorization)? {
            let entry = self.token(token).await?;
            self.bound(&entry, evidence.certificate)?;
            return Ok(entry.caller.clone());
        }
        self.without_token(evidence)
    }

    fn without_token(&self, evidence: &Evidence<'_>) -> Result<Caller, Refusal> {
        let caller = match (evidence.certificate, evidence.uid) {
            (Some(certificate), _) => self.owner(certificate)?,
            (None, Some(uid)) => match self.0.users.get(&uid) {
                Some(caller) => caller.clone(),
                None => return Err(Refusal::new(Reason::TokenMissing, "no such local user, and no token")),
            },
            (None, None) => return Err(Refusal::new(Reason::TokenMissing, "nothing that proves anything")),
        };
        self.0.deny.load().deny.check(&caller, None)?;
        Ok(caller)
    }

    /// The caller, where it takes no work to say so: a token that was checked before
    /// and of which nothing has changed since, a certificate, a local user.
    #[must_use]
    pub fn known(&self, evidence: &Evidence<'_>) -> Option<Caller> {
        if evidence.certificate.is_some_and(|certificate| self.is_denied_certificate(certificate)) {
            return None;
        }
        let Some(token) = bearer::token(evidence.authorization).ok()? else {
            return self.without_token(evidence).ok();
        };
        let entry = self.0.tokens.find(&Fingerprint::of(token))?;
        let steady = self.0.clock.steady();
        let stale = entry.has_ended(self.0.clock.wall(), steady)
            || !entry.issuer.published.is_current(entry.keys, steady);
        if stale || self.allowed(&entry).is_err() || self.bound(&entry, evidence.certificate).is_err() {
            return None;
        }
        Some(entry.caller.clone())
    }

    /// Whether a caller who was let in, on a connection with this certificate, could still
    /// prove who it is: for calls that go on for long.
    ///
    /// # Errors
    /// Its proof has ended, or an operator has denied it.
    pub fn stands(&self, caller: &Caller, certificate: Option<&ClientCertificate>) -> Result<(), Refusal> {
        if caller.expires().is_some_and(|end| self.0.clock.wall() >= end) {
            return Err(Refusal::new(Reason::TokenExpired, "past its end"));
        }
        if certificate.is_some_and(|certificate| self.is_denied_certificate(certificate)) {
            return Err(Refusal::revoked("the certificate is denied"));
        }
        self.0.deny.load().deny.check(caller, caller.token())
    }

    /// Takes note that a call of this caller is about to change something. To be asked
    /// when nothing else stands against the call at the door: a token that is good for
    /// one change is used up by that, whatever comes of the call.
    ///
    /// # Errors
    /// The token, or another of its id, was used up before; it has no id; or too many
    /// are remembered.
    pub fn spend(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(once) = caller.once() else { return Ok(()) };
        once.spend((self.0.clock.wall(), self.0.clock.steady()))
    }

    /// Whether the certificate is that of a proxy, which carries the tokens of others.
    #[must_use]
    pub fn is_proxy(&self, certificate: &ClientCertificate) -> bool {
        self.0.authorities.proxy(certificate).is_some()
    }

    /// Whether an operator denied this certificate.
    #[must_use]
    pub fn is_denied_certificate(&self, certificate: &ClientCertificate) -> bool {
        self.0.deny.load().deny.has_certificate(&certificate.serial)
    }

    /// The files that [`Self::reload`] reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let keys = self.0.issuers.values().filter_map(|issuer| issuer.file());
        keys.chain(&self.0.deny_file).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Reads the files again and tells whether any has changed. From the next call on
    /// the new ones count, for tokens that were checked before as well. Blocks.
    ///
    /// # Errors
    /// A file cannot be read or used. Of that one the old content stays; the others are
    /// in force. If there are several, the others are in the log.
    pub fn reload(&self) -> Result<bool, Error> {
        let _one = self.0.reload.lock();
        let keys = self.0.issuers.values().map(|issuer| issuer.reload());
        let deny = self.0.deny_file.iter().map(|path| self.relist(Deny::read(path)?));
        let mut changed = false;
        let mut first = None;
        for read in keys.chain(deny) {
            match read {
                Ok(other) => changed |= other,
                Err(error) if first.is_none() => first = Some(error),
                Err(error) => error!(%error, "file refused, the old content stays"),
            }
        }
        first.map_or(Ok(changed), Err)
    }

    /// Fetches the keys behind URLs, now and from time to time, until `stop`.
    pub async fn refresh(&self, stop: CancellationToken) {
        let remotes = self.0.issuers.values().filter_map(|issuer| issuer.remote());
        let kept = remotes.map(|remote| remote.clone().keep(stop.clone()));
        futures_util::future::join_all(kept).await;
    }

    fn relist(&self, deny: Deny) -> Result<bool, Error> {
        let before = self.0.deny.load();
        if before.deny == deny {
            return Ok(false);
        }
        let generation = before.generation.wrapping_add(1);
        self.0.deny.store(Arc::new(Listed { deny, generation }));
        Ok(true)
    }

    /// The token, from the cache if nothing has changed since it was checked.
    async fn token(&self, token: &[u8]) -> Result<Arc<Entry>, Refusal> {
        let fingerprint = Fingerprint::of(token);
        let steady = self.0.clock.steady();
        let known = self.0.tokens.find(&fingerprint);
        if known.as_ref().is_some_and(|entry| entry.has_ended(self.0.clock.wall(), steady)) {
            return Err(Refusal::new(Reason::TokenExpired, "past its end"));
        }
        let entry = match known {
            Some(entry) if entry.issuer.published.is_current(entry.keys, steady) => entry,
            _ => {
                let entry = Arc::new(self.verify(token).await?);
                self.0.tokens.insert(&fingerprint, entry.clone());
                entry
            }
        };
        self.allowed(&entry)?;
        Ok(entry)
    }

    /// Refuses a token that is on the list of whom to deny. Each list is asked once.
    fn allowed(&self, entry: &Entry) -> Result<(), Refusal> {
        let list = self.0.deny.load();
        if entry.is_unchecked(list.generation) {
            list.deny.check(&entry.caller, entry.id.as_deref())?;
            entry.checked(list.generation);
        }
        Ok(())
    }

    async fn verify(&self, token: &[u8]) -> Result<Entry, Refusal> {
        let unverified = Unverified::parse(token)?;
        let issuer = match unverified.claims.get("iss") {
            Some(Value::String(iss)) => self.0.issuers.get(iss.as_str()),
            _ => return Err(Refusal::malformed("no issuer")),
        };
        let issuer =
            issuer.ok_or(Refusal::new(Reason::TokenIssuerUntrusted, "an issuer that is not configured"))?;
        let verified = issuer.verify(token, &unverified).await?;
        let claims = verified.claims;
        Ok(Entry {
            caller: verified.caller,
            id: claims.id,
            certificate: claims.certificate,
            issuer: issuer.clone(),
            keys: verified.generation,
            // None has this number, so the first comparison is always made.
            denied: AtomicU64::new(u64::MAX),
            ends: verified.ends,
        })
    }

    /// Whether the token belongs on a connection of this certificate. One that is bound
    /// needs its own, even behind a proxy: what a proxy has seen is not proved here.
    fn bound(&self, entry: &Entry, certificate: Option<&ClientCertificate>) -> Result<(), Refusal> {
        let Some(certificate) = certificate else {
            return match entry.certificate {
                Some(_) => Err(Refusal::certificate("the token is bound, and there is no certificate")),
                None => Ok(()),
            };
        };
        match entry.certificate {
            Some(bound) if bound == certificate.fingerprint => {}
            Some(_) => return Err(Refusal::certificate("the token is bound to another certificate")),
            None if self.is_proxy(certificate) => {}
            None => return Err(Refusal::certificate("neither bound to the token nor of a proxy")),
        }
        // A certificate that names nobody is good for being bound to, all the same.
        if let Ok(owner) = self.owner(certificate)
            && self.0.deny.load().deny.has_subject(owner.issuer(), owner.subject())
        {
            return Err(Refusal::revoked("the owner of the certificate is denied"));
        }
        self.0.authorities.same_tenant(certificate, &entry.caller)
    }

    /// The owner of a certificate. What was found once is kept, as it depends on the
    /// certificate and on what does not change while the gateway runs.
    fn owner(&self, certificate: &ClientCertificate) -> Result<Caller, Refusal> {
        let known = self.0.certificates.get(&certificate.fingerprint);
        if let Some(caller) = known.filter(|caller| caller.issuer() == certificate.authority) {
            return Ok(caller);
        }
        let caller = self.0.authorities.caller(certificate)?;
        self.0.certificates.insert(certificate.fingerprint, caller.clone());
        Ok(caller)
    }
}

/// Certificates at a time; each costs a few hundred bytes.
const CERTIFICATES: usize = 10_000;
