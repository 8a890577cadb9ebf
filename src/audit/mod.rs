//! The audit log: JSON lines, one record a decision, appended and never changed.
//!
//! One thread writes. Records that arrive while it is writing go out together
//! with the next write, so that many callers share one `write` and, where the
//! configuration wants it, one `fsync`. Every line is chained to all before it by a
//! hash, the chain is signed at checkpoints, and the checkpoints are remembered outside
//! of the log: [`verify`] finds whatever was changed before the last of them.
//!
//! | read | for |
//! |---|---|
//! | `record` | what is recorded of a call |
//! | `chain` | what a line looks like, and its hash |
//! | `entry` | what the log says of itself |
//! | `writer` | the thread that writes |
//! | `sink`, `files` | the file, its rotation, how it ends |
//! | `start` | where the chain goes on |
//! | `witness`, `keeper` | who signs, who remembers, and the thread that asks them to |
//! | `refusals` | strangers, counted |
//! | `verify` | whether all of it holds |
//!
//! **Invariant:** [`Log::append`] returns only when its record is written. If it
//! cannot be written, the caller's work is not answered, and told so within a second.
//! Strangers are refused all the same while it cannot be: that they are none of ours is
//! no secret, and how the log is, is none of their business. They are counted, and the
//! count is written when the log can be again.
//!
//! **Invariant:** a record holds only the fields of [`Record`]: never a message,
//! a digest, a signature, a token or a PIN.

mod chain;
mod config;
mod entry;
mod files;
mod history;
mod keeper;
mod record;
mod refusals;
mod sink;
mod start;
mod state;
pub mod verify;
mod witness;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::{error, warn};

use self::{
    chain::{Entry, Kind},
    refusals::{Alone, Counted},
    state::State,
    writer::{Message, timer},
};
use crate::telemetry::AuditState;

pub use self::chain::Hash;
pub use self::config::{Config, Durability};
pub use self::entry::{now, signed};
pub use self::files::rotated;
pub use self::history::{History, history};
pub use self::record::{Facts, InputKind, Outcome, Phase, Record, Refused};
pub use self::witness::{Anchors, Fault, Signer, Witnesses, anchors_of};

/// Records that may wait for the writer. More would only hide that the disk is
/// too slow; a caller that meets a full queue waits its turn.
const QUEUE: usize = 4096;
/// How long a record may take to be written, with its wait: a caller must know within
/// a second that there is no answer. A disk that takes longer counts as broken.
const PATIENCE: Duration = Duration::from_millis(900);
/// How long the end of the log may take when the gateway stops: far more than a disk
/// and a database need that are not broken.
const FAREWELL: Duration = Duration::from_secs(8);

/// The audit log.
#[derive(Clone)]
pub struct Log {
    messages: mpsc::Sender<Message>,
    state: Arc<State>,
}

impl Log {
    /// Opens the log without anybody who vouches for it: it is chained, not signed.
    /// Blocks.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(config: &Config) -> Result<Self, Error> {
        Self::open_with(config, Witnesses::default())
    }

    /// Opens the log, goes on with its chain where that had come to, and starts the
    /// writer. Blocks.
    ///
    /// # Errors
    /// When the file cannot be opened or written, or another gateway writes it.
    pub fn open_with(config: &Config, witnesses: Witnesses) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: config.path.clone(), source };
        if let Some(directory) = config.path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let state = Arc::new(State::new(config.refused_bytes_per_minute));
        let beginning = start::of(config, witnesses).map_err(failed)?;
        let (messages, mut waiting) = mpsc::channel(QUEUE);
        let writer = beginning.writer(config, Arc::clone(&state), messages.downgrade());
        let writer = writer.map_err(|source| Error::Write { source: Arc::new(source) })?;
        let timer = timer().map_err(failed)?;
        let alarmed = Arc::clone(&state);
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                let _alarm = Alarm(alarmed);
                writer.run(&timer, &mut waiting, QUEUE);
            })
            .map_err(failed)?;
        Ok(Self { messages, state })
    }

    /// Whether a record could be written now, as far as it is known. What could not be
    /// recorded need not be begun.
    ///
    /// # Errors
    /// [`Error::Write`], at once.
    pub fn check(&self) -> Result<(), Error> {
        if !self.state.is_failing() {
            return Ok(());
        }
        self.state.lose(1);
        Err(Error::failing())
    }

    /// Whether records can be written, for health.
    #[must_use]
    pub fn healthy(&self) -> watch::Receiver<bool> {
        self.state.healthy()
    }

    /// How the log is, for the metrics.
    #[must_use]
    pub fn state(&self) -> AuditState {
        AuditState {
            queued: self.messages.max_capacity() - self.messages.capacity(),
            failing: self.state.is_failing(),
            checkpoint: *self.state.checkpoint.lock(),
        }
    }

    /// Appends a record and waits until it is written.
    ///
    /// # Errors
    /// [`Error::Write`] when that is not certain. The log may hold the record all the
    /// same: it may have been written later than its caller could wait. A record too
    /// many is what a reader can live with; an answer without one is not.
    pub async fn append(&self, record: &Record<'_>) -> Result<(), Error> {
        self.check()?;
        self.put(record, None).await
    }

    /// Records that somebody was refused before anything was decided; or counts it,
    /// where that has happened too often, or while the log cannot be written, for a
    /// record of all of them.
    pub async fn refused(&self, refused: &Refused<'_>) {
        let counted = {
            let mut refusals = self.state.refusals.lock();
            if self.state.is_failing() {
                refusals.count_together(refused)
            } else {
                refusals.count(refused, Instant::now())
            }
        };
        match counted {
            Counted::Alone => {
                let alone = Alone::new(Arc::clone(&self.state), refused);
                // Whatever comes in between, it is counted then.
                let _ = self.put(&refused.record(), Some(alone)).await;
            }
            Counted::Together { first: true } => self.wake(),
            Counted::Together { first: false } => {}
        }
    }

    /// Has the record written. One that is not `alone`, a refusal, is that of a call.
    async fn put(&self, record: &Record<'_>, alone: Option<Alone>) -> Result<(), Error> {
        let calls = usize::from(alone.is_none());
        let entry = Entry::new(Kind::Decision, record)
            .map_err(|source| Error::Write { source: Arc::new(source.into()) })?;
        let gone = || {
            self.state.lose(calls);
            self.state.set_failing(true);
            Error::Write { source: Arc::new(io::ErrorKind::BrokenPipe.into()) }
        };
        let written = async {
            let (caller, outcome) = oneshot::channel();
            self.messages.send(Message::Record(entry, alone, caller)).await.map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?.map_err(|source| Error::Write { source })
        };
        match timeout(PATIENCE, written).await {
            Ok(written) => written,
            Err(_) => {
                self.state.lose(calls);
                if self.state.set_failing(true) {
                    error!(patience = ?PATIENCE, "writing the audit log takes too long");
                }
                // Should it just have come to its end, it says that all is well again.
                self.wake();
                Err(Error::failing())
            }
        }
    }

    /// Writes what waits and what was only counted, signs it, and makes it safe. What
    /// comes later is refused.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let farewell = async {
            if self.messages.send(Message::Close(done)).await.is_ok() {
                // It is gone when it has done what it could.
                let _ = closed.await;
            }
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            warn!("the audit log could not be closed in time");
        }
    }

    /// Has the writer look at what there is to do. One that has messages will do so
    /// anyway.
    fn wake(&self) {
        let _ = self.messages.try_send(Message::Wake);
    }
}

/// Has health say so when the thread that writes dies, though nobody calls. Nothing
/// but a new process brings it back.
struct Alarm(Arc<State>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set_failing(true);
            error!("the thread that writes the audit log is dead; restart the gateway");
        }
    }
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
        source: io::Error,
    },
    /// The record cannot be written.
    #[error("cannot write the audit log")]
    Write {
        /// Why.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// The log could not be written a moment ago, so nothing is begun.
    fn failing() -> Self {
        Self::Write { source: Arc::new(io::Error::other("the log cannot be written")) }
    }
}

#[cfg(test)]
mod tests;
