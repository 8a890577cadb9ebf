//! The thread that makes checkpoints safe and known outside of the log. It waits for
//! disks and databases, so that the thread that writes does not.
//!
//! **Invariant:** a checkpoint is an anchor only after everything up to it is on the
//! disk: a power cut must not make the log look cut off.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::{error, info};

use super::witness::Anchors;
use crate::{model::Anchor, telemetry::metrics};

/// Time between two anchors. Each costs the catalog a transaction, which those who
/// change keys wait for.
const PACE: Duration = Duration::from_secs(1);

/// The thread, as the writer knows it.
pub(super) struct Keeper {
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Files that are not safe yet: the one that is written, and those that were
    /// rotated meanwhile.
    files: Vec<File>,
    /// The latest checkpoint alone: whoever knows it needs no earlier one.
    next: Option<Anchor>,
    closing: bool,
    closed: bool,
}

impl Keeper {
    pub(super) fn start(anchors: Vec<Arc<dyn Anchors>>) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let works = Arc::clone(&desk);
        thread::Builder::new().name("audit-anchors".to_owned()).spawn(move || works.run(&anchors))?;
        Ok(Self { desk })
    }

    /// Has this checkpoint, and all that is before it in the file, made safe and known.
    pub(super) fn keep(&self, file: File, anchor: Anchor) {
        let mut state = self.desk.state.lock();
        if !state.files.last().is_some_and(|last| is_same(last, &file)) {
            state.files.push(file);
        }
        state.next = Some(anchor);
        self.desk.changed.notify_all();
    }

    /// Has this file made safe, too, before anything is known that comes after it.
    pub(super) fn remember(&self, file: File) {
        self.desk.state.lock().files.push(file);
    }

    /// Does what is left to do, and waits for it, but not for ever.
    pub(super) fn close(&self, patience: Duration) {
        let mut state = self.desk.state.lock();
        state.closing = true;
        self.desk.changed.notify_all();
        let until = Instant::now() + patience;
        while !state.closed {
            if self.desk.changed.wait_until(&mut state, until).timed_out() {
                error!("the last checkpoint of the audit log could not be anchored in time");
                return;
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.desk.state.lock().closing = true;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn run(&self, anchors: &[Arc<dyn Anchors>]) {
        let mut failing = vec![false; anchors.len()];
        while let Some((files, anchor)) = self.next() {
            match files.iter().try_for_each(File::sync_data) {
                Ok(()) => keep(anchors, &anchor, &mut failing),
                Err(error) => {
                    error!(%error, "cannot make the audit log safe on its disk; not anchored");
                    // No later checkpoint is an anchor before these are safe.
                    self.state.lock().files.splice(0..0, files);
                }
            }
            let mut state = self.state.lock();
            let until = Instant::now() + PACE;
            while !state.closing && !self.changed.wait_until(&mut state, until).timed_out() {}
        }
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<(Vec<File>, Anchor)> {
        let mut state = self.state.lock();
        loop {
            if let Some(next) = state.next.take() {
                return Some((std::mem::take(&mut state.files), next));
            }
            if state.closing {
                return None;
            }
            self.changed.wait(&mut state);
        }
    }
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().ok().map(|about| (about.dev(), about.ino()));
    identity(one) == identity(other)
}

fn keep(anchors: &[Arc<dyn Anchors>], anchor: &Anchor, failing: &mut [bool]) {
    for (place, failing) in anchors.iter().zip(failing) {
        let was = *failing;
        match place.keep(anchor) {
            Ok(()) => {
                *failing = false;
                metrics().audit_anchored(anchor.sequence);
                if was {
                    info!(place = place.name(), "checkpoints of the audit log are anchored again");
                }
            }
            Err(error) => {
                *failing = true;
                metrics().audit_not_anchored();
                // Once, and not at every checkpoint.
                if !was {
                    error!(%error, place = place.name(), "cannot anchor a checkpoint of the audit log");
                }
            }
        }
    }
}
