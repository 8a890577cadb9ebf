//! Who the owner of a client certificate is.
//!
//! **Invariant:** a caller is the name of the authority and one alternative name of the
//! certificate. The same name from another authority is another caller, and a
//! certificate of which two names could be meant is none.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    Caller, Method,
    caller::Proof,
    config::{Authority, Config, Identity},
    refusal::Refusal,
};
use crate::model::ClientCertificate;

/// The authorities and what their certificates stand for.
#[derive(Debug)]
pub(super) struct Authorities {
    by_name: HashMap<String, Authority>,
    /// The names of proxies, by authority.
    proxies: HashMap<String, HashSet<String>>,
}

impl Authorities {
    pub(super) fn new(config: &Config) -> Self {
        let mut proxies: HashMap<String, HashSet<String>> = HashMap::new();
        for (authority, name) in config.proxies.iter().filter_map(|proxy| proxy.split_once('/')) {
            proxies.entry(authority.to_owned()).or_default().insert(name.to_owned());
        }
        let by_name = config.certificates.iter().map(|(name, one)| (name.to_string(), one.clone())).collect();
        Self { by_name, proxies }
    }

    /// The caller that the certificate names.
    pub(super) fn caller(&self, certificate: &ClientCertificate) -> Result<Caller, Refusal> {
        let authority = self.authority(certificate)?;
        let subject = subject(authority, certificate)?;
        let (roles, tenant) = match authority.subjects.get(subject) {
            Some(listed) => (&listed.roles, &listed.tenant),
            None if authority.only_listed => return Err(Refusal::certificate("its name is not listed")),
            None => (&authority.roles, &authority.tenant),
        };
        Ok(proved(&certificate.authority, subject, roles, tenant.as_deref()))
    }

    /// The name of a certificate that may carry the tokens of others.
    pub(super) fn proxy<'c>(&self, certificate: &'c ClientCertificate) -> Option<&'c str> {
        let names = self.proxies.get(&certificate.authority)?;
        let subject = subject(self.authority(certificate).ok()?, certificate).ok()?;
        names.contains(subject).then_some(subject)
    }

    /// Refuses a token of another tenant than its certificate is for. A certificate
    /// that is for none goes with every token.
    pub(super) fn same_tenant(
        &self,
        certificate: &ClientCertificate,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let authority = self.authority(certificate)?;
        let listed = subject(authority, certificate).ok().and_then(|name| authority.subjects.get(name));
        let tenant = listed.map_or(&authority.tenant, |listed| &listed.tenant);
        match tenant.as_deref() {
            Some(tenant) if caller.tenant() != Some(tenant) => {
                Err(Refusal::certificate("it is for another tenant than the token"))
            }
            _ => Ok(()),
        }
    }

    fn authority(&self, certificate: &ClientCertificate) -> Result<&Authority, Refusal> {
        self.by_name.get(&certificate.authority).ok_or(Refusal::certificate("of no authority that is known"))
    }
}

/// The one name that counts.
fn subject<'c>(authority: &Authority, certificate: &'c ClientCertificate) -> Result<&'c str, Refusal> {
    let names = match authority.identity {
        Identity::Uri => &certificate.uris,
        Identity::Dns => &certificate.dns_names,
        Identity::Email => &certificate.emails,
    };
    match names.as_slice() {
        [name] if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) => {
            Err(Refusal::certificate("its name is empty, too long, or has control characters"))
        }
        // For many hosts, so for none.
        [name] if authority.identity == Identity::Dns && name.contains('*') => {
            Err(Refusal::certificate("its name is a pattern"))
        }
        [name] => Ok(name),
        [] => Err(Refusal::certificate("it has no name of the kind that counts")),
        [_, ..] => Err(Refusal::certificate("it has several names of the kind that counts")),
    }
}

fn proved(authority: &str, subject: &str, roles: &BTreeSet<String>, tenant: Option<&str>) -> Caller {
    Caller::new(Proof {
        method: Method::Certificate,
        issuer: authority.to_owned(),
        subject: subject.to_owned(),
        roles: roles.clone(),
        tenant: tenant.map(str::to_owned),
        // A connection does not outlive its certificate; its listener sees to that.
        expires: None,
        token: None,
        once: None,
    })
}

/// Far longer than any SPIFFE id in use; it goes into every record.
const MAX_NAME_BYTES: usize = 512;
