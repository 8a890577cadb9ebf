//! Where the audit log is kept, how safely, and who vouches for it.

use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use skms_backend::SecretRef;

use crate::model::BadValue;

/// Where the audit log is kept: the section `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The log, one JSON object a line. It is made where it is missing.
    pub path: PathBuf,
    /// How safe a record is before the answer leaves.
    pub durability: Durability,
    /// From which length on, in bytes, a file is given another name and a new one is
    /// begun; 0: never.
    pub rotate_bytes: u64,
    /// Records between two signed checkpoints.
    pub checkpoint_records: NonZeroU64,
    /// The longest time between two signed checkpoints, while there are records.
    #[serde(with = "humantime_serde")]
    pub checkpoint_interval: Duration,
    /// The Ed25519 key that signs checkpoints, PKCS#8 in PEM; where there is none it
    /// is made, beside the catalog.
    pub signing_key: Option<SecretRef>,
    /// A file that is given every anchor, for the operator to keep elsewhere.
    pub anchor_file: Option<PathBuf>,
    /// What refused strangers may take of the log, in bytes a minute.
    pub refused_bytes_per_minute: u64,
}

/// How safe a record is before the answer leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Handed to the operating system: outlives the process, not a power cut.
    #[default]
    Write,
    /// On the disk: outlives a power cut, and costs every call a disk flush.
    Fsync,
}

impl Config {
    /// The same with relative paths resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        Self {
            path: base.join(self.path),
            signing_key: self.signing_key.map(|key| key.relative_to(base)),
            anchor_file: self.anchor_file.map(|file| base.join(file)),
            ..self
        }
    }

    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let Self {
            path,
            durability: _,
            rotate_bytes,
            checkpoint_records: _,
            checkpoint_interval,
            signing_key: _,
            anchor_file,
            refused_bytes_per_minute: _,
        } = self;
        let small = (1..LEAST_ROTATE_BYTES).contains(rotate_bytes).then(|| {
            let problem = format!("must be at least {LEAST_ROTATE_BYTES}, or 0 for never");
            BadValue::new("audit.rotate_bytes", problem)
        });
        [
            BadValue::unless_path("audit.path", path),
            small,
            BadValue::unless_interval("audit.checkpoint_interval", *checkpoint_interval),
            anchor_file.as_deref().and_then(|file| BadValue::unless_path("audit.anchor_file", file)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/var/log/skms/audit.jsonl".into(),
            durability: Durability::default(),
            rotate_bytes: ROTATE_BYTES,
            checkpoint_records: CHECKPOINT_RECORDS,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            signing_key: None,
            anchor_file: None,
            refused_bytes_per_minute: REFUSED_BYTES_PER_MINUTE,
        }
    }
}

/// Half a million records, which an editor still opens.
const ROTATE_BYTES: u64 = 256 << 20;
/// Smaller is a slip of the unit, and makes more files than records.
const LEAST_ROTATE_BYTES: u64 = 64 << 10;
/// What whoever gets hold of the log and cuts off its end can hide at most, under load
/// and without: so many records, or so long a time.
const CHECKPOINT_RECORDS: NonZeroU64 = NonZeroU64::new(1000).unwrap();
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);
/// Four hundred records a minute, and at most 370 MB a day.
const REFUSED_BYTES_PER_MINUTE: u64 = 256 << 10;
