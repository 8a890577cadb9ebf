//! Where and how connections are taken: the sections `[listeners.NAME]` and
//! `[connections]`.

mod connections;
mod listener;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    path::Path,
};

use serde::Deserialize;

pub use self::{
    connections::Connections,
    listener::{ClientCertificates, Config, Mode, ModeError, Serves},
};
use super::ListenAddress;
use crate::model::BadValue;
pub use crate::model::{Name, NameError};

/// The listeners by name: at least one, none of them at the address of another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Listeners(BTreeMap<Name, Config>);

impl Listeners {
    /// The listeners, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Config)> {
        self.0.iter()
    }

    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        Self(self.0.into_iter().map(|(name, listener)| (name, listener.relative_to(base))).collect())
    }

    /// The values that cannot work, given the names of the authorities of client
    /// certificates, where those are known.
    #[must_use]
    pub fn bad_values(&self, authorities: Option<&[&str]>) -> Vec<BadValue> {
        let mut bad = Vec::new();
        if self.0.is_empty() {
            bad.push(BadValue::new("listeners", "must name at least one; add a section `[listeners.NAME]`"));
        }
        let mut seen = BTreeSet::new();
        for (name, listener) in &self.0 {
            let section = format!("listeners.{name}");
            bad.extend(listener.bad_values(&section, authorities));
            if !listener.address.is_any_port() && !seen.insert(&listener.address) {
                let problem = format!("`{}` is the address of another listener, too", listener.address);
                bad.push(BadValue::new(format!("{section}.address"), problem));
            }
        }
        bad
    }
}

impl Default for Listeners {
    fn default() -> Self {
        let api = Config::at(ListenAddress::Tcp((Ipv4Addr::LOCALHOST, PORT).into()));
        // What it is called is a name, so there is one.
        Self("api".parse().into_iter().map(|name| (name, api.clone())).collect())
    }
}

const PORT: u16 = 7443;
