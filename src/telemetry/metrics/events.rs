//! What is counted when it happens: one line where it happens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Metrics;
use crate::{
    model::{Reason, Rpc},
    telemetry::labels::{
        AuthFailure, Code, Crowded, Ended, Handshake, Limit, Listener, Malformed, Method, Outcome, Reloaded,
        Scheduled, Step,
    },
};

impl Metrics {
    /// A call began.
    pub fn request_begun(&self) {
        self.in_flight.inc();
    }

    /// A call ended; `rpc` is none where the path is not that of one.
    pub fn request_ended(&self, rpc: Option<Rpc>, code: Code, latency: Duration) {
        self.in_flight.dec();
        self.requests.count((Method(rpc), code));
        self.durations.observe((Method(rpc), code.class()), latency.as_secs_f64());
    }

    /// A call was refused because of its form.
    pub fn malformed(&self, why: Malformed) {
        self.malformed.count(why);
    }

    /// It is not known who made a call.
    pub fn auth_failure(&self, reason: Reason) {
        self.auth_failures.count(AuthFailure(reason));
    }

    /// A policy denied a call.
    pub fn authorization_denied(&self, step: Step) {
        self.denied.count(step);
    }

    /// A call was refused because of a limit.
    pub fn rate_limited(&self, limit: Limit) {
        self.rate_limited.count(limit);
    }

    /// A connection was taken.
    pub fn connection_opened(&self) {
        self.connections_opened.inc();
        self.connections.inc();
    }

    /// A connection that was taken has ended.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was not taken.
    pub fn connection_refused(&self, why: Crowded) {
        self.connections_refused.count(why);
    }

    /// A connection never came to a call.
    pub fn handshake_failure(&self, why: Handshake) {
        self.handshake_failures.count(why);
    }

    /// Records were written.
    pub fn audit_written(&self, records: usize) {
        self.audit_records.inc_by(records as u64);
    }

    /// Records could not be written.
    pub fn audit_failed(&self, records: usize) {
        self.audit_failures.inc_by(records as u64);
    }

    /// A checkpoint of the audit log is known outside of it.
    pub fn audit_anchored(&self, number: u64) {
        self.audit_anchor.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// A checkpoint of the audit log could not be made known outside of it.
    pub fn audit_not_anchored(&self) {
        self.audit_anchor_failures.inc();
    }

    /// The audit log was not the one that was anchored.
    pub fn audit_mismatch(&self) {
        self.audit_anchor_mismatches.inc();
    }

    /// A listener has a certificate that expires then.
    pub fn certificate_expires(&self, listener: &str, when: SystemTime) {
        let when = when.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.certificate_expiry.get_or_create(&Listener(listener.into())).set(when);
    }

    /// The keys of an issuer were read just now.
    pub fn jwks_fetched(&self, issuer: &str) {
        self.jwks_fetched.lock().insert(issuer.into(), SystemTime::now());
    }

    /// Policies of this number are in use.
    pub fn policies_in_use(&self, generation: u64) {
        self.policy_generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// Something was to be replaced.
    pub fn reloaded(&self, what: Reloaded, outcome: Outcome) {
        self.reloads.count((what, outcome));
    }

    /// The gateway did something to a key by itself, or failed to.
    pub fn scheduled(&self, task: Scheduled, ended: Ended) {
        self.scheduled.count((task, ended));
    }

    /// Whether the gateway says that it serves.
    pub fn ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Spans were taken by the collector, or lost.
    pub(in crate::telemetry) fn spans(&self, taken: bool, spans: usize) {
        if taken { &self.spans_exported } else { &self.spans_lost }.inc_by(spans as u64);
    }
}
