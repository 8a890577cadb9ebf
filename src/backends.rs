//! The only file that names concrete backends, and the only one that asks which
//! of them were compiled in.

mod info;
#[cfg(all(feature = "software", feature = "tpm"))]
mod sealed;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use skms_backend::{KeyBackend, KeyRef, RootKey, WorkersConfig};
#[cfg(feature = "pkcs11")]
use skms_backend_pkcs11::Config as Pkcs11;
#[cfg(feature = "software")]
use skms_backend_software::{Config as Software, MasterKey};
#[cfg(feature = "tpm")]
use skms_backend_tpm::Config as Tpm;
#[cfg(all(feature = "software", feature = "tpm"))]
use tokio::runtime::Handle;
use uuid::Uuid;

pub use self::info::{Availability, BackendInfo, Backends, Devices, Probed};
use crate::{
    model::{BackendName, BadValue},
    telemetry::metrics,
};

/// Opens every backend. Blocks, and must be called in a runtime. `sealed` gives one of the
/// keys that a backend has sealed earlier, if there is one, to see whether it still can open
/// it.
///
/// # Errors
/// Names the backend that could not be opened.
#[cfg_attr(
    any(not(feature = "pkcs11"), not(any(feature = "software", feature = "tpm"))),
    expect(unused_variables, reason = "not every kind of backend needs all of it")
)]
pub fn open(
    config: &Config,
    (instance, catalog): (Uuid, &Path),
    sealed: impl Fn(&BackendName) -> Option<KeyRef>,
) -> Result<(Devices, Arc<Backends>), Error> {
    let mut map: BTreeMap<BackendName, Arc<dyn KeyBackend>> = BTreeMap::new();
    #[cfg(feature = "pkcs11")]
    for (name, config) in &config.pkcs11 {
        let times = Arc::new(metrics().device(name.as_str()));
        let instance = instance.to_string();
        let mut latch = catalog.as_os_str().to_owned();
        latch.push(format!("-refused-pin-{name}"));
        let latch = Some(Path::new(&latch));
        let backend =
            skms_backend_pkcs11::Pkcs11Backend::open(name.as_str(), config, &instance, latch, times)
                .map_err(|source| Error { backend: name.clone(), source })?;
        map.insert(name.clone(), Arc::new(backend));
    }
    #[cfg(feature = "tpm")]
    for (name, config) in &config.tpm {
        let backend = open_tpm(name, config, sealed(name).as_ref())?;
        map.insert(name.clone(), backend);
    }
    // Behind the TPMs, which may have its master key.
    #[cfg(feature = "software")]
    for (name, config) in &config.software {
        let times = Arc::new(metrics().device(name.as_str()));
        let kept = sealed(name);
        let failed = |source| Error { backend: name.clone(), source };
        let master = unsealed(&map, name, config, kept.is_some()).map_err(failed)?;
        let backend = skms_backend_software::SoftwareBackend::open(name.as_str(), config, master, times)
            .map_err(failed)?;
        if let Some(key) = kept {
            backend.recognises(&key).map_err(failed)?;
        }
        map.insert(name.clone(), Arc::new(backend));
    }
    let order = config.placement.order.as_slice();
    Ok(info::split(map, order))
}

#[cfg(feature = "tpm")]
fn open_tpm(name: &BackendName, config: &Tpm, sealed: Option<&KeyRef>) -> Result<Arc<dyn KeyBackend>, Error> {
    let times = Arc::new(metrics().device(name.as_str()));
    let backend = skms_backend_tpm::TpmBackend::open(name.as_str(), config, sealed, times)
        .map_err(|source| Error { backend: name.clone(), source })?;
    Ok(Arc::new(backend))
}

/// The master key of a software backend, where a TPM has it.
#[cfg(all(feature = "software", feature = "tpm"))]
fn unsealed(
    map: &BTreeMap<BackendName, Arc<dyn KeyBackend>>,
    name: &BackendName,
    config: &Software,
    is_used: bool,
) -> Result<Option<RootKey>, skms_backend::Error> {
    let MasterKey::Sealed { tpm, file } = &config.master_key else { return Ok(None) };
    let tpm = map.iter().find(|(name, _)| name.as_str() == tpm).map(|(_, device)| device);
    let tpm = tpm.ok_or_else(|| unopened(NO_TPM))?;
    Handle::current().block_on(sealed::open(tpm.as_ref(), (name, file), is_used)).map(Some)
}

#[cfg(all(feature = "software", not(feature = "tpm")))]
fn unsealed(
    _: &BTreeMap<BackendName, Arc<dyn KeyBackend>>,
    _: &BackendName,
    config: &Software,
    _: bool,
) -> Result<Option<RootKey>, skms_backend::Error> {
    match config.master_key {
        MasterKey::Secret(_) => Ok(None),
        MasterKey::Sealed { .. } => Err(unopened("TPMs are not part of this build")),
    }
}

/// Seals the master key of a software backend to the TPM that its configuration names, into
/// a file that is not there yet. Blocks, and must be called in a runtime.
///
/// # Errors
/// Names the backend that could not be opened, or that has no such file.
#[cfg(all(feature = "software", feature = "tpm"))]
pub fn seal_master_key(
    config: &Config,
    name: &BackendName,
    key: &RootKey,
) -> Result<std::path::PathBuf, Error> {
    let failed = |source| Error { backend: name.clone(), source };
    let none = |why: &'static str| failed(unopened(why));
    let software = config
        .software
        .get(name)
        .ok_or_else(|| none("it is no `[backends.software]` of the configuration"))?;
    let MasterKey::Sealed { tpm, file } = &software.master_key else {
        return Err(none("its `master_key` is not `tpm:NAME:FILE`"));
    };
    let found = config.tpm.iter().find(|(name, _)| name.as_str() == tpm);
    let (tpm, config) = found.ok_or_else(|| none(NO_TPM))?;
    let device = open_tpm(tpm, config, None)?;
    let runtime = Handle::current();
    let done = runtime.block_on(sealed::seal(device.as_ref(), (name, file), key));
    runtime.block_on(device.close());
    done.map(|()| file.clone()).map_err(failed)
}

/// Names the backend, as this build seals nothing.
///
/// # Errors
/// Always.
#[cfg(not(all(feature = "software", feature = "tpm")))]
pub fn seal_master_key(_: &Config, name: &BackendName, _: &RootKey) -> Result<std::path::PathBuf, Error> {
    let why = "software backends and TPMs are not both part of this build";
    Err(Error { backend: name.clone(), source: unopened(why) })
}

/// A backend that cannot be opened as it is configured, or by this build.
fn unopened(why: &'static str) -> skms_backend::Error {
    skms_backend::Error::new(skms_backend::Class::Broken, skms_backend::Operation::Open).detail(why)
}

#[cfg(all(feature = "software", feature = "tpm"))]
const NO_TPM: &str = "its `master_key` names no TPM of the configuration";

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

/// The pool of a backend, as far as it is configured.
struct Pool<'a> {
    kind: &'static str,
    name: &'a BackendName,
    /// How many contexts there are, under the name of that option.
    contexts: Option<(&'static str, NonZeroUsize)>,
    queue: NonZeroUsize,
    hang_limit: Option<Duration>,
}

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

    /// What must be put into the environment of the process before a backend is opened, so
    /// that a library that logs on its own does not write into the log.
    ///
    /// # Errors
    /// When there is nowhere else for it to write.
    pub fn environment(&self) -> io::Result<Vec<(&'static str, OsString)>> {
        #[cfg(feature = "tpm")]
        if !self.tpm.is_empty() {
            return skms_backend_tpm::log::environment();
        }
        Ok(Vec::new())
    }

    fn pools(&self) -> Vec<Pool<'_>> {
        let mut pools = Vec::new();
        #[cfg(feature = "pkcs11")]
        for (name, config) in &self.pkcs11 {
            pools.push(Pool {
                kind: "pkcs11",
                name,
                contexts: Some(("sessions", config.sessions)),
                queue: config.queue,
                hang_limit: Some(config.hang_limit),
            });
        }
        #[cfg(feature = "tpm")]
        for (name, config) in &self.tpm {
            // A TPM has one context, and no option for more.
            pools.push(Pool {
                kind: "tpm",
                name,
                contexts: None,
                queue: config.queue,
                hang_limit: Some(config.hang_limit),
            });
        }
        #[cfg(feature = "software")]
        for (name, config) in &self.software {
            pools.push(Pool {
                kind: "software",
                name,
                contexts: Some(("threads", config.threads)),
                queue: config.queue,
                hang_limit: None,
            });
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
        for Pool { kind, name, contexts, queue, hang_limit } in self.pools() {
            if let Some(limit) = hang_limit {
                bad.extend(BadValue::unless_interval(&format!("backends.{kind}.{name}.hang_limit"), limit));
            }
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
        #[cfg(feature = "software")]
        for (name, config) in &self.software {
            if let MasterKey::Sealed { tpm, .. } = &config.master_key
                && !self.tpm.keys().any(|known| known.as_str() == tpm)
            {
                let problem = "names a TPM that is not configured; add a section `[backends.tpm.NAME]`";
                bad.push(BadValue::new(format!("backends.software.{name}.master_key"), problem));
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
