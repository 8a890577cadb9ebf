//! What is found out when somebody looks: how full queues are, how old keys are,
//! what the process takes. Nothing is asked for that nobody wants to know.

use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use prometheus_client::metrics::{family::Family, gauge::Gauge};
use skms_backend::WorkersStatus;

use super::Metrics;
use crate::telemetry::{
    labels::{Backend, Issuer},
    process::Process,
};

/// A pool in front of a device, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The name of the backend in the configuration.
    pub backend: Arc<str>,
    /// Whether it answered when it was last asked.
    pub up: bool,
    /// How many contexts there are, and what they do.
    pub status: WorkersStatus,
}

/// The audit log, as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditState {
    /// Records that wait to be written.
    pub queued: usize,
    /// Whether records cannot be written.
    pub failing: bool,
    /// The number of the last signed checkpoint, and when it was made.
    pub checkpoint: Option<(u64, SystemTime)>,
}

impl Metrics {
    /// Asks `source` for the pools, each time that somebody looks, in place of any
    /// earlier one.
    pub fn pools_from(&self, source: impl Fn() -> Vec<Pool> + Send + Sync + 'static) {
        *self.pools.lock() = Some(Box::new(source));
    }

    /// The same for the audit log.
    pub fn audit_from(&self, source: impl Fn() -> AuditState + Send + Sync + 'static) {
        *self.audit.lock() = Some(Box::new(source));
    }

    /// Finds out what is known only when somebody asks.
    pub(super) fn look(&self) {
        if let Some(pools) = self.pools.lock().as_ref().map(|source| source()) {
            for family in [
                &self.pool_contexts,
                &self.pool_busy,
                &self.pool_failed,
                &self.pool_quarantined,
                &self.pool_queued,
                &self.pool_capacity,
            ] {
                family.clear();
            }
            self.backend_up.clear();
            for Pool { backend, up, status } in pools {
                let backend = Backend(backend);
                let set = |family: &Family<Backend, Gauge>, value: usize| {
                    family.get_or_create(&backend).set(gauge(value));
                };
                set(&self.pool_contexts, status.contexts);
                set(&self.pool_busy, status.busy);
                set(&self.pool_failed, status.failed);
                set(&self.pool_quarantined, status.quarantined);
                set(&self.pool_queued, status.queued);
                set(&self.pool_capacity, status.queue_capacity);
                set(&self.backend_up, usize::from(up));
            }
        }
        if let Some(audit) = self.audit.lock().as_ref().map(|source| source()) {
            self.audit_queue.set(gauge(audit.queued));
            self.audit_failing.set(i64::from(audit.failing));
            if let Some((number, made)) = audit.checkpoint {
                self.audit_checkpoint.set(i64::try_from(number).unwrap_or(i64::MAX));
                self.audit_checkpoint_age.set(age(made));
            }
        }
        for (issuer, fetched) in self.jwks_fetched.lock().iter() {
            self.jwks_age.get_or_create(&Issuer(Arc::clone(issuer))).set(age(*fetched));
        }
        if let Some(process) = Process::read() {
            self.resident_memory.set(i64::try_from(process.resident_bytes).unwrap_or(i64::MAX));
            self.cpu.inner().store(process.cpu_seconds.to_bits(), Ordering::Relaxed);
            self.descriptors.set(i64::try_from(process.descriptors).unwrap_or(i64::MAX));
        }
    }
}

fn gauge(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn age(since: SystemTime) -> f64 {
    // A clock that was set back makes nothing younger than new.
    since.elapsed().unwrap_or_default().as_secs_f64()
}
