//! How the gateway serves.

use std::time::Duration;

use serde::Deserialize;

use crate::model::BadValue;

/// How the gateway serves: the section `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether gRPC reflection tells callers what the API looks like.
    pub reflection: bool,
    /// How long accepted calls may take after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
}

impl Config {
    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        BadValue::unless_span("server.drain_grace", self.drain_grace).into_iter().collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { reflection: false, drain_grace: Duration::from_secs(10) }
    }
}
