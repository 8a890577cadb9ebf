//! A caller, as everything behind the front door sees it.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::SystemTime,
};

use aws_lc_rs::digest;
use skms_backend::Flow;

use super::replay::Once;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// By a token that its issuer signed.
    Token,
    /// By a client certificate alone.
    Certificate,
    /// By the user that the kernel names at the other end of a Unix socket.
    Unix,
    /// It is the gateway itself, doing what nobody asked it for.
    Gateway,
}

impl Method {
    /// The name in audit records and policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Unix => "unix",
            Self::Gateway => "gateway",
        }
    }
}

/// Who is calling. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    proof: Proof,
    id: String,
    digest: [u8; 32],
}

/// What was proved of a caller. The proof itself is not in it.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) method: Method,
    /// Who vouches: the configured name of the issuer of tokens or of the authority
    /// of certificates, `unix`, or `gateway`.
    pub(super) issuer: String,
    /// Whom it vouches for, in its own words.
    pub(super) subject: String,
    pub(super) roles: BTreeSet<String>,
    pub(super) tenant: Option<String>,
    /// When the proof ends; `None` where it does not by itself.
    pub(super) expires: Option<SystemTime>,
    /// The id of its token, if it has one.
    pub(super) token: Option<String>,
    /// Its token, where that is good for one change.
    pub(super) once: Option<Once>,
}

impl Caller {
    pub(super) fn new(proof: Proof) -> Self {
        let id = format!("{}/{}", proof.issuer, proof.subject);
        // Every part with its length, so that no two identities read alike.
        let mut context = digest::Context::new(&digest::SHA256);
        let tenant = proof.tenant.as_deref();
        let parts = [proof.method.name(), &proof.issuer, &proof.subject, tenant.unwrap_or_default()];
        for part in parts.into_iter().chain(proof.roles.iter().map(String::as_str)) {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(&[u8::from(tenant.is_some())]);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(Arc::new(Inside { proof, id, digest: bytes }))
    }

    /// The gateway itself.
    #[must_use]
    pub(crate) fn gateway() -> Self {
        Self::new(Proof {
            method: Method::Gateway,
            issuer: "gateway".to_owned(),
            subject: "itself".to_owned(),
            roles: BTreeSet::new(),
            tenant: None,
            expires: None,
            token: None,
            once: None,
        })
    }

    /// Whose request ids are its own: the caller as a member of its tenant. The same
    /// subject in another tenant repeats nothing.
    #[must_use]
    pub fn principal(&self) -> String {
        match self.tenant() {
            // No id begins so: the name of an issuer has no colon.
            Some(tenant) => format!("{}:{tenant}:{}", tenant.len(), self.id()),
            None => self.id().to_owned(),
        }
    }

    /// Who it is: the issuer and the subject, `corp/alice`. The owner of what it
    /// creates.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The configured name of who vouches for it. Never holds a `/`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.proof.issuer
    }

    /// Whom that vouches for, in its own words.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.proof.subject
    }

    /// What it is said to be, such as `signer`.
    #[must_use]
    pub fn roles(&self) -> &BTreeSet<String> {
        &self.0.proof.roles
    }

    /// The tenant it belongs to, where there are tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.0.proof.tenant.as_deref()
    }

    /// How it proved that.
    #[must_use]
    pub fn method(&self) -> Method {
        self.0.proof.method
    }

    /// When its proof ends; `None` where it does not by itself.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.0.proof.expires
    }

    /// The id of its token, if it has one.
    pub(super) fn token(&self) -> Option<&str> {
        self.0.proof.token.as_deref()
    }

    /// Its token, where that is good for one change.
    pub(super) fn once(&self) -> Option<&Once> {
        self.0.proof.once.as_ref()
    }

    /// A digest of everything a decision may depend on: method, issuer, subject,
    /// tenant and roles. Two callers of the same digest are the same to a policy.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }

    /// Whose work its calls are, for queues that know no names.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let mut hasher = DefaultHasher::new();
        self.0.id.hash(&mut hasher);
        Flow(hasher.finish())
    }

    /// A caller that nobody has proved to be: `skms policy explain` tells what it could
    /// do. Nothing else may be decided with it.
    #[must_use]
    pub(crate) fn hypothetical(
        method: Method,
        issuer: &str,
        subject: &str,
        roles: BTreeSet<String>,
        tenant: Option<String>,
    ) -> Self {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        Self::new(Proof { method, issuer, subject, roles, tenant, expires: None, token: None, once: None })
    }

    /// A caller for the tests of other floors.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn sample(issuer: &str, subject: &str, roles: &[&str], tenant: Option<&str>) -> Self {
        Self::new(Proof {
            method: Method::Token,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
            tenant: tenant.map(str::to_owned),
            expires: None,
            token: None,
            once: None,
        })
    }
}
