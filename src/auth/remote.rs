//! Keys behind a URL: fetched from time to time, and when a token names a key that is
//! not there.
//!
//! **Invariant:** there is at most one request at a time and one in a cool-down,
//! whoever asks and however often. A token can be made to name any key, so nobody may
//! turn tokens into requests.
//!
//! While the issuer does not answer, its keys stay, up to `max_stale` after they were
//! seen last; then none of its tokens is taken.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Uri;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    clock::Clock,
    fetch::{self, fetch},
    keys,
    published::Published,
};
use crate::telemetry::{chain, metrics};

/// The keys of an issuer behind a URL.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) name: String,
    pub(super) url: Uri,
    pub(super) authorities: PathBuf,
    pub(super) refresh: Duration,
    pub(super) cool_down: Duration,
    pub(super) published: Arc<Published>,
    pub(super) clock: Clock,
    pub(super) requests: Requests,
}

/// Which requests there were.
#[derive(Debug, Default)]
pub(super) struct Requests {
    state: Mutex<State>,
    /// Counts those that have ended, well or not.
    ended: watch::Sender<u64>,
    /// Whether it was said that the keys are too old.
    told: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    last: Option<Instant>,
}

impl Remote {
    /// Has the keys fetched, unless they just were, and waits until they are there or
    /// could not be had, but not for long.
    pub(super) async fn ask(self: &Arc<Self>) {
        if let Some(mut ended) = self.begin() {
            // Either way the caller looks at the keys that there are then.
            let _ = timeout(PATIENCE, ended.changed()).await;
        }
    }

    /// Fetches the keys again and again until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let whole = async {
            loop {
                if let Some(mut ended) = self.begin() {
                    let _ = ended.changed().await;
                }
                let now = self.clock.steady();
                let fresh = self.published.current(now).is_some();
                self.tell(now);
                // Without keys nobody gets in, so that is tried again soon.
                sleep(if fresh { self.refresh } else { self.cool_down }).await;
            }
        };
        stop.run_until_cancelled(whole).await;
    }

    /// Says once that the keys are too old, and once that there are new ones.
    pub(super) fn tell(&self, now: Instant) {
        let stale = self.published.is_stale(now);
        if self.requests.told.swap(stale, Ordering::Relaxed) == stale {
            return;
        }
        if stale {
            error!(issuer = %self.name, url = %self.url, "keys of an issuer too old; its tokens are refused");
        } else {
            info!(issuer = %self.name, "keys of an issuer are there again");
        }
    }

    /// Starts a request, or joins the one that runs. None where neither may be.
    fn begin(self: &Arc<Self>) -> Option<watch::Receiver<u64>> {
        let mut state = self.requests.state.lock();
        let ended = self.requests.ended.subscribe();
        if state.running {
            return Some(ended);
        }
        let now = self.clock.steady();
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.cool_down) {
            return None;
        }
        *state = State { running: true, last: Some(now) };
        // A task of its own, so that a caller who hangs up does not take the request
        // from those who wait with it.
        let running = Running(self.clone());
        tokio::spawn(async move { running.0.fetch().await });
        Some(ended)
    }

    async fn fetch(&self) {
        let fetched = fetch(self.url.clone(), self.authorities.clone()).await.map_err(Error::from);
        let now = self.clock.steady();
        match fetched.and_then(|body| Ok(self.published.publish(&body, now)?)) {
            Ok(changed) => {
                metrics().jwks_fetched(&self.name);
                if changed {
                    info!(issuer = %self.name, "new keys of an issuer");
                }
            }
            Err(error) => {
                let cause = chain(&error);
                warn!(issuer = %self.name, url = %self.url, cause, "keys of an issuer not fetched");
            }
        }
        self.tell(now);
    }
}

/// A request that runs. However it ends, those who wait are told.
struct Running(Arc<Remote>);

impl Drop for Running {
    fn drop(&mut self) {
        let requests = &self.0.requests;
        requests.state.lock().running = false;
        requests.ended.send_modify(|ended| *ended = ended.wrapping_add(1));
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    #[error(transparent)]
    Keys(#[from] keys::Error),
}

/// How long a call waits for a key: within the patience of its own caller.
const PATIENCE: Duration = Duration::from_secs(2);
