//! Whether the backends answer, found out in the background.

use std::{sync::Arc, time::Duration};

use humantime::format_duration;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    backends::{Availability, Backends},
    model::BadValue,
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

/// Probes every backend until `stop`, and reports: `backend/NAME` for each, and
/// for the gateway and its services whether any of them answers. Returns at once
/// when stopped, with everything reported as not serving.
pub async fn watch(
    config: Config,
    backends: Arc<Backends>,
    reporter: HealthReporter,
    stop: CancellationToken,
) -> HealthReporter {
    // The start has just probed.
    let mut interval =
        tokio::time::interval_at(Instant::now() + config.probe_interval, config.probe_interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = interval.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = probe_all(&config, &backends, &reporter) => {}
        }
    }
    for name in names(&backends) {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    reporter
}

/// Ends the calls of those who watch: they have been told that nothing serves any
/// more, and would otherwise hold the gateway open until its grace is over.
pub async fn end(mut reporter: HealthReporter, backends: &Backends) {
    for name in names(backends) {
        reporter.clear_service_status(&name).await;
    }
}

/// Probes every backend once, side by side, and reports.
pub async fn probe_all(config: &Config, backends: &Backends, reporter: &HealthReporter) {
    let probes = backends.iter().map(|info| async {
        let availability = info.probe(config.probe_timeout).await;
        let status = match availability {
            Availability::Available | Availability::Degraded => ServingStatus::Serving,
            Availability::Unavailable => ServingStatus::NotServing,
        };
        reporter.set_service_status(format!("backend/{}", info.name()), status).await;
        status == ServingStatus::Serving
    });
    let any = futures_util::future::join_all(probes).await.contains(&true);
    let status = if any { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(service, status).await;
    }
}

/// The gateway as a whole, and its services.
const SERVICES: [&str; 3] = ["", "skms.v1.KeyManagement", "skms.v1.SystemService"];

fn names(backends: &Backends) -> impl Iterator<Item = String> {
    let services = SERVICES.iter().map(|&name| name.to_owned());
    services.chain(backends.iter().map(|info| format!("backend/{}", info.name())))
}
