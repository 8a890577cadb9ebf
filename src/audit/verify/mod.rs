//! Whether a log is the one that was written: every line follows from the one before
//! it, every checkpoint is signed, and every anchor is where it was.
//!
//! **Invariant:** the bytes of the files are judged, as they are. What cannot be
//! judged is a finding or a remark, never passed over.
//!
//! What nobody outside of the log has heard of can be cut off, or written anew by
//! whoever can write the file, without a trace: the tail behind the last anchor. Its
//! length is in the [`Report`].

mod file;
mod report;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

pub use self::report::{Finding, Problem, Report};
use self::{file::Scan, report::Findings};
use super::{
    chain::{Hash, Link},
    files,
};
use crate::model::Anchor;

/// What a log is held against.
#[derive(Debug, Default)]
pub struct Against {
    /// The keys that may have signed: the raw Ed25519 key by its fingerprint.
    pub keys: BTreeMap<String, [u8; 32]>,
    /// Checkpoints that are known from outside of the log.
    pub anchors: Vec<Anchor>,
    /// The number that the log begins with, where older files were moved away on
    /// purpose; 1 where none was.
    pub first: Option<u64>,
}

/// Checks the files of a log, in any order.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(paths: &[PathBuf], against: &Against) -> io::Result<Report> {
    // All are opened first: one that is rotated meanwhile is still the same.
    let mut opened = Vec::with_capacity(paths.len());
    for path in paths {
        let file = open(path)?;
        opened.push((files::first(&file).map_err(|error| named(path, &error))?, path, file));
    }
    // What does not begin with a record was there before the chain was, or is damaged;
    // there is no better place for it than by its name.
    opened.sort_by(|(one, a, _), (other, b, _)| {
        one.unwrap_or_default().cmp(&other.unwrap_or_default()).then_with(|| a.cmp(b))
    });
    let mut log = Log::new(against);
    let last = opened.len().saturating_sub(1);
    for (index, (_, path, file)) in opened.into_iter().enumerate() {
        Scan::new(&mut log, path, &file, index == last).run().map_err(|error| named(path, &error))?;
    }
    Ok(log.report(paths.last()))
}

/// The chain as far as it was followed.
struct Log<'a> {
    against: &'a Against,
    /// By number; two witnesses may not agree, and then one of them is right.
    anchors: BTreeMap<u64, Vec<Hash>>,
    /// The last line, and whether there was one.
    link: Link,
    begun: bool,
    first: u64,
    records: u64,
    checkpoints: u64,
    checkpoint: Option<u64>,
    unchecked: u64,
    anchored: Option<u64>,
    findings: Findings,
    remarks: Vec<String>,
}

impl<'a> Log<'a> {
    fn new(against: &'a Against) -> Self {
        let mut anchors: BTreeMap<u64, Vec<Hash>> = BTreeMap::new();
        for anchor in &against.anchors {
            anchors.entry(anchor.sequence).or_default().push(anchor.hash);
        }
        Self {
            against,
            anchors,
            link: Link::START,
            begun: false,
            first: 0,
            records: 0,
            checkpoints: 0,
            checkpoint: None,
            unchecked: 0,
            anchored: None,
            findings: Findings::default(),
            remarks: Vec::new(),
        }
    }

    /// Whether a signature is that of the key with this fingerprint; `None` where that
    /// key is not known.
    fn signed(&self, key: &str, message: &[u8], signature: &[u8]) -> Option<bool> {
        let public = self.against.keys.get(key)?;
        Some(UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok())
    }

    fn report(mut self, last_file: Option<&PathBuf>) -> Report {
        // What was anchored and never came by.
        let (end, wanted) = (self.link.sequence, self.against.first.unwrap_or(1));
        let path = last_file.cloned().unwrap_or_default();
        let mut missing = std::mem::take(&mut self.anchors);
        if let Some(anchor) = missing.split_off(&(end + 1)).into_keys().next_back() {
            self.findings.add(&path, None, Problem::Truncated { last: end, anchor });
        }
        for anchor in missing.into_keys().filter(|anchor| *anchor >= wanted) {
            self.findings.add(&path, None, Problem::AnchorMissing { anchor });
        }
        if self.unchecked > 0 {
            let checkpoints = self.unchecked;
            self.remarks.push(format!(
                "the signatures of {checkpoints} checkpoints were not checked: no key was given"
            ));
        }
        if self.against.anchors.is_empty() {
            self.remarks.push("no anchor was given: an end that was cut off is not seen".to_owned());
        }
        let (findings, more_findings) = self.findings.into_parts();
        Report {
            good: findings.is_empty(),
            records: self.records,
            first: self.first,
            last: self.link.sequence,
            checkpoints: self.checkpoints,
            last_checkpoint: self.checkpoint,
            last_anchor: self.anchored,
            unanchored: self
                .link
                .sequence
                .saturating_sub(self.anchored.unwrap_or(self.first.saturating_sub(1))),
            findings,
            more_findings,
            remarks: self.remarks,
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::open(path).map_err(|error| named(path, &error))
}

/// Names the file in an error.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read `{}`: {error}", path.display()))
}
