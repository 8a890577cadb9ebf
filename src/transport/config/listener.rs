//! One listener, as it is configured.
//!
//! **Invariant:** a listener that serves the API to other machines has TLS; one
//! without can be reached from this machine only.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;
use skms_backend::SecretRef;

use crate::{model::BadValue, transport::ListenAddress};

/// One listener: a section `[listeners.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub address: ListenAddress,
    /// What it serves.
    #[serde(default)]
    pub serves: Serves,
    /// Its certificate and those that lead to a root, in PEM, its own first.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The key of the certificate, in PEM. With both, it speaks TLS.
    #[serde(default)]
    pub key: Option<SecretRef>,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    /// Whose client certificates are taken: names of `[auth.certificates.NAME]`. Empty:
    /// those of all that there are.
    #[serde(default)]
    pub authorities: Vec<String>,
    /// Who may open the Unix socket, as file permissions.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Serves {
    /// Everything.
    #[default]
    Api,
    /// The health of the gateway and nothing else, to whoever asks: for probes.
    Health,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and may have none.
    Optional,
    /// Who has none is not connected.
    Required,
}

/// Permissions of a Unix socket, written `"0660"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mode(u32);

impl Config {
    /// A plain listener of the API.
    #[must_use]
    pub fn at(address: ListenAddress) -> Self {
        Self {
            address,
            serves: Serves::Api,
            certificate: None,
            key: None,
            client_certificates: ClientCertificates::None,
            authorities: Vec::new(),
            mode: None,
        }
    }

    pub(super) fn relative_to(self, base: &Path) -> Self {
        Self {
            address: self.address.relative_to(base),
            certificate: self.certificate.map(|path| base.join(path)),
            key: self.key.map(|key| key.relative_to(base)),
            ..self
        }
    }

    pub(super) fn bad_values(&self, section: &str, authorities: Option<&[&str]>) -> Vec<BadValue> {
        let bad = |field: &str, problem: &str| BadValue::new(format!("{section}.{field}"), problem);
        let is_unix = matches!(self.address, ListenAddress::Unix(_));
        let mut all = self.bad_clients(section, authorities);
        match (&self.certificate, &self.key) {
            (Some(_), None) => all.push(bad("certificate", "TLS takes a `key` as well; add it")),
            (None, Some(_)) => all.push(bad("key", "TLS takes a `certificate` as well; add it")),
            (Some(_), Some(_)) if is_unix => {
                all.push(bad("certificate", "a Unix socket does without TLS; remove it and the `key`"));
            }
            (Some(path), Some(_)) => {
                all.extend(BadValue::unless_path(&format!("{section}.certificate"), path));
            }
            (None, None) if self.serves == Serves::Api && !self.address.is_local() => {
                let problem = format!(
                    "`{}` can be reached from other machines, and is without TLS; add `certificate` and `key`, \
                     or listen on `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`",
                    self.address
                );
                all.push(bad("address", &problem));
            }
            (None, None) => {}
        }
        if self.mode.is_some() && !is_unix {
            all.push(bad("mode", "is for Unix sockets; remove it"));
        }
        all
    }

    fn bad_clients(&self, section: &str, authorities: Option<&[&str]>) -> Vec<BadValue> {
        let bad = |field: &str, problem: &str| BadValue::new(format!("{section}.{field}"), problem);
        if self.client_certificates == ClientCertificates::None {
            let problem = "clients are not asked for certificates; set `client_certificates`, or remove this";
            return self.authorities.first().map(|_| bad("authorities", problem)).into_iter().collect();
        }
        let mut all = Vec::new();
        if self.certificate.is_none() && self.key.is_none() {
            all.push(bad("client_certificates", "are shown in TLS only; add `certificate` and `key`"));
        }
        let Some(authorities) = authorities else { return all };
        if authorities.is_empty() {
            let problem = "nobody can vouch for them; add a section `[auth.certificates.NAME]`";
            all.push(bad("client_certificates", problem));
        }
        for (index, name) in self.authorities.iter().enumerate() {
            if !authorities.is_empty() && !authorities.contains(&name.as_str()) {
                let known = authorities.join("`, `");
                let problem = format!("no authority is called `{name}`; known are `{known}`");
                all.push(bad(&format!("authorities.{index}"), &problem));
            }
        }
        all
    }
}

impl Mode {
    /// The permissions as the system takes them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// That of its owner alone.
impl Default for Mode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        let octal = digits.len() == 3 && digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mode = u32::from_str_radix(digits, 8).map_err(|_| ModeError)?;
        if octal { Ok(Self(mode)) } else { Err(ModeError) }
    }
}

impl TryFrom<String> for Mode {
    type Error = ModeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text that is no permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write permissions in octal digits, such as `0660` for a group")]
pub struct ModeError;
