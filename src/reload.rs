//! What changes without a restart: certificates, keys of issuers, the deny file,
//! policies, and the filter of the log. Taken in on SIGHUP, and within a second of a
//! change of one of their files.
//!
//! Files are looked at, not listened to: the notifications of the system miss what
//! happens behind a symbolic link, on a network share or in a mounted volume, which
//! is where such files are kept. A look is a `stat` of a few files.
//!
//! **Invariant:** what cannot be used is refused with a line in the log, and what
//! was in use stays in use.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::telemetry::{Outcome, Reloaded, chain, metrics};

/// Time between two looks. A change has to take effect within a second.
const LOOK: Duration = Duration::from_millis(250);

/// Something that can be read again.
pub struct Reloadable {
    /// What it is.
    pub what: Reloaded,
    /// The files that it is made of, as they are now.
    pub files: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    /// Reads them again. `false`: they say the same as before. What is refused is
    /// told, and changes nothing. Blocks.
    pub reload: Box<dyn Fn() -> Result<bool, String> + Send>,
}

impl Reloadable {
    /// Something that is made of `files` and read by `reload`.
    pub fn new<E: std::error::Error>(
        what: Reloaded,
        files: impl Fn() -> Vec<PathBuf> + Send + 'static,
        reload: impl Fn() -> Result<bool, E> + Send + 'static,
    ) -> Self {
        let reload = move || reload().map_err(|error| chain(&error));
        Self { what, files: Box::new(files), reload: Box::new(reload) }
    }
}

/// Reads again what has changed, until `stop`.
///
/// # Errors
/// When the system does not let us listen for SIGHUP.
pub fn watch(things: Vec<Reloadable>, stop: CancellationToken) -> io::Result<tokio::task::JoinHandle<()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut watched: Vec<Watched> = things.into_iter().map(Watched::new).collect();
    Ok(tokio::spawn(async move {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let all = tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => false,
                _ = hangup.recv() => {
                    info!("SIGHUP: reading certificates, keys, policies and the log level again");
                    true
                }
            };
            let looked = tokio::task::spawn_blocking(move || {
                for thing in &mut watched {
                    let what = thing.thing.what;
                    // What cannot be read must not keep the rest from being read.
                    if panic::catch_unwind(AssertUnwindSafe(|| thing.look(all))).is_err() {
                        metrics().reloaded(what, Outcome::Refused);
                        error!(?what, "reading it again panicked; what was in use stays in use");
                    }
                }
                watched
            });
            // A file on a share that hangs must not keep the gateway from stopping.
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = looked => looked,
            };
            match looked {
                Ok(seen) => watched = seen,
                Err(error) => {
                    error!(%error, "reading again failed; nothing will be reloaded any more");
                    return;
                }
            }
        }
    }))
}

struct Watched {
    thing: Reloadable,
    seen: Seen,
}

/// What identifies the content of each file.
type Seen = BTreeMap<PathBuf, Option<Stamp>>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: SystemTime,
}

impl Stamp {
    /// Of what a path leads to, through all links.
    fn of(file: &Path) -> Option<Self> {
        let about = fs::metadata(file).ok()?;
        let since =
            Duration::new(u64::try_from(about.ctime()).ok()?, u32::try_from(about.ctime_nsec()).ok()?);
        Some(Self {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.size(),
            changed: SystemTime::UNIX_EPOCH.checked_add(since)?,
        })
    }

    fn is_fresh(&self) -> bool {
        self.changed.elapsed().is_ok_and(|age| age < FRESH)
    }
}

/// Many times the tick in which the system counts the time of a change.
const FRESH: Duration = Duration::from_millis(50);

impl Watched {
    fn new(thing: Reloadable) -> Self {
        // Looked at before it is known what was read, so that a change between the
        // two is read again rather than missed.
        let seen = Seen::new();
        Self { thing, seen }
    }

    fn look(&mut self, asked: bool) {
        let stamped = |file: PathBuf| {
            let stamp = Stamp::of(&file);
            (file, stamp)
        };
        let now: Seen = (self.thing.files)().into_iter().map(stamped).collect();
        if !asked && now == self.seen {
            return;
        }
        // One that changed just now may have been half written, and may change again
        // under the same time: it is looked at once more.
        if !now.values().flatten().any(|stamp| stamp.is_fresh()) {
            self.seen = now;
        }
        let what = self.thing.what;
        match (self.thing.reload)() {
            Ok(true) => {
                metrics().reloaded(what, Outcome::Applied);
                info!(?what, "reloaded");
            }
            Ok(false) => {}
            Err(why) => {
                metrics().reloaded(what, Outcome::Refused);
                error!(?what, why, "cannot reload; what was in use stays in use");
            }
        }
    }
}
