//! The thread that makes checkpoints safe and known outside of the log. It waits for
//! disks and databases, so that the thread that writes does not.
//!
//! **Invariant:** a checkpoint is an anchor only after everything up to it is on the
//! disk: a power cut must not make the log look cut off. A disk that failed once may
//! have lost what it was given, and says the next time that all is well; so a file that
//! could not be made safe is never tried again, and no checkpoint in it is an anchor. The
//! log goes on in another file.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tracing::{error, info};

use super::{files, witness::Anchors};
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
    /// The last file that could not be made safe, until there is a checkpoint in
    /// another one.
    distrusted: Option<File>,
    /// The latest checkpoint alone: whoever knows it needs no earlier one.
    next: Option<Anchor>,
    closing: bool,
    closed: bool,
}

impl Keeper {
    /// `wake` has the writer look at whether its file is still trusted.
    pub(super) fn start(
        anchors: Vec<Arc<dyn Anchors>>,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let works = Arc::clone(&desk);
        thread::Builder::new().name("audit-anchors".to_owned()).spawn(move || works.run(&anchors, wake))?;
        Ok(Self { desk })
    }

    /// Has this checkpoint, and all that is before it in the file, made safe and known.
    pub(super) fn keep(&self, file: File, anchor: Anchor) {
        let mut state = self.desk.state.lock();
        if state.distrusts(&file) {
            return;
        }
        // One that waits to be made safe must not be tried again.
        if !state.files.iter().any(|waiting| state.distrusts(waiting)) {
            state.distrusted = None;
        }
        if !state.files.last().is_some_and(|last| is_same(last, &file)) {
            state.files.push(file);
        }
        state.next = Some(anchor);
        self.desk.changed.notify_all();
    }

    /// Has this file made safe, too, before anything is known that comes after it.
    pub(super) fn remember(&self, file: File) {
        let mut state = self.desk.state.lock();
        if !state.distrusts(&file) {
            state.files.push(file);
        }
    }

    /// Whether this file could not be made safe.
    pub(super) fn distrusts(&self, file: &File) -> bool {
        self.desk.state.lock().distrusts(file)
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

impl State {
    fn distrusts(&self, file: &File) -> bool {
        self.distrusted.as_ref().is_some_and(|distrusted| is_same(distrusted, file))
    }
}

impl Desk {
    fn run(&self, anchors: &[Arc<dyn Anchors>], wake: impl Fn()) {
        let mut failing = vec![false; anchors.len()];
        while let Some((files, anchor)) = self.next() {
            // Each of them is synced, also after one that failed.
            let safe: Vec<bool> = files.into_iter().map(|file| self.is_safe(file)).collect();
            if safe.into_iter().all(|safe| safe) {
                keep(anchors, &anchor, &mut failing);
            } else {
                metrics().audit_not_anchored();
                wake();
            }
            let mut state = self.state.lock();
            let until = Instant::now() + PACE;
            while !state.closing && !self.changed.wait_until(&mut state, until).timed_out() {}
        }
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Makes a file safe. Where that fails, it is for good.
    fn is_safe(&self, file: File) -> bool {
        if self.state.lock().distrusts(&file) {
            return false;
        }
        let Err(error) = files::sync(&file) else { return true };
        error!(%error, "cannot make the audit log safe on its disk; not anchored, and begun anew");
        self.state.lock().distrusted = Some(file);
        false
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
