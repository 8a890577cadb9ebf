//! Whose client certificates are taken, and who their owners are.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::model::BadValue;

/// An authority of client certificates: a section `[auth.certificates.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// Its certificates, in PEM: every chain ends in one of them.
    pub ca: PathBuf,
    /// Its lists of revoked certificates, in PEM.
    #[serde(default)]
    pub crls: Vec<PathBuf>,
    /// Which name of a certificate names the caller. There must be exactly one.
    pub identity: Identity,
    /// The roles of whoever has a certificate of this authority.
    #[serde(default)]
    pub roles: BTreeSet<String>,
    /// The tenant of whoever has one.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Whether only the names in `subjects` are callers.
    #[serde(default)]
    pub only_listed: bool,
    /// What single names have in place of the roles and the tenant above.
    #[serde(default)]
    pub subjects: BTreeMap<String, Subject>,
}

/// The kind of subject alternative name that names a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// A URI, such as a SPIFFE id.
    Uri,
    /// A DNS name.
    Dns,
    /// A mail address.
    Email,
}

/// One name among the certificates of an authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subject {
    /// The roles of this caller.
    pub roles: BTreeSet<String>,
    /// Its tenant.
    pub tenant: Option<String>,
}

impl Authority {
    pub(super) fn relative_to(self, base: &Path) -> Self {
        let crls = self.crls.into_iter().map(|path| base.join(path)).collect();
        Self { ca: base.join(self.ca), crls, ..self }
    }

    pub(super) fn bad_values(&self, section: &str) -> Vec<BadValue> {
        let mut bad: Vec<_> = BadValue::unless_path(&format!("{section}.ca"), &self.ca).into_iter().collect();
        for (index, path) in self.crls.iter().enumerate() {
            bad.extend(BadValue::unless_path(&format!("{section}.crls.{index}"), path));
        }
        bad.extend(super::bad_grant(section, &self.roles, self.tenant.as_deref()));
        for Subject { roles, tenant } in self.subjects.values() {
            bad.extend(super::bad_grant(&format!("{section}.subjects"), roles, tenant.as_deref()));
        }
        if self.subjects.keys().any(String::is_empty) {
            bad.push(BadValue::new(format!("{section}.subjects"), "a name must not be empty"));
        }
        if self.only_listed && self.subjects.is_empty() {
            bad.push(BadValue::new(
                format!("{section}.only_listed"),
                "nobody is listed; add `subjects`, or remove this",
            ));
        }
        bad
    }
}
