//! Where the audit log is kept, and how safely.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::BadValue;

/// Where the audit log is kept: the section `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The log, one JSON object a line. It is made where it is missing.
    pub path: PathBuf,
    /// How safe a record is before the answer leaves.
    pub durability: Durability,
}

/// How safe a record is before the answer leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Handed to the operating system: outlives the process, not a power cut.
    #[default]
    Write,
    /// On the disk: outlives a power cut, and costs every call a disk flush.
    Fsync,
}

impl Config {
    /// The same with a relative path resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        Self { path: base.join(self.path), ..self }
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        BadValue::unless_path("audit.path", &self.path).into_iter().collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { path: "/var/log/skms/audit.jsonl".into(), durability: Durability::default() }
    }
}
