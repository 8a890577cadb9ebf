//! What a request may ask for at most.

use std::{ops::RangeInclusive, time::Duration};

use serde::Deserialize;

use crate::model::BadValue;

/// The limits that a configuration may change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The longest message of a unary call, in bytes.
    pub message_bytes: usize,
    /// The most items of a batch.
    pub batch_items: usize,
    /// The longest data key, and the most random bytes.
    pub random_bytes: usize,
    /// The most labels of a key.
    pub labels: usize,
    /// The longest name of a label, in bytes.
    pub label_key_bytes: usize,
    /// The longest value of a label, in bytes.
    pub label_value_bytes: usize,
    /// How many items of a stream may be at work at once.
    pub stream_in_flight: usize,
    /// The longest that a stream may go on.
    #[serde(with = "humantime_serde")]
    pub stream_timeout: Duration,
    /// The longest that nothing may happen on it.
    #[serde(with = "humantime_serde")]
    pub stream_idle_timeout: Duration,
    /// How often somebody who watches is told that it has missed nothing.
    #[serde(with = "humantime_serde")]
    pub watch_bookmark_interval: Duration,
    /// The longest that a device call may take, whatever the client asked for.
    #[serde(with = "humantime_serde")]
    pub operation_timeout: Duration,
    /// The same for making a key.
    #[serde(with = "humantime_serde")]
    pub generate_timeout: Duration,
    /// The shortest time in which a scheduled destruction can be called off.
    #[serde(with = "humantime_serde")]
    pub min_destroy_scheduled_duration: Duration,
    /// The shortest time between two scheduled rotations.
    #[serde(with = "humantime_serde")]
    pub min_rotation_period: Duration,
    /// How long material can be imported under an import job.
    #[serde(with = "humantime_serde")]
    pub import_job_lifetime: Duration,
}

impl Limits {
    /// The most aliases of a key.
    pub const ALIASES: usize = 16;
    /// The longest description, in bytes.
    pub const DESCRIPTION_BYTES: usize = 1024;
    /// The longest PKCS#11 URI, in bytes: a `CKA_ID` and a `CKA_LABEL` of any token, escaped.
    pub const PKCS11_URI_BYTES: usize = 4096;
    /// The longest reference that is echoed, in bytes.
    pub const REFERENCE_BYTES: usize = 256;
    /// The longest filter, in bytes.
    pub const FILTER_BYTES: usize = 1024;
    /// The most keys in a page.
    pub const PAGE_SIZE: usize = 1000;
    /// The keys in a page whose size is not given.
    pub const DEFAULT_PAGE_SIZE: usize = 100;
    /// How many versions a verification without a version tries.
    pub const VERIFY_VERSIONS: usize = 8;
    /// The longest signature that is looked at, in bytes: many times that of
    /// RSA-4096, and more than twice that of SLH-DSA-SHA2-128s.
    pub const SIGNATURE_BYTES: usize = 16 * 1024;
    /// The longest key that is derived, in bytes.
    pub const DERIVED_KEY_BYTES: usize = 1024;
    /// The longest salt that it is derived with, in bytes.
    pub const HKDF_SALT_BYTES: usize = 1024;
    /// The longest info that it is derived with, in bytes.
    pub const HKDF_INFO_BYTES: usize = 1024;
    /// The most names of an encryption context.
    pub const CONTEXT_ENTRIES: usize = 64;
    /// The longest name of an encryption context, in bytes.
    pub const CONTEXT_NAME_BYTES: usize = 63;
    /// The longest value of an encryption context, in bytes.
    pub const CONTEXT_VALUE_BYTES: usize = 1024;
    /// The most of what is authenticated and not encrypted, in bytes.
    pub const AAD_BYTES: usize = 16 * 1024;
    /// The longest public key of others that is looked at, in bytes.
    pub const PUBLIC_KEY_BYTES: usize = 4 * 1024;
    /// The most versions that a call names; a whole key may have more.
    pub const VERSIONS: usize = 100;
    /// The longest material that is imported, in bytes, also where it is wrapped: many
    /// times RSA-4096 in PKCS#8, and more than ML-DSA-87 in any form.
    pub const MATERIAL_BYTES: usize = 12 * 1024;
    /// The longest distinguished name of a certificate request, in bytes.
    pub const SUBJECT_BYTES: usize = 1024;
    /// The most subject alternative names of a certificate request.
    pub const SUBJECT_NAMES: usize = 100;
    /// The longest of them, in bytes.
    pub const SUBJECT_NAME_BYTES: usize = 512;
    /// The highest limit of operations per version: what every JSON reader takes.
    pub const OPERATIONS: u64 = 1 << 53;
    /// That time where the creator of a key does not say.
    pub const DESTROY_AFTER_DEFAULT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    /// The longest such time: ten years.
    pub const DESTROY_AFTER_MAX: Duration = Duration::from_secs(3653 * 24 * 60 * 60);
    /// The longest time between two scheduled rotations: ten years.
    pub const ROTATION_PERIOD_MAX: Duration = Self::DESTROY_AFTER_MAX;

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let bytes = " bytes";
        let counts = [
            count("limits.message_bytes", self.message_bytes, MESSAGE_BYTES, bytes),
            count("limits.batch_items", self.batch_items, BATCH_ITEMS, ""),
            count("limits.random_bytes", self.random_bytes, RANDOM_BYTES, bytes),
            count("limits.stream_in_flight", self.stream_in_flight, STREAM_IN_FLIGHT, ""),
            count("limits.labels", self.labels, LABELS, ""),
            count("limits.label_key_bytes", self.label_key_bytes, LABEL_KEY_BYTES, bytes),
            count("limits.label_value_bytes", self.label_value_bytes, LABEL_VALUE_BYTES, bytes),
        ];
        let stream = BadValue::unless_span("limits.stream_timeout", self.stream_timeout);
        let idle = BadValue::unless_span("limits.stream_idle_timeout", self.stream_idle_timeout);
        let bookmark = (!WATCH_BOOKMARK_INTERVAL.contains(&self.watch_bookmark_interval)).then(|| {
            BadValue::new("limits.watch_bookmark_interval", "must be at least `10ms` and at most `30s`")
        });
        let operation = BadValue::unless_span("limits.operation_timeout", self.operation_timeout);
        let generate = BadValue::unless_span("limits.generate_timeout", self.generate_timeout);
        let destroy = least_span(
            "limits.min_destroy_scheduled_duration",
            self.min_destroy_scheduled_duration,
            Self::DESTROY_AFTER_DEFAULT,
        );
        let rotate =
            least_span("limits.min_rotation_period", self.min_rotation_period, Self::ROTATION_PERIOD_MAX);
        let lifetime = (!IMPORT_JOB_LIFETIME.contains(&self.import_job_lifetime)).then(|| {
            BadValue::new("limits.import_job_lifetime", "must be at least `1s` and at most `30days`")
        });
        let spans = [stream, idle, bookmark, operation, generate, destroy, rotate, lifetime];
        counts.into_iter().chain(spans).flatten().collect()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            batch_items: 1000,
            random_bytes: 1024,
            stream_in_flight: 256,
            stream_timeout: Duration::from_secs(60 * 60),
            stream_idle_timeout: Duration::from_secs(5 * 60),
            watch_bookmark_interval: Duration::from_secs(15),
            labels: 64,
            label_key_bytes: 63,
            label_value_bytes: 256,
            operation_timeout: Duration::from_secs(30),
            generate_timeout: Duration::from_secs(120),
            min_destroy_scheduled_duration: Duration::from_secs(24 * 60 * 60),
            min_rotation_period: Duration::from_secs(24 * 60 * 60),
            // Long enough to carry a file from one building to another, over a weekend.
            import_job_lifetime: Duration::from_secs(3 * 24 * 60 * 60),
        }
    }
}

fn count(field: &'static str, value: usize, range: RangeInclusive<usize>, unit: &str) -> Option<BadValue> {
    let (least, most) = (range.start(), range.end());
    let problem = || format!("must be {least} to {most}{unit}, not `{value}`");
    (!range.contains(&value)).then(|| BadValue::new(field, problem()))
}

/// A least value is itself at least a second, and leaves something to choose.
fn least_span(field: &'static str, value: Duration, most: Duration) -> Option<BadValue> {
    let least = Duration::from_secs(1);
    (!(least..=most).contains(&value)).then(|| {
        let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
        let value = humantime::format_duration(value);
        BadValue::new(field, format!("must be {least} to {most}, not `{value}`"))
    })
}

/// Every call holds its messages in memory, so larger ones would let few callers
/// take it all. Bulk data is for envelope encryption, not for the gateway.
const MESSAGE_BYTES: RangeInclusive<usize> = 1..=1024 * 1024;
/// A batch is bounded by its bytes as well.
const BATCH_ITEMS: RangeInclusive<usize> = 1..=10_000;
/// Each holds its message in memory, and a place in the queue of its backend.
const STREAM_IN_FLIGHT: RangeInclusive<usize> = 1..=4096;
/// A device is busy with many for long.
const RANDOM_BYTES: RangeInclusive<usize> = 1..=16 * 1024;
/// All of them fit into the largest message that makes a key.
const LABELS: RangeInclusive<usize> = 0..=128;
/// Their names are the grammar of filters and policies as well.
const LABEL_KEY_BYTES: RangeInclusive<usize> = 1..=63;
const LABEL_VALUE_BYTES: RangeInclusive<usize> = 1..=256;
/// Who has heard nothing for longer cannot tell whether it is still told anything.
const WATCH_BOOKMARK_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(30);
/// Nobody wraps by hand within less than a second; and a wrapping key that lies about for
/// longer than a month is a key that nobody looks after.
const IMPORT_JOB_LIFETIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 60 * 60);
