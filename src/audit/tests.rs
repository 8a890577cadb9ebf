//! What is in the files when [`Log::append`] returns, and when it refuses; and what
//! [`verify`] makes of them afterwards.

mod chained;
mod damage;
mod outage;
mod refused;
mod restart;

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    verify::{Against, Report, verify},
    *,
};
use crate::model::Anchor;

fn record(request_id: &str) -> Record<'_> {
    Record {
        time: "2024-01-01T00:00:00.000000Z".to_owned(),
        phase: Phase::Outcome,
        request_id,
        caller: "corp/alice",
        issuer: Some("corp"),
        subject: Some("alice"),
        tenant: None,
        authenticated_by: "token",
        certificate: None,
        peer: "unix",
        action: "create-key",
        decision: "allow",
        policies: &[],
        key: Some("payroll"),
        facts: Facts::default(),
        outcome: Some(Outcome::done(Duration::from_micros(7))),
    }
}

/// Who vouches for the logs of a test.
struct Notary {
    pair: Ed25519KeyPair,
    anchors: Mutex<Vec<Anchor>>,
}

impl Signer for Notary {
    fn key(&self) -> &'static str {
        "notary"
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

impl Anchors for Notary {
    fn name(&self) -> &'static str {
        "the notary"
    }

    fn last(&self) -> Result<Option<Anchor>, Fault> {
        Ok(self.anchors.lock().last().cloned())
    }

    fn keep(&self, anchor: &Anchor) -> Result<(), Fault> {
        self.anchors.lock().push(anchor.clone());
        Ok(())
    }
}

/// A place for a log, and who vouches for it.
struct Shelf {
    directory: TempDir,
    config: Config,
    notary: Arc<Notary>,
}

impl Shelf {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below").join("audit.jsonl");
        let mut config = Config { path, ..Config::default() };
        change(&mut config);
        let pair = Ed25519KeyPair::generate().unwrap();
        Self { directory, config, notary: Arc::new(Notary { pair, anchors: Mutex::default() }) }
    }

    fn path(&self) -> &Path {
        &self.config.path
    }

    fn witnesses(&self) -> Witnesses {
        Witnesses {
            signer: Some(Arc::clone(&self.notary) as _),
            anchors: vec![Arc::clone(&self.notary) as _],
        }
    }

    fn open(&self) -> Log {
        Log::open_with(&self.config, self.witnesses()).unwrap()
    }

    /// Writes records of these ids, and closes the log again.
    async fn write(&self, ids: std::ops::Range<usize>) {
        let log = self.open();
        for id in ids {
            log.append(&record(&id.to_string())).await.unwrap();
        }
        log.close().await;
    }

    /// All files of the log, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = rotated(self.path()).unwrap();
        files.push(self.path().to_owned());
        files
    }

    /// The lines in all files that are JSON.
    fn lines(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        for file in self.files() {
            let bytes = fs::read(file).unwrap();
            lines.extend(
                bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()),
            );
        }
        lines
    }

    /// The lines of a kind.
    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["kind"] == kind).collect()
    }

    /// The ids of the calls that are on record.
    fn ids(&self) -> Vec<String> {
        let ids = self.of_kind("decision");
        ids.iter().map(|record| record["request_id"].as_str().unwrap().to_owned()).collect()
    }

    fn against(&self) -> Against {
        let public = self.notary.pair.public_key().as_ref().try_into().unwrap();
        Against {
            keys: [("notary".to_owned(), public)].into(),
            anchors: self.notary.anchors.lock().clone(),
            first: None,
        }
    }

    fn verify(&self) -> Report {
        verify(&self.files(), &self.against()).unwrap()
    }
}

/// Waits until something holds, as health does: by looking when it changes.
async fn becomes(log: &Log, healthy: bool) {
    let mut seen = log.healthy();
    let changed = seen.wait_for(|now| *now == healthy);
    timeout(Duration::from_secs(10), changed).await.expect("it did not come to pass").unwrap();
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}
