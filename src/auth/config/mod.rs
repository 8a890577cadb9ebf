//! Who can call, as it is configured: the section `[auth]`.

mod algorithm;
mod authority;
mod issuer;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub use self::{
    algorithm::Algorithm,
    authority::{Authority, Identity, Subject},
    issuer::{CertificateBound, Issuer, SingleUse},
    source::{JwksSource, JwksSourceError},
};
use crate::model::BadValue;
pub use crate::model::{Name, NameError};

/// Who can call: the section `[auth]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The list of whom not to let in although they could prove who they are.
    pub deny_file: Option<PathBuf>,
    /// Certificates that may carry the tokens of others, each the id of its owner
    /// as a caller: `AUTHORITY/NAME`.
    pub proxies: Vec<String>,
    /// The issuers of tokens.
    pub issuers: BTreeMap<Name, Issuer>,
    /// The authorities of client certificates.
    pub certificates: BTreeMap<Name, Authority>,
    /// The users of this machine that may call over a Unix socket.
    pub unix: BTreeMap<Name, LocalUser>,
}

/// A user of this machine: a section `[auth.unix.NAME]`. The caller is `unix/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalUser {
    /// Its number.
    pub uid: u32,
    /// Its roles.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// Its tenant.
    #[serde(default)]
    pub tenant: Option<String>,
}

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        let Self { deny_file, proxies, issuers, certificates, unix } = self;
        Self {
            deny_file: deny_file.map(|path| base.join(path)),
            proxies,
            issuers: issuers.into_iter().map(|(name, issuer)| (name, issuer.relative_to(base))).collect(),
            certificates: certificates
                .into_iter()
                .map(|(name, authority)| (name, authority.relative_to(base)))
                .collect(),
            unix,
        }
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let mut bad = Vec::new();
        if let Some(path) = &self.deny_file {
            bad.extend(BadValue::unless_path("auth.deny_file", path));
        }
        bad.extend(self.bad_names());
        let mut known = BTreeSet::new();
        for (name, issuer) in &self.issuers {
            bad.extend(issuer.bad_values(&format!("auth.issuers.{name}")));
            if !known.insert(&issuer.issuer) {
                let problem = format!("`{}` is the issuer of another section, too", issuer.issuer);
                bad.push(BadValue::new(format!("auth.issuers.{name}.issuer"), problem));
            }
        }
        for (name, authority) in &self.certificates {
            bad.extend(authority.bad_values(&format!("auth.certificates.{name}")));
        }
        let mut users = BTreeSet::new();
        for (name, user) in &self.unix {
            let section = format!("auth.unix.{name}");
            bad.extend(bad_grant(&section, &user.roles, user.tenant.as_deref()));
            if !users.insert(user.uid) {
                let problem = format!("`{}` is the uid of another section, too", user.uid);
                bad.push(BadValue::new(format!("{section}.uid"), problem));
            }
        }
        for (index, proxy) in self.proxies.iter().enumerate() {
            let known = |authority| self.certificates.contains_key(authority);
            if !proxy.split_once('/').is_some_and(|(authority, name)| known(authority) && !name.is_empty()) {
                let problem =
                    format!("`{proxy}` is not of the form AUTHORITY/NAME with a configured authority");
                bad.push(BadValue::new(format!("auth.proxies.{index}"), problem));
            }
        }
        bad
    }

    /// A name is the first part of the ids of callers, so none may have two owners.
    /// Local users stand under `unix` and take part only so that nobody is misled.
    fn bad_names(&self) -> Vec<BadValue> {
        let issuers = self.issuers.keys().map(|name| ("issuers", name));
        let certificates = self.certificates.keys().map(|name| ("certificates", name));
        let unix = self.unix.keys().map(|name| ("unix", name));
        let mut kinds = BTreeMap::new();
        let mut bad = Vec::new();
        for (kind, name) in issuers.chain(certificates).chain(unix) {
            let problem = if RESERVED.contains(&name.as_str()) {
                format!("`{name}` is what the gateway calls others by; choose another name")
            } else if let Some(first) = kinds.insert(name, kind) {
                format!("the name is taken by `auth.{first}.{name}`; a name is used once over all kinds")
            } else {
                continue;
            };
            bad.push(BadValue::new(format!("auth.{kind}.{name}"), problem));
        }
        bad
    }
}

/// Refuses roles and tenants that no rule could name.
fn bad_grant(section: &str, roles: &BTreeSet<String>, tenant: Option<&str>) -> Vec<BadValue> {
    let roles = roles.iter().any(String::is_empty).then_some(("roles", "a role must not be empty"));
    let tenant = tenant.is_some_and(str::is_empty).then_some(("tenant", "must not be empty"));
    let both = roles.into_iter().chain(tenant);
    both.map(|(field, problem)| BadValue::new(format!("{section}.{field}"), problem)).collect()
}

/// The issuers of callers that have no configured issuer.
const RESERVED: [&str; 3] = ["unix", "gateway", "local"];
