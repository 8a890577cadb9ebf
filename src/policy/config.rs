//! Where the policies are.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::BadValue;

/// Where the policies are: the section `[policy]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory. Every file `*.cedar` in it counts, those of directories in it do
    /// not.
    pub directory: PathBuf,
}

impl Config {
    /// The same with a relative path resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        Self { directory: base.join(self.directory) }
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let empty = self.directory.as_os_str().is_empty();
        empty.then(|| BadValue::new("policy.directory", "must name a directory")).into_iter().collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { directory: "/etc/skms/policies".into() }
    }
}
