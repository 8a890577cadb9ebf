//! How a software backend is configured.

use std::{num::NonZeroUsize, path::Path};

use serde::Deserialize;
use skms_backend::{SecretRef, WorkersConfig};

/// Keys in software, encrypted at rest under one master key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the master key is kept: 32 random bytes, or 64 hexadecimal digits.
    pub master_key: SecretRef,
    /// Threads that compute.
    #[serde(default = "threads")]
    pub threads: NonZeroUsize,
    /// Calls that may wait for a thread; one more is refused at once.
    #[serde(default = "queue")]
    pub queue: NonZeroUsize,
}

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        self.master_key = self.master_key.relative_to(base);
        self
    }

    pub(crate) const fn workers(&self) -> WorkersConfig {
        WorkersConfig { contexts: self.threads, queue: self.queue }
    }
}

fn threads() -> NonZeroUsize {
    WorkersConfig::default().contexts
}

fn queue() -> NonZeroUsize {
    WorkersConfig::default().queue
}
