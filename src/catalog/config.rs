//! Where the catalog is kept.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::model::BadValue;

/// Where the catalog is kept: the section `[catalog]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The database, one SQLite file. It is made where it is missing.
    pub path: PathBuf,
    /// Time between two looks for what a crash left half done.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
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
        let path = BadValue::unless_path("catalog.path", &self.path);
        let sweep = BadValue::unless_interval("catalog.sweep_interval", self.sweep_interval);
        [path, sweep].into_iter().flatten().collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { path: "/var/lib/skms/catalog.db".into(), sweep_interval: Duration::from_secs(5 * 60) }
    }
}
