//! The work of a backend: how long it waited, and how long it had a context.

use std::{sync::OnceLock, time::Duration};

use prometheus_client::metrics::{family::Family, histogram::Histogram};
use skms_backend::{Observer, Operation};

use super::Metrics;
use crate::telemetry::labels::{Backend, Job, Label as _};

impl Metrics {
    /// What measures the work of a backend.
    #[must_use]
    pub fn device(&self, backend: &str) -> DeviceTimes {
        DeviceTimes {
            backend: Backend(backend.into()),
            queue: self.queue.clone(),
            device: self.device.clone(),
            cells: (0..Job::COUNT).map(|_| OnceLock::new()).collect(),
        }
    }
}

/// Measures the work of one backend.
pub struct DeviceTimes {
    backend: Backend,
    queue: Family<(Backend, Job), Histogram>,
    device: Family<(Backend, Job), Histogram>,
    cells: Vec<OnceLock<(Histogram, Histogram)>>,
}

impl Observer for DeviceTimes {
    fn done(&self, operation: Operation, queued: Duration, device: Duration) {
        let Some(cell) = self.cells.get(Job(operation).index()) else { return };
        let (queue_times, device_times) = cell.get_or_init(|| {
            let labels = (self.backend.clone(), Job(operation));
            (self.queue.get_or_create_owned(&labels), self.device.get_or_create_owned(&labels))
        });
        queue_times.observe(queued.as_secs_f64());
        device_times.observe(device.as_secs_f64());
    }
}
