//! Whether the gateway serves: whether its backends answer, found out in the
//! background, and whether everything else holds that it cannot serve without.
//!
//! **Invariant:** there is one place that says so, [`Readiness`], for gRPC health and
//! for `/readyz` alike.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join_all, select_all};
use humantime::format_duration;
use serde::Deserialize;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    backends::{Availability, BackendInfo, Backends},
    model::BadValue,
    telemetry::metrics,
};

/// How the backends are probed: the section `[health]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two probes of a backend.
    #[serde(with = "humantime_serde")]
    pub probe_interval: Duration,
    /// A probe that takes longer has failed. Not longer than the interval, so that
    /// probes never pile up.
    #[serde(with = "humantime_serde")]
    pub probe_timeout: Duration,
}

impl Config {
    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let Self { probe_interval, probe_timeout } = *self;
        let order = (probe_timeout > probe_interval).then(|| {
            let (timeout, interval) = (format_duration(probe_timeout), format_duration(probe_interval));
            BadValue::new(
                "health.probe_timeout",
                format!("`{timeout}` is longer than `health.probe_interval`, `{interval}`; make it shorter"),
            )
        });
        let interval = BadValue::unless_interval("health.probe_interval", probe_interval);
        let timeout = BadValue::unless_span("health.probe_timeout", probe_timeout);
        [interval, timeout, order].into_iter().flatten().collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { probe_interval: Duration::from_secs(10), probe_timeout: Duration::from_secs(2) }
    }
}

/// Something without which the gateway does not serve, whatever its backends do.
#[derive(Clone, Debug)]
pub struct Condition {
    /// What it is called where it does not hold, such as `audit`.
    pub name: &'static str,
    /// Whether it holds. It is looked at when it changes, not only at a probe.
    pub holds: watch::Receiver<bool>,
}

/// Whether the gateway serves.
pub struct Readiness {
    backends: Arc<Backends>,
    conditions: Vec<Condition>,
    draining: AtomicBool,
    /// Held while it is said, so that an older answer does not outlast a newer one.
    reporting: Mutex<()>,
}

impl Readiness {
    /// The gateway serves while one of `backends` answers and all `conditions` hold.
    #[must_use]
    pub fn new(backends: Arc<Backends>, conditions: Vec<Condition>) -> Self {
        Self { backends, conditions, draining: AtomicBool::new(false), reporting: Mutex::new(()) }
    }

    /// What keeps the gateway from serving; nothing, where it serves.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let answers = |info: &BackendInfo| info.probed().is_some_and(|probed| serves(probed.availability));
        let backends = (!self.backends.iter().any(answers)).then_some("backends");
        let draining = self.draining.load(Ordering::Relaxed).then_some("draining");
        let broken = self.conditions.iter().filter(|condition| !*condition.holds.borrow());
        broken.map(|condition| condition.name).chain(backends).chain(draining).collect()
    }

    /// The gateway takes its leave.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says of the gateway and of its services whether they serve.
    async fn report(&self, reporter: &HealthReporter) {
        let _one = self.reporting.lock().await;
        let ready = self.missing().is_empty();
        metrics().ready(ready);
        for service in SERVICES {
            reporter.set_service_status(service, status(ready)).await;
        }
    }
}

/// Waits until one of them holds no more, or holds again.
async fn changed(conditions: &mut [Condition]) {
    if conditions.is_empty() {
        return pending().await;
    }
    let changes = conditions.iter_mut().map(|condition| {
        Box::pin(async {
            // Whoever could change it has gone.
            if condition.holds.changed().await.is_err() {
                pending::<()>().await;
            }
        })
    });
    select_all(changes).await;
}

/// Probes every backend until `stop`, and reports: `backend/NAME` for each, and for
/// the gateway and its services whether they serve. Returns at once when stopped,
/// with everything reported as not serving.
pub async fn watch(
    config: Config,
    readiness: Arc<Readiness>,
    reporter: HealthReporter,
    stop: CancellationToken,
) -> HealthReporter {
    // The start has just probed.
    let mut interval =
        tokio::time::interval_at(Instant::now() + config.probe_interval, config.probe_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut conditions = readiness.conditions.clone();
    // What changed while the gateway was starting.
    readiness.report(&reporter).await;
    let probing = async {
        loop {
            interval.tick().await;
            probe_all(&config, &readiness, &reporter).await;
        }
    };
    // A probe takes its time; what else changes is not kept waiting by it.
    let watching = async {
        loop {
            changed(&mut conditions).await;
            readiness.report(&reporter).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = probing => {}
        () = watching => {}
    }
    readiness.drain();
    metrics().ready(false);
    for name in names(&readiness.backends) {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    reporter
}

/// Ends the calls of those who watch: they have been told that nothing serves any
/// more, and would otherwise hold the gateway open until its grace is over.
pub async fn end(mut reporter: HealthReporter, readiness: &Readiness) {
    for name in names(&readiness.backends) {
        reporter.clear_service_status(&name).await;
    }
}

/// Probes every backend once, side by side, and reports.
pub async fn probe_all(config: &Config, readiness: &Readiness, reporter: &HealthReporter) {
    let probes = readiness.backends.iter().map(|info| async {
        let availability = info.probe(config.probe_timeout).await;
        let name = format!("backend/{}", info.name());
        reporter.set_service_status(name, status(serves(availability))).await;
    });
    join_all(probes).await;
    readiness.report(reporter).await;
}

const fn serves(availability: Availability) -> bool {
    match availability {
        Availability::Available | Availability::Degraded => true,
        Availability::Unavailable => false,
    }
}

const fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// The gateway as a whole, and its services.
const SERVICES: [&str; 3] = ["", "skms.v1.KeyManagement", "skms.v1.SystemService"];

fn names(backends: &Backends) -> impl Iterator<Item = String> {
    let services = SERVICES.iter().map(|&name| name.to_owned());
    services.chain(backends.iter().map(|info| format!("backend/{}", info.name())))
}

#[cfg(test)]
mod tests;
