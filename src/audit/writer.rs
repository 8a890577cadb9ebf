//! The thread that writes: everything that waits goes out in one write, and what the
//! log says of itself goes with it.
//!
//! **Invariant:** the chain moves on only by what was written. A write that fails
//! leaves chain and file as they were.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    runtime::{self, Runtime},
    sync::{mpsc, oneshot},
    time::timeout_at,
};
use tracing::{error, info};

use super::{
    Config,
    chain::{Entry, Kind, Link},
    entry::{self, Checkpoint, Open, Resumed},
    files,
    keeper::Keeper,
    refusals::Alone,
    sink::Sink,
    state::State,
    witness::Signer,
};
use crate::{failpoint, model::Anchor, telemetry::metrics};

/// How often a log that cannot be written is tried, so that it recovers without
/// anybody calling: health must say so within a second.
const PROBE: Duration = Duration::from_millis(250);
/// How long the last anchor may take when the gateway stops.
const LAST_ANCHOR: Duration = Duration::from_secs(5);

/// What the thread is sent.
pub(super) enum Message {
    /// A record, of a refusal or else of a call, and who waits for it.
    Record(Entry, Option<Alone>, oneshot::Sender<Result<(), Arc<io::Error>>>),
    /// There is something else to do.
    Wake,
    /// No more records will come.
    Close(oneshot::Sender<()>),
}

/// The thread.
pub(super) struct Writer {
    sink: Sink,
    /// The place after all that was written.
    link: Link,
    /// What the file that was opened must be told first, and whether a line feed must
    /// come before that.
    open: Option<Entry>,
    torn: bool,
    /// What else the log says of itself, to be written before any record.
    own: Vec<Entry>,
    state: Arc<State>,
    signer: Option<Arc<dyn Signer>>,
    keeper: Keeper,
    /// How many records there may be between two checkpoints.
    each: u64,
    interval: Duration,
    /// How many there are since the last, and when the first of them came.
    since: u64,
    unsigned_since: Option<Instant>,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        config: &Config,
        (sink, link): (Sink, Link),
        (open, torn): (Open, bool),
        (signer, keeper): (Option<Arc<dyn Signer>>, Keeper),
        state: Arc<State>,
    ) -> io::Result<Self> {
        let mut writer = Self {
            sink,
            link,
            open: Some(Entry::new(Kind::Open, &open)?),
            torn,
            own: Vec::new(),
            state,
            signer,
            keeper,
            each: config.checkpoint_records.get(),
            interval: config.checkpoint_interval,
            since: 0,
            unsigned_since: None,
            buffer: Vec::new(),
        };
        writer.put(&[])?;
        // What an earlier run left unsigned is signed now.
        writer.checkpoint()?;
        Ok(writer)
    }

    /// Writes until it is told that no more will come. `timer` has a clock.
    pub(super) fn run(mut self, timer: &Runtime, waiting: &mut mpsc::Receiver<Message>, most: usize) {
        let mut messages = Vec::new();
        let mut closed: Option<oneshot::Sender<()>> = None;
        loop {
            let due = self.due();
            let received = timer.block_on(async {
                let received = waiting.recv_many(&mut messages, most);
                match due {
                    None => Some(received.await),
                    Some(due) => timeout_at(due.into(), received).await.ok(),
                }
            });
            let (mut records, mut refusals, mut callers) = (Vec::new(), Vec::new(), Vec::new());
            for message in messages.drain(..) {
                match message {
                    Message::Record(entry, refusal, caller) => {
                        records.push(entry);
                        refusals.extend(refusal);
                        callers.push(caller);
                    }
                    Message::Wake => {}
                    Message::Close(done) => {
                        // What waits already is still written.
                        waiting.close();
                        closed = Some(done);
                    }
                }
            }
            if !records.is_empty() {
                let outcome = self.write(&records, records.len() - refusals.len()).map_err(Arc::new);
                match &outcome {
                    Ok(()) => refusals.into_iter().for_each(Alone::written),
                    Err(_) => drop(refusals),
                }
                for caller in callers {
                    // A caller that went away is served all the same: its record is written.
                    let _ = caller.send(outcome.clone());
                }
            }
            if received == Some(0) {
                break;
            }
            self.tend();
        }
        // Without a farewell it is a start that failed, or a crash.
        if let Some(closed) = closed {
            // The file is another's to open when that is said.
            self.finish();
            let _ = closed.send(());
        }
    }

    /// When something must be done although nobody calls.
    fn due(&self) -> Option<Instant> {
        let probe = self.state.is_failing().then(|| Instant::now() + PROBE);
        let checkpoint = self.unsigned_since.map(|since| since + self.interval);
        let refusals = self.state.refusals.lock().due();
        [probe, checkpoint.filter(|_| probe.is_none()), refusals.filter(|_| probe.is_none())]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what has become due.
    fn tend(&mut self) {
        let distrusted = self.keeper.distrusts(self.sink.file()) && self.sink.distrust();
        if distrusted || self.has_resumed() {
            let _ = self.write(&[], 0);
        }
        if self.state.is_failing() {
            return;
        }
        let now = Instant::now();
        let refusals = self.state.refusals.lock().take(now, false);
        if !refusals.is_empty() {
            self.own.extend(refusals);
            let _ = self.write(&[], 0);
        }
        let signs = self.signer.is_some() && self.since > 0;
        let due = self.unsigned_since.is_some_and(|since| now >= since + self.interval);
        if signs && (due || self.since >= self.each || self.sink.is_long_enough()) {
            let signed = self.checkpoint();
            self.judge(&signed, 0, 0);
        }
        if self.sink.is_long_enough() {
            self.sink.rotate();
            // So that there is a file of the name which everybody knows.
            let _ = self.write(&[], 0);
        }
    }

    /// Whether there is something to be told of records that were lost. That a write
    /// takes too long is said by whoever could not wait for it.
    fn has_resumed(&self) -> bool {
        self.state.is_failing() || self.state.lost() > 0
    }

    /// Writes records, so many of them of calls, and judges the log by whether that was
    /// possible.
    fn write(&mut self, records: &[Entry], calls: usize) -> io::Result<()> {
        if !records.is_empty() {
            failpoint::reached("audit.before-write");
        }
        let outcome = self.put(records);
        if !records.is_empty() {
            failpoint::reached("audit.after-write");
        }
        self.judge(&outcome, records.len(), calls);
        outcome
    }

    fn judge(&mut self, outcome: &io::Result<()>, records: usize, calls: usize) {
        match outcome {
            Ok(()) => {
                metrics().audit_written(records);
                if self.state.set_failing(false) {
                    info!("the audit log can be written again");
                }
            }
            Err(error) => {
                self.state.lose(calls);
                // Once, and not for every call.
                if self.state.set_failing(true) {
                    error!(%error, records, "cannot write the audit log");
                }
            }
        }
    }

    /// Writes what the log has to say of itself, and then the records.
    fn put(&mut self, records: &[Entry]) -> io::Result<()> {
        if let Some(opened) = self.sink.settle()? {
            let left = opened.left.filter(|left| left.sequence > self.link.sequence);
            self.link = left.unwrap_or(self.link);
            let open = Open {
                time: entry::now(),
                why: opened.why,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                prev: hex::encode(self.link.hash),
                chain: entry::Chain::Continued,
                anchor: None,
                foreign: opened.foreign,
            };
            self.torn = opened.torn;
            if let Some(before) = opened.before.filter(|_| self.signer.is_some()) {
                self.keeper.remember(before);
            }
            self.open = Some(Entry::new(Kind::Open, &open)?);
        }
        let lost = self.state.lost();
        let resumed = self.has_resumed().then(|| Resumed {
            time: entry::now(),
            since: entry::time(self.state.failing_since()),
            unanswered: lost,
        });
        let resumed = resumed.map(|resumed| Entry::new(Kind::Resumed, &resumed)).transpose()?;
        let lines = || self.open.iter().chain(&self.own).chain(&resumed).chain(records);
        let (first, mut link) = (self.link.sequence + 1, self.link);
        self.buffer.clear();
        self.buffer.reserve(lines().map(Entry::length).sum());
        if self.torn {
            self.buffer.push(b'\n');
        }
        for line in lines() {
            link.append(line, &mut self.buffer);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.sink.write(&self.buffer, first)?;
        self.since += link.sequence - self.link.sequence;
        if self.signer.is_some() {
            self.unsigned_since.get_or_insert_with(Instant::now);
        }
        self.link = link;
        (self.open, self.torn) = (None, false);
        self.own.clear();
        if resumed.is_some() {
            self.state.told(lost);
        }
        Ok(())
    }

    /// Signs everything so far, and has that remembered.
    fn checkpoint(&mut self) -> io::Result<()> {
        let Some(signer) = self.signer.clone() else { return Ok(()) };
        let (sequence, now) = (self.link.sequence + 1, SystemTime::now());
        let time = entry::time(now);
        let signature = match signer.sign(&entry::signed(sequence, &self.link.hash, &time)) {
            Ok(signature) => signature,
            Err(error) => {
                // Not again at once.
                (self.since, self.unsigned_since) = (1, Some(Instant::now()));
                error!(%error, "cannot sign a checkpoint of the audit log");
                return Ok(());
            }
        };
        let checkpoint = Checkpoint {
            time,
            head: hex::encode(self.link.hash),
            key: signer.key().to_owned(),
            signature: hex::encode(&signature),
        };
        let line = Entry::new(Kind::Checkpoint, &checkpoint)?;
        let mut link = self.link;
        self.buffer.clear();
        link.append(&line, &mut self.buffer);
        self.sink.write(&self.buffer, sequence)?;
        self.link = link;
        (self.since, self.unsigned_since) = (0, None);
        *self.state.checkpoint.lock() = Some((sequence, now));
        let anchor = Anchor { sequence, hash: link.hash, key: checkpoint.key, signature, time: now };
        match self.sink.share() {
            Ok(file) => self.keeper.keep(file, anchor),
            Err(error) => error!(%error, "cannot anchor a checkpoint of the audit log"),
        }
        Ok(())
    }

    /// Writes what was only counted, signs, and makes all of it safe.
    fn finish(mut self) {
        let refusals = self.state.refusals.lock().take(Instant::now(), true);
        self.own.extend(refusals);
        let _ = self.write(&[], 0);
        if self.since > 0 && !self.state.is_failing() {
            let signed = self.checkpoint();
            self.judge(&signed, 0, 0);
        }
        // First: an error is told once, and the keeper must not take the next try for safe.
        self.keeper.close(LAST_ANCHOR);
        if let Err(error) = files::sync(self.sink.file()) {
            error!(%error, "cannot make the end of the audit log safe on its disk");
        }
    }
}

/// A clock for the thread.
pub(super) fn timer() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_time().build()
}
