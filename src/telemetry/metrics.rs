//! THE METRICS: every one that the gateway has, in one list ([`Metrics::new`]), and
//! a method for each event that they count.
//!
//! They are of the process and not of a server, so any floor can count with one
//! line: `metrics().auth_failure(reason)`. `metrics.txt` beside this file has their
//! names, for dashboards; a test compares the two.
//!
//! | read | for |
//! |---|---|
//! | `events` | what is counted when it happens |
//! | `scrape` | what is found out when somebody looks |
//! | `device` | the work of a backend, measured |
//!
//! **Invariant:** an event takes no lock but that of its histogram, and allocates
//! nothing but at its first time.

mod device;
mod events;
mod scrape;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, atomic::AtomicU64},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

pub use self::{
    device::DeviceTimes,
    scrape::{AuditState, Pool},
};
use super::{
    labels::{
        AuthFailure, Backend, Class, Code, Crowded, Ended, Handshake, Issuer, Job, Label as _, Limit,
        Listener, Malformed, Method, Outcome, Reloaded, Scheduled, Step, Version,
    },
    table::Table,
};
use crate::model::Reason;

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// A gauge that holds a fraction.
type Fraction = Gauge<f64, AtomicU64>;
/// What is asked for a value when somebody looks at it.
type Source<T> = Mutex<Option<Box<dyn Fn() -> T + Send + Sync>>>;

/// Every metric.
pub struct Metrics {
    registry: Registry,
    requests: Table<(Method, Code), Counter>,
    durations: Table<(Method, Class), Histogram>,
    in_flight: Gauge,
    malformed: Table<Malformed, Counter>,
    auth_failures: Table<AuthFailure, Counter>,
    denied: Table<Step, Counter>,
    rate_limited: Table<Limit, Counter>,
    connections: Gauge,
    connections_opened: Counter,
    connections_refused: Table<Crowded, Counter>,
    handshake_failures: Table<Handshake, Counter>,
    queue: Family<(Backend, Job), Histogram>,
    device: Family<(Backend, Job), Histogram>,
    pool_contexts: Family<Backend, Gauge>,
    pool_busy: Family<Backend, Gauge>,
    pool_failed: Family<Backend, Gauge>,
    pool_quarantined: Family<Backend, Gauge>,
    pool_queued: Family<Backend, Gauge>,
    pool_capacity: Family<Backend, Gauge>,
    backend_up: Family<Backend, Gauge>,
    ready: Gauge,
    audit_records: Counter,
    audit_failures: Counter,
    audit_queue: Gauge,
    audit_failing: Gauge,
    audit_checkpoint: Gauge,
    audit_checkpoint_age: Fraction,
    audit_anchor: Gauge,
    audit_anchor_failures: Counter,
    audit_anchor_mismatches: Counter,
    certificate_expiry: Family<Listener, Fraction>,
    jwks_age: Family<Issuer, Fraction>,
    policy_generation: Gauge,
    reloads: Table<(Reloaded, Outcome), Counter>,
    scheduled: Table<(Scheduled, Ended), Counter>,
    spans_exported: Counter,
    spans_lost: Counter,
    resident_memory: Gauge,
    cpu: Counter<f64, AtomicU64>,
    descriptors: Gauge,
    pools: Source<Vec<Pool>>,
    audit: Source<AuditState>,
    jwks_fetched: Mutex<BTreeMap<Arc<str>, SystemTime>>,
    /// One reader at a time: what is found out for it must not change under it.
    reading: Mutex<()>,
}

/// From a tenth of a millisecond, which a call without a device takes, to the
/// longest that making a key may take.
fn calls() -> Histogram {
    Histogram::new([
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
        10.0, 30.0, 120.0,
    ])
}

/// The same from ten microseconds: a free context and a signature in software.
fn jobs() -> Histogram {
    Histogram::new([
        0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
        0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
    ])
}

/// The list, as it is written down.
struct List(Registry);

impl List {
    fn add<M: Metric + Clone>(&mut self, metric: M, name: &str, help: &str) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn add_in<M: Metric + Clone>(&mut self, unit: Unit, metric: M, name: &str, help: &str) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }

    fn table<L, M>(&mut self, table: Table<L, M>, name: &str, help: &str) -> Table<L, M>
    where
        Family<L, M>: Metric + Clone,
    {
        self.0.register(name, help, table.family.clone());
        table
    }

    fn table_in<L, M>(&mut self, unit: Unit, table: Table<L, M>, name: &str, help: &str) -> Table<L, M>
    where
        Family<L, M>: Metric + Clone,
    {
        self.0.register_with_unit(name, help, unit, table.family.clone());
        table
    }
}

impl Metrics {
    fn new() -> Self {
        let mut list = List(Registry::with_prefix("skms"));
        let version = Version(env!("CARGO_PKG_VERSION").into());
        list.0.register("build", "The version of this program", Info::new(version));
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start: Fraction = list.add_in(
            Unit::Seconds,
            Fraction::default(),
            "process_start_time",
            "When this process began, since 1970",
        );
        start.set(started.as_secs_f64());
        // The first event of a counter that is not there yet is lost to a rate, so
        // those that everybody looks at are there from the start.
        let watched = Method::all().into_iter().flat_map(|method| WATCHED.map(|code| (method, code)));
        Self {
            requests: list.table(
                Table::with(Counter::default, watched),
                "requests",
                "Calls that ended, by method and code; a stream by the code it began with",
            ),
            durations: list.table_in(
                Unit::Seconds,
                Table::new(calls),
                "request_duration",
                "Time that a call took, by method and class of its code",
            ),
            in_flight: list.add(Gauge::default(), "requests_in_flight", "Calls that are being served"),
            malformed: list.table(
                Table::with(Counter::default, Malformed::all()),
                "requests_malformed",
                "Calls that were refused because of their form",
            ),
            auth_failures: list.table(
                Table::with(Counter::default, AUTH_FAILURES.map(AuthFailure)),
                "auth_failures",
                "Calls whose proof of who made them was refused, by the reason in the answer",
            ),
            denied: list.table(
                Table::with(Counter::default, Step::all()),
                "authorization_denied",
                "Calls that a policy denied",
            ),
            rate_limited: list.table(
                Table::with(Counter::default, Limit::all()),
                "rate_limited",
                "Calls that were refused because of a limit",
            ),
            connections: list.add(Gauge::default(), "connections", "Connections that are open"),
            connections_opened: list.add(
                Counter::default(),
                "connections_opened",
                "Connections that were taken",
            ),
            connections_refused: list.table(
                Table::with(Counter::default, Crowded::all()),
                "connections_refused",
                "Connections that were not taken",
            ),
            handshake_failures: list.table(
                Table::with(Counter::default, Handshake::all()),
                "handshake_failures",
                "Connections that never came to a call",
            ),
            queue: list.add_in(
                Unit::Seconds,
                Family::new_with_constructor(jobs as fn() -> Histogram),
                "queue",
                "Time that work waited for a context of a device",
            ),
            device: list.add_in(
                Unit::Seconds,
                Family::new_with_constructor(jobs as fn() -> Histogram),
                "device",
                "Time that work had a context of a device",
            ),
            pool_contexts: list.add(
                Family::default(),
                "pool_contexts",
                "Contexts of a device that may be open at once",
            ),
            pool_busy: list.add(Family::default(), "pool_busy", "Contexts of a device that are at work"),
            pool_failed: list.add(
                Family::default(),
                "pool_failed",
                "Contexts of a device that cannot be opened",
            ),
            pool_quarantined: list.add(
                Family::default(),
                "pool_quarantined",
                "Calls of a device that do not come back",
            ),
            pool_queued: list.add(Family::default(), "pool_queued", "Work that waits for a context"),
            pool_capacity: list.add(
                Family::default(),
                "pool_queue_capacity",
                "Work that may wait for a context; more is refused",
            ),
            backend_up: list.add(
                Family::default(),
                "backend_up",
                "Whether a backend answered its last probe",
            ),
            ready: list.add(Gauge::default(), "ready", "Whether the gateway says that it serves"),
            audit_records: list.add(Counter::default(), "audit_records", "Audit records that were written"),
            audit_failures: list.add(
                Counter::default(),
                "audit_failures",
                "Audit records that could not be written, and whose calls were not answered",
            ),
            audit_queue: list.add(Gauge::default(), "audit_queue", "Audit records that wait to be written"),
            audit_failing: list.add(
                Gauge::default(),
                "audit_failing",
                "Whether audit records cannot be written",
            ),
            audit_checkpoint: list.add(
                Gauge::default(),
                "audit_checkpoint_sequence",
                "Number of the last signed checkpoint of the audit log",
            ),
            audit_checkpoint_age: list.add_in(
                Unit::Seconds,
                Fraction::default(),
                "audit_checkpoint_age",
                "Age of the last signed checkpoint of the audit log",
            ),
            audit_anchor: list.add(
                Gauge::default(),
                "audit_anchor_sequence",
                "Number of the last checkpoint of the audit log that is known outside of it",
            ),
            audit_anchor_failures: list.add(
                Counter::default(),
                "audit_anchor_failures",
                "Checkpoints of the audit log that could not be made known outside of it",
            ),
            audit_anchor_mismatches: list.add(
                Counter::default(),
                "audit_anchor_mismatches",
                "Starts with an audit log that was not the one that was anchored",
            ),
            certificate_expiry: list.add_in(
                Unit::Seconds,
                Family::default(),
                "certificate_expiry_timestamp",
                "When the certificate of a listener expires, since 1970",
            ),
            jwks_age: list.add_in(
                Unit::Seconds,
                Family::default(),
                "jwks_age",
                "Age of the keys of an issuer of tokens",
            ),
            policy_generation: list.add(
                Gauge::default(),
                "policy_generation",
                "How many sets of policies were in use since the start",
            ),
            reloads: list.table(
                Table::with(Counter::default, <(Reloaded, Outcome)>::all()),
                "reloads",
                "Replacements while the gateway ran",
            ),
            scheduled: list.table(
                Table::with(Counter::default, <(Scheduled, Ended)>::all()),
                "scheduled",
                "What the gateway did to keys by itself, because its time had come",
            ),
            spans_exported: list.add(
                Counter::default(),
                "spans_exported",
                "Spans that the collector of traces took",
            ),
            spans_lost: list.add(
                Counter::default(),
                "spans_lost",
                "Spans that could not be sent to the collector of traces",
            ),
            resident_memory: list.add_in(
                Unit::Bytes,
                Gauge::default(),
                "process_resident_memory",
                "Memory that this process has",
            ),
            cpu: list.add_in(
                Unit::Seconds,
                Counter::default(),
                "process_cpu",
                "Time that this process spent on processors",
            ),
            descriptors: list.add(
                Gauge::default(),
                "process_open_fds",
                "File descriptors that this process has open",
            ),
            pools: Source::default(),
            audit: Source::default(),
            jwks_fetched: Mutex::default(),
            reading: Mutex::default(),
            // Last, when the list is complete.
            registry: list.0,
        }
    }

    /// All of them in the text format of OpenMetrics.
    #[must_use]
    pub fn render(&self) -> String {
        let _reading = self.reading.lock();
        self.look();
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

/// The codes that are there for every method from the start: that of all rates, and that
/// of a key that is not what it was, whose first event an alert is for.
const WATCHED: [Code; 2] = [Code::Ok, Code::DataLoss];

/// The reasons for which a caller is taken for nobody.
const AUTH_FAILURES: [Reason; 9] = [
    Reason::TokenMissing,
    Reason::TokenMalformed,
    Reason::TokenExpired,
    Reason::TokenNotYetValid,
    Reason::TokenSignatureInvalid,
    Reason::TokenIssuerUntrusted,
    Reason::TokenAudienceMismatch,
    Reason::TokenRevoked,
    Reason::ClientCertificateRequired,
];
