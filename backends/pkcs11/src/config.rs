//! How a PKCS#11 backend is configured.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use skms_backend::{ProtectionLevel, SecretRef, WorkersConfig};

use crate::TokenSelector;

/// One token behind one PKCS#11 module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The module, a shared library of the vendor.
    pub module: PathBuf,
    /// Which token: `label:LABEL`, `serial:SERIAL` or a PKCS#11 URI (RFC 7512).
    /// Never a slot number, because those change.
    pub token: TokenSelector,
    /// Where the user PIN is kept.
    pub pin: SecretRef,
    /// How well the token protects its keys.
    #[serde(default = "hsm")]
    pub protection_level: ProtectionLevel,
    /// Whether a key that was taken over (AdoptKey) is removed from the token when it is
    /// destroyed; it is left there otherwise.
    #[serde(default)]
    pub destroy_adopted: bool,
    /// Sessions with the token, each with a thread of its own.
    #[serde(default = "sessions")]
    pub sessions: NonZeroUsize,
    /// Calls that may wait for a session; one more is refused at once.
    #[serde(default = "queue")]
    pub queue: NonZeroUsize,
    /// A call that takes longer is taken for one that does not come back.
    #[serde(default = "hang_limit", with = "humantime_serde")]
    pub hang_limit: Duration,
}

impl Config {
    /// The same with relative paths resolved against `base`. A module without a
    /// slash is left to the search path of the dynamic linker.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        if self.module.components().count() > 1 {
            self.module = base.join(self.module);
        }
        self.pin = self.pin.relative_to(base);
        self
    }

    pub(crate) const fn workers(&self) -> WorkersConfig {
        WorkersConfig { contexts: self.sessions, queue: self.queue, hang_limit: self.hang_limit }
    }
}

const fn hsm() -> ProtectionLevel {
    ProtectionLevel::Hsm
}

fn sessions() -> NonZeroUsize {
    WorkersConfig::default().contexts
}

fn queue() -> NonZeroUsize {
    WorkersConfig::default().queue
}

const fn hang_limit() -> Duration {
    WorkersConfig::HANG_LIMIT
}
