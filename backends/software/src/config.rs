//! How a software backend is configured.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::Deserialize;
use skms_backend::{SecretRef, WorkersConfig};
use zeroize::Zeroizing;

/// Keys in software, encrypted at rest under one master key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the master key is kept: 32 random bytes, or 64 hexadecimal digits.
    pub master_key: MasterKey,
    /// Threads that compute.
    #[serde(default = "threads")]
    pub threads: NonZeroUsize,
    /// Calls that may wait for a thread; one more is refused at once.
    #[serde(default = "queue")]
    pub queue: NonZeroUsize,
}

/// Where a master key is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum MasterKey {
    /// As it is, in one of the places for secrets.
    Secret(SecretRef),
    /// `tpm:NAME:FILE`: in that file, which only the TPM of that name opens.
    Sealed {
        /// The backend of the TPM.
        tpm: String,
        /// The file.
        file: PathBuf,
    },
}

impl FromStr for MasterKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix("tpm:") else { return text.parse().map(Self::Secret) };
        match rest.split_once(':') {
            Some((tpm, file)) if !tpm.is_empty() && !file.is_empty() => {
                Ok(Self::Sealed { tpm: tpm.to_owned(), file: file.into() })
            }
            // It may be a secret, so nothing of it is repeated.
            _ => Err(
                "a master key that a TPM seals is `tpm:NAME:FILE`: the name of `[backends.tpm.NAME]`, and a file",
            ),
        }
    }
}

impl TryFrom<String> for MasterKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Zeroizing::new(text).parse()
    }
}

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        self.master_key = match self.master_key {
            MasterKey::Secret(reference) => MasterKey::Secret(reference.relative_to(base)),
            MasterKey::Sealed { tpm, file } => MasterKey::Sealed { tpm, file: base.join(file) },
        };
        self
    }

    pub(crate) const fn workers(&self) -> WorkersConfig {
        WorkersConfig { contexts: self.threads, queue: self.queue, hang_limit: WorkersConfig::HANG_LIMIT }
    }
}

fn threads() -> NonZeroUsize {
    WorkersConfig::default().contexts
}

fn queue() -> NonZeroUsize {
    WorkersConfig::default().queue
}
