//! The two sides of what was opened: [`Backends`], which anybody may look at, and
//! [`Devices`], which can use keys and goes to the gate alone.
//!
//! **Invariant:** `Devices` cannot be cloned and is not kept here, so whoever was
//! given it is the only one who has it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::RwLock;
use skms_backend::{Capabilities, Class, KeyBackend, OpContext, WorkersStatus};
use tracing::{info, warn};

use crate::model::BackendName;

/// The two sides of these backends, sorted: those in `order` first, then the best
/// protected, then by name.
pub(super) fn split(
    map: BTreeMap<BackendName, Arc<dyn KeyBackend>>,
    order: &[BackendName],
) -> (Devices, Arc<Backends>) {
    let mut list: Vec<_> = map
        .iter()
        .map(|(name, backend)| BackendInfo {
            name: name.clone(),
            backend: Arc::clone(backend),
            probed: RwLock::default(),
        })
        .collect();
    list.sort_by_key(|info| {
        let wished = order.iter().position(|name| *name == info.name);
        let level = info.capabilities().protection_level;
        (wished.unwrap_or(usize::MAX), std::cmp::Reverse(level), info.name.clone())
    });
    (Devices { map }, Arc::new(Backends { list }))
}

/// Whether a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It answers.
    Available,
    /// It answers, with some of its contexts lost.
    Degraded,
    /// It does not answer.
    Unavailable,
}

/// What the last probe found.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// Whether the backend answered.
    pub availability: Availability,
    /// When it was asked.
    pub time: SystemTime,
    /// How long it took.
    pub duration: Duration,
}

/// What may be known of a backend without using its keys.
pub struct BackendInfo {
    name: BackendName,
    backend: Arc<dyn KeyBackend>,
    probed: RwLock<Option<Probed>>,
}

impl BackendInfo {
    /// The name that the configuration gives it.
    #[must_use]
    pub const fn name(&self) -> &BackendName {
        &self.name
    }

    /// What it can do.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.backend.capabilities()
    }

    /// The pool in front of it.
    #[must_use]
    pub fn status(&self) -> WorkersStatus {
        self.backend.status()
    }

    /// What the last probe found; `None` before the first.
    #[must_use]
    pub fn probed(&self) -> Option<Probed> {
        *self.probed.read()
    }

    /// Asks the device whether it answers, and remembers that.
    pub async fn probe(&self, limit: Duration) -> Availability {
        let begun = Instant::now();
        let outcome = self.backend.probe(&OpContext::within(limit)).await;
        let availability = match &outcome {
            Ok(()) if self.status().failed > 0 || self.status().quarantined > 0 => Availability::Degraded,
            Ok(()) => Availability::Available,
            // The device is busy with other work, and so alive.
            Err(error) if error.class() == Class::QueueFull => Availability::Degraded,
            Err(_) => Availability::Unavailable,
        };
        let before = self.probed().map(|probed| probed.availability);
        if before != Some(availability) {
            match &outcome {
                Ok(()) => info!(backend = %self.name, ?availability, "backend probed"),
                Err(error) => warn!(backend = %self.name, ?availability, %error, "backend probed"),
            }
        }
        let duration = begun.elapsed();
        *self.probed.write() = Some(Probed { availability, time: SystemTime::now(), duration });
        availability
    }
}

/// Every backend, in placement order, to be looked at.
pub struct Backends {
    list: Vec<BackendInfo>,
}

impl Backends {
    /// Every backend, in placement order.
    pub fn iter(&self) -> impl Iterator<Item = &BackendInfo> {
        self.list.iter()
    }

    /// A backend by its name.
    #[must_use]
    pub fn get(&self, name: &BackendName) -> Option<&BackendInfo> {
        self.list.iter().find(|info| info.name == *name)
    }
}

/// Every backend, to be used.
pub struct Devices {
    map: BTreeMap<BackendName, Arc<dyn KeyBackend>>,
}

impl Devices {
    /// A backend by its name.
    #[must_use]
    pub fn get(&self, name: &BackendName) -> Option<Arc<dyn KeyBackend>> {
        self.map.get(name).cloned()
    }

    /// Finishes what was accepted and closes every session.
    pub async fn close(&self) {
        for device in self.map.values() {
            device.close().await;
        }
    }
}
