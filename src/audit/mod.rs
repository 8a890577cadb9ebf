//! The audit log: JSON lines, one record a decision, appended and never changed.
//!
//! One thread writes. Records that arrive while it is writing go out together
//! with the next write, so that many callers share one `write` and, where the
//! configuration wants it, one `fsync`.
//!
//! **Invariant:** [`Log::append`] returns only when its record is written. If it
//! cannot be written, the caller's work is not answered.
//!
//! **Invariant:** a record holds only the fields of [`Record`]: never a message,
//! a digest, a signature, a token or a PIN.

mod config;
mod record;

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use crate::failpoint;

pub use self::config::{Config, Durability};
pub use self::record::{Facts, InputKind, Outcome, Phase, Record, Refused};

/// Records that may wait for the writer. More would only hide that the disk is
/// too slow; a caller that meets a full queue waits its turn.
const QUEUE: usize = 4096;

struct Line {
    bytes: Vec<u8>,
    written: oneshot::Sender<Result<(), Arc<std::io::Error>>>,
}

/// The audit log.
#[derive(Clone)]
pub struct Log {
    lines: mpsc::Sender<Line>,
    failing: Arc<AtomicBool>,
}

impl Log {
    /// Opens the file and starts the writer. Blocks.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: config.path.clone(), source };
        if let Some(directory) = config.path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let file = open(&config.path).map_err(failed)?;
        let (path, durability) = (config.path.clone(), config.durability);
        let (lines, waiting) = mpsc::channel(QUEUE);
        let failing = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&failing);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write(file, &path, durability, waiting, &state))
            .map_err(failed)?;
        Ok(Self { lines, failing })
    }

    /// Whether the last record could not be written.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Appends a record and waits until it is written.
    ///
    /// # Errors
    /// [`Error::Write`] when that is not certain. The log may hold the record all the
    /// same: of records that went out together some may be whole, and with
    /// [`Durability::Fsync`] all of them may be there and not yet safe. A record too
    /// many is what a reader can live with; an answer without one is not.
    pub async fn append(&self, record: &Record<'_>) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec(record)
            .map_err(|error| Error::Write { source: Arc::new(std::io::Error::other(error)) })?;
        bytes.push(b'\n');
        let (written, outcome) = oneshot::channel();
        let gone = || Error::Write { source: Arc::new(std::io::ErrorKind::BrokenPipe.into()) };
        self.lines.send(Line { bytes, written }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?.map_err(|source| Error::Write { source })
    }
}

impl Log {
    /// Records that somebody was refused before anything was decided.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn refused(&self, refused: &Refused<'_>) -> Result<(), Error> {
        let record = Record {
            time: humantime::format_rfc3339_micros(std::time::SystemTime::now()).to_string(),
            phase: Phase::Outcome,
            request_id: refused.request_id,
            caller: refused.source,
            tenant: None,
            authenticated_by: "none",
            certificate: refused.certificate,
            peer: refused.peer,
            action: refused.rpc,
            decision: "deny",
            policies: &[],
            key: None,
            facts: Facts::default(),
            outcome: Some(Outcome {
                result: refused.reason.text().into(),
                latency: std::time::Duration::ZERO,
            }),
        };
        self.append(&record).await
    }
}

/// The life of the writer: everything that waits goes out in one write.
fn write(
    mut file: File,
    path: &Path,
    durability: Durability,
    mut waiting: mpsc::Receiver<Line>,
    failing: &AtomicBool,
) {
    let mut batch = Vec::new();
    let mut buffer = Vec::new();
    // A record that a crash or a full disk cut off is ended before the next one, so
    // that it spoils only itself.
    let mut torn = is_torn(&file);
    while waiting.blocking_recv_many(&mut batch, QUEUE) > 0 {
        // Moved away to be kept, or removed: records go where readers look for them.
        if !is_at(&file, path) {
            match open(path) {
                Ok(fresh) => {
                    warn!(path = %path.display(), "the audit log was moved; begun anew");
                    torn = is_torn(&fresh);
                    file = fresh;
                }
                Err(error) => {
                    error!(%error, records = batch.len(), "cannot open the audit log");
                    let error = Arc::new(error);
                    for line in batch.drain(..) {
                        let _ = line.written.send(Err(Arc::clone(&error)));
                    }
                    continue;
                }
            }
        }
        buffer.clear();
        if torn {
            buffer.push(b'\n');
        }
        for line in &batch {
            buffer.extend_from_slice(&line.bytes);
        }
        failpoint::reached("audit.before-write");
        let outcome = file.write_all(&buffer).and_then(|()| match durability {
            Durability::Write => Ok(()),
            Durability::Fsync => file.sync_data(),
        });
        failpoint::reached("audit.after-write");
        torn = outcome.is_err() && is_torn(&file);
        let outcome = outcome.map_err(Arc::new);
        if let Err(error) = &outcome {
            error!(%error, records = batch.len(), "cannot write the audit log");
        }
        failing.store(outcome.is_err(), Ordering::Relaxed);
        for line in batch.drain(..) {
            // A caller that went away is served all the same: its record is written.
            let _ = line.written.send(outcome.clone());
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    // Read to see how it ends, and only then.
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

/// Whether the file is still the one of this name. What is no file, such as a
/// device, stays what it is.
fn is_at(file: &File, path: &Path) -> bool {
    let Ok(open) = file.metadata() else { return true };
    let named = std::fs::metadata(path);
    named.is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
}

/// Whether the file ends in the middle of a line. Where that cannot be found out,
/// an empty line too many does less harm than a spoilt record.
fn is_torn(file: &File) -> bool {
    let Ok(about) = file.metadata() else { return true };
    let Some(last) = about.len().checked_sub(1) else { return false };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).is_err() || byte != *b"\n"
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("cannot open the audit log `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The record cannot be written.
    #[error("cannot write the audit log")]
    Write {
        /// Why.
        source: Arc<std::io::Error>,
    },
}

impl Error {
    /// The log could not be written a moment ago, so nothing is begun.
    #[must_use]
    pub fn failing() -> Self {
        Self::Write { source: Arc::new(std::io::Error::other("the log cannot be written")) }
    }
}

#[cfg(test)]
mod tests;
