//! Where and how the gateway serves.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde::Deserialize;

use crate::{model::BadValue, transport::ListenAddress};

/// Where and how the gateway serves: the section `[server]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses to listen on: at least one, none twice.
    pub listen: Vec<ListenAddress>,
    /// Whether gRPC reflection tells callers what the API looks like.
    pub reflection: bool,
    /// How long accepted calls may take after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_grace: Duration,
}

impl Config {
    /// The same with relative socket paths resolved against `base`.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        self.listen = self.listen.into_iter().map(|address| address.relative_to(base)).collect();
        self
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let empty = self.listen.is_empty().then(|| {
            BadValue::new("server.listen", "must name at least one address, such as `127.0.0.1:7443`")
        });
        let mut seen = BTreeSet::new();
        let twice = self.listen.iter().enumerate().filter(|(_, address)| !seen.insert(*address)).map(
            |(index, address)| {
                BadValue::new(
                    format!("server.listen.{index}"),
                    format!("`{address}` is listed twice; remove one"),
                )
            },
        );
        let drain = BadValue::unless_span("server.drain_grace", self.drain_grace);
        empty.into_iter().chain(twice).chain(drain).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::Tcp(DEFAULT_ADDRESS.into())],
            reflection: false,
            drain_grace: Duration::from_secs(10),
        }
    }
}

/// Reached from this machine only, as long as callers are not authenticated.
const DEFAULT_ADDRESS: (std::net::Ipv4Addr, u16) = (std::net::Ipv4Addr::LOCALHOST, 7443);
