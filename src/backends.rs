//! The only file that names concrete backends, and the only one that asks which
//! of them were compiled in.

mod info;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
};

use serde::Deserialize;
use skms_backend::{KeyBackend, KeyRef, WorkersConfig};
#[cfg(feature = "pkcs11")]
use skms_backend_pkcs11::Config as Pkcs11;
#[cfg(feature = "software")]
use skms_backend_software::Config as Software;
#[cfg(feature = "tpm")]
use skms_backend_tpm::Config as Tpm;
use uuid::Uuid;

pub use self::info::{Availability, BackendInfo, Backends, Devices, Probed};
use crate::{
    model::{BackendName, BadValue},
    telemetry::metrics,
};

/// Opens every backend. Blocks. `sealed` gives one of the keys that a backend has
/// sealed earlier, if there is one, to see whether it still can open it.
///
/// # Errors
/// Names the backend that could not be opened.
pub fn open(
    config: &Config,
    instance: Uuid,
    sealed: impl Fn(&BackendName) -> Option<KeyRef>,
) -> Result<(Devices, Arc<Backends>), Error> {
    let mut map: BTreeMap<BackendName, Arc<dyn KeyBackend>> = BTreeMap::new();
    #[cfg(feature = "pkcs11")]
    for (name, config) in &config.pkcs11 {
        let times = Arc::new(metrics().device(name.as_str()));
        let instance = instance.to_string();
        let backend = skms_backend_pkcs11::Pkcs11Backend::open(name.as_str(), config, &instance, times)
            .map_err(|source| Error { backend: name.clone(), source })?;
        map.insert(name.clone(), Arc::new(backend));
    }
    #[cfg(feature = "software")]
    for (name, config) in &config.software {
        let times = Arc::new(metrics().device(name.as_str()));
        let backend = skms_backend_software::SoftwareBackend::open(name.as_str(), config, times)
            .map_err(|source| Error { backend: name.clone(), source })?;
        if let Some(key) = sealed(name) {
            backend.recognises(&key).map_err(|source| Error { backend: name.clone(), source })?;
        }
        map.insert(name.clone(), Arc::new(backend));
    }
    #[cfg(feature = "tpm")]
    for (name, config) in &config.tpm {
        let times = Arc::new(metrics().device(name.as_str()));
        let backend = skms_backend_tpm::TpmBackend::open(name.as_str(), config, sealed(name).as_ref(), times)
            .map_err(|source| Error { backend: name.clone(), source })?;
        map.insert(name.clone(), Arc::new(backend));
    }
    let order = config.placement.order.as_slice();
    Ok(info::split(map, order))
}

impl Error {
    /// Whether opening it again will fail in the same way until somebody has changed
    /// a secret: the PIN was refused, or a secret cannot be read or used.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        let mut cause = std::error::Error::source(&self.source);
        while let Some(step) = cause {
            if step.is::<skms_backend::SecretRefError>() {
                return true;
            }
            cause = step.source();
        }
        // Another master key than the one that its keys are sealed under, or another TPM.
        matches!(self.source.class(), skms_backend::Class::Pin | skms_backend::Class::Key)
    }
}

/// Backends that a test has made itself.
#[cfg(test)]
pub(crate) fn of(map: BTreeMap<BackendName, Arc<dyn KeyBackend>>) -> (Devices, Arc<Backends>) {
    info::split(map, &[])
}

/// A backend that could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the backend `{backend}`")]
pub struct Error {
    backend: BackendName,
    source: skms_backend::Error,
}

/// The backends by kind and name: the sections `[backends.KIND.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// PKCS#11 tokens.
    pub pkcs11: BTreeMap<BackendName, Pkcs11>,
    /// Keys in software.
    pub software: BTreeMap<BackendName, Software>,
    /// TPMs.
    pub tpm: BTreeMap<BackendName, Tpm>,
    /// Where new keys go. A section of its own in the file.
    #[serde(skip)]
    pub placement: Placement,
}

/// Where new keys go: the section `[placement]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// Backends in the order in which they are tried. Where it is empty: by falling
    /// protection level, then by name.
    pub order: Vec<BackendName>,
}

/// The pool of a backend: its kind and name, how many contexts there are under the name of
/// that option, and how long its queue is.
type Pool<'a> = (&'static str, &'a BackendName, Option<(&'static str, NonZeroUsize)>, NonZeroUsize);

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        let Self { pkcs11, software, tpm, placement } = self;
        Self {
            pkcs11: pkcs11.into_iter().map(|(name, config)| (name, config.relative_to(base))).collect(),
            software: software.into_iter().map(|(name, config)| (name, config.relative_to(base))).collect(),
            tpm: tpm.into_iter().map(|(name, config)| (name, config.relative_to(base))).collect(),
            placement,
        }
    }

    /// The kind and name of each backend.
    pub fn names(&self) -> impl Iterator<Item = (&'static str, &BackendName)> {
        let Self { pkcs11, software, tpm, placement: _ } = self;
        let pkcs11 = pkcs11.keys().map(|name| ("pkcs11", name));
        let tpm = tpm.keys().map(|name| ("tpm", name));
        pkcs11.chain(software.keys().map(|name| ("software", name))).chain(tpm)
    }

    /// What must stand in the environment of the process before a backend is opened, so that
    /// a library that writes on its own does not write into the log.
    #[must_use]
    pub fn environment(&self) -> Option<(&'static str, &'static str)> {
        let Self { tpm, .. } = self;
        (!tpm.is_empty()).then_some(("TSS2_LOG", "all+none"))
    }

    fn pools(&self) -> Vec<Pool<'_>> {
        let mut pools = Vec::new();
        #[cfg(feature = "pkcs11")]
        for (name, config) in &self.pkcs11 {
            pools.push(("pkcs11", name, Some(("sessions", config.sessions)), config.queue));
        }
        #[cfg(feature = "tpm")]
        for (name, config) in &self.tpm {
            // A TPM has one context, and no option for more.
            pools.push(("tpm", name, None, config.queue));
        }
        #[cfg(feature = "software")]
        for (name, config) in &self.software {
            pools.push(("software", name, Some(("threads", config.threads)), config.queue));
        }
        pools
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let mut bad = Vec::new();
        let mut kinds = BTreeMap::new();
        for (kind, name) in self.names() {
            if let Some(first) = kinds.insert(name, kind) {
                let problem = format!(
                    "the name is taken by `backends.{first}.{name}`; a name is used once over all kinds"
                );
                bad.push(BadValue::new(format!("backends.{kind}.{name}"), problem));
            }
        }
        if kinds.is_empty() {
            bad.push(BadValue::new(
                "backends",
                "at least one backend is needed; add a section `[backends.pkcs11.NAME]`, \
                 `[backends.tpm.NAME]` or `[backends.software.NAME]`",
            ));
        }
        for (kind, name, contexts, queue) in self.pools() {
            let contexts = contexts.map(|(option, value)| (option, value, WorkersConfig::MAX_CONTEXTS));
            let queue = ("queue", queue, WorkersConfig::MAX_QUEUE);
            for (option, value, most) in contexts.into_iter().chain([queue]) {
                let value = value.get();
                if value > most {
                    let problem = format!("must be at most {most}, not `{value}`");
                    bad.push(BadValue::new(format!("backends.{kind}.{name}.{option}"), problem));
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (index, name) in self.placement.order.iter().enumerate() {
            let problem = if kinds.is_empty() {
                continue; // said already
            } else if !kinds.contains_key(name) {
                let known: Vec<_> = kinds.keys().map(|name| format!("`{name}`")).collect();
                format!("no backend is called `{name}`; known are {}", known.join(", "))
            } else if !seen.insert(name) {
                format!("`{name}` is listed twice; remove one")
            } else {
                continue;
            };
            bad.push(BadValue::new(format!("placement.order.{index}"), problem));
        }
        bad
    }
}

#[cfg(not(feature = "pkcs11"))]
use NotCompiledIn as Pkcs11;
#[cfg(not(feature = "software"))]
use NotCompiledIn as Software;
#[cfg(not(feature = "tpm"))]
use NotCompiledIn as Tpm;

/// Stands for the configuration of a backend that is not part of this build. It has
/// no values, and says so when somebody configures one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde::de::IgnoredAny")]
pub enum NotCompiledIn {}

impl NotCompiledIn {
    /// Never called, as there are no values.
    #[must_use]
    pub fn relative_to(self, _: &Path) -> Self {
        match self {}
    }
}

impl TryFrom<serde::de::IgnoredAny> for NotCompiledIn {
    type Error = &'static str;

    fn try_from(_: serde::de::IgnoredAny) -> Result<Self, Self::Error> {
        Err(
            "this kind of backend is not part of this build; build skms with the cargo feature of the same name",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_is_not_compiled_in_is_refused_only_where_it_is_configured() {
        let read = toml::from_str::<BTreeMap<BackendName, NotCompiledIn>>;
        assert!(read("").unwrap().is_empty());
        let error = read("[hsm]\nmodule = 'm'\n").unwrap_err();
        assert!(error.message().contains("is not part of this build"), "{error}");
    }
}
