//! How many connections there may be, and for how long.

use std::time::Duration;

use serde::Deserialize;

use crate::model::BadValue;

/// The bounds of connections: the section `[connections]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// At once, over all listeners of the API.
    pub total: usize,
    /// At once of one IPv4 address, one IPv6 /64, or one user of a Unix socket.
    pub per_address: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// How long a TLS handshake may take.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// How long a client may then take to begin with HTTP/2.
    #[serde(with = "humantime_serde")]
    pub preface_timeout: Duration,
    /// How long after its beginning a connection may be without its first call; no longer
    /// than `idle_timeout` in any case.
    #[serde(with = "humantime_serde")]
    pub first_call_timeout: Duration,
    /// How long a connection may be without a call after that.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// How long a connection is kept.
    #[serde(with = "humantime_serde")]
    pub max_age: Duration,
    /// How long calls may go on after the client was asked to leave.
    #[serde(with = "humantime_serde")]
    pub farewell: Duration,
}

impl Connections {
    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let counts = [
            ("total", self.total, MOST_CONNECTIONS),
            ("per_address", self.per_address, MOST_CONNECTIONS),
            ("handshakes", self.handshakes, MOST_HANDSHAKES),
        ];
        let bad_counts = counts.into_iter().filter(|(_, value, most)| !(1..=*most).contains(value)).map(
            |(field, value, most)| {
                BadValue::new(format!("connections.{field}"), format!("must be 1 to {most}, not `{value}`"))
            },
        );
        let spans = [
            ("handshake_timeout", self.handshake_timeout),
            ("preface_timeout", self.preface_timeout),
            ("first_call_timeout", self.first_call_timeout),
            ("idle_timeout", self.idle_timeout),
            ("max_age", self.max_age),
            ("farewell", self.farewell),
        ];
        let bad_spans = spans
            .into_iter()
            .filter_map(|(field, span)| BadValue::unless_span(&format!("connections.{field}"), span));
        bad_counts.chain(bad_spans).collect()
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            // Each has a megabyte of window at most, so a gigabyte is what they can hold.
            total: 1024,
            // An eighth, so that it takes eight addresses to keep the others out. Those of
            // this machine are counted like all others: a proxy on it, or a program with a
            // pool, needs dozens, as each carries 256 calls.
            per_address: 128,
            // Each is about a millisecond of work; with more, all of them would be late.
            handshakes: 64,
            // Three round trips to the other side of the earth, twice over.
            handshake_timeout: Duration::from_secs(3),
            // A client that is up to something sends it at once.
            preface_timeout: Duration::from_secs(5),
            // Until then nobody has shown who is there. A client that connects ahead of its
            // need connects again, as gRPC does by itself.
            first_call_timeout: Duration::from_secs(30),
            // Longer than the pauses of a client that calls every minute.
            idle_timeout: Duration::from_secs(5 * 60),
            // So that calls spread over new gateways, and revoked certificates go.
            max_age: Duration::from_secs(15 * 60),
            // As long as the longest call that anybody waits for.
            farewell: Duration::from_secs(60),
        }
    }
}

/// More are not served by one process; a slip of the keyboard.
const MOST_CONNECTIONS: usize = 100_000;
/// The same.
const MOST_HANDSHAKES: usize = 10_000;
