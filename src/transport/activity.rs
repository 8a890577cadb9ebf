//! What happens on one connection: how many calls run, since when none does, and
//! whether its client plays foul.
//!
//! Two floods cost a client nothing, stay below every limit of HTTP/2, and show only
//! here. *Calls that are begun and reset* (CVE-2023-44487, at a pace that h2 does not
//! notice) cost us their beginning. *Frames that belong to no call* (PING, SETTINGS)
//! cost us their answer.
//!
//! A call that its client left because its own time had passed is not foul: where a device
//! stands still, all calls of many honest clients that share a connection end so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// The account of one connection.
pub(super) struct Activity {
    begun: Instant,
    running: AtomicUsize,
    /// When a call last ended, in milliseconds since the beginning.
    last: AtomicU64,
    /// Goes up whenever a call gets on: it begins, takes in a part of its message, ends.
    progress: AtomicU64,
    abandoned: Mutex<Abandoned>,
    foul: CancellationToken,
}

/// Calls that their client left before they were answered: how many it may still leave,
/// and when that was reckoned.
struct Abandoned {
    left: f64,
    at: Instant,
}

/// A call that runs. It was abandoned if it is dropped before it has ended.
pub(super) struct Running {
    activity: Arc<Activity>,
    begun: Instant,
    /// How long its client said that it would wait.
    timeout: Option<Duration>,
    ended: bool,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self {
            begun,
            running: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            abandoned: Mutex::new(Abandoned { left: ABANDONED_AT_ONCE, at: begun }),
            foul: CancellationToken::new(),
        })
    }

    /// A call begins, and its client waits for so long.
    pub(super) fn call(self: &Arc<Self>, timeout: Option<Duration>) -> Running {
        self.running.fetch_add(1, Relaxed);
        self.progressed();
        Running { activity: Arc::clone(self), begun: Instant::now(), timeout, ended: false }
    }

    /// Whether there ever was a call.
    pub(super) fn has_called(&self) -> bool {
        self.progress() > 0
    }

    pub(super) fn progressed(&self) {
        self.progress.fetch_add(1, Relaxed);
    }

    /// A number that is another one after each progress.
    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Relaxed)
    }

    /// Waits until there was no call for so long: for `first` from the beginning of the
    /// connection on, for `timeout` from the last call on. The first is never the longer.
    pub(super) async fn idle(&self, first: Duration, timeout: Duration) {
        loop {
            let timeout = if self.has_called() { timeout } else { first.min(timeout) };
            let now = Instant::now();
            let since = match self.running.load(Relaxed) {
                0 => self.begun + Duration::from_millis(self.last.load(Relaxed)),
                // It will be idle at the earliest this long after now.
                _ => now,
            };
            let until = since + timeout;
            if until <= now {
                return;
            }
            time::sleep_until(until).await;
        }
    }

    /// Waits until the client has played foul.
    pub(super) async fn foul(&self) {
        self.foul.cancelled().await;
    }

    fn abandoned(&self) {
        if self.abandoned.lock().is_one_too_many(Instant::now()) {
            self.foul.cancel();
        }
    }
}

impl Abandoned {
    fn is_one_too_many(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.at).as_secs_f64() * ABANDONED_PER_SECOND;
        self.left = (self.left + earned).min(ABANDONED_AT_ONCE) - 1.0;
        self.at = now;
        self.left < 0.0
    }
}

impl Running {
    /// It was answered to the end.
    pub(super) fn ended(&mut self) {
        self.ended = true;
    }

    pub(super) fn progressed(&self) {
        self.activity.progressed();
    }
}

/// Whether a client that left a call after this time did so because it had waited as long
/// as it said that it would.
fn waited(lived: Duration, timeout: Option<Duration>) -> bool {
    timeout.is_some_and(|timeout| lived >= LIVED && lived >= timeout / 2)
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended && !waited(self.begun.elapsed(), self.timeout) {
            self.activity.abandoned();
        }
        let since = self.activity.begun.elapsed().as_millis();
        self.activity.last.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        self.activity.progressed();
        // After the time of its end, which is looked at when none runs.
        self.activity.running.fetch_sub(1, std::sync::atomic::Ordering::Release);
    }
}

/// New calls are not counted: an honest client makes 60,000 a second on one connection.
/// Those it leaves before their time it leaves for a reason, because its own caller went
/// away for example. Even where every call is left after a second, that is no more than
/// may run at once; a flood is ten times that.
const ABANDONED_PER_SECOND: f64 = 256.0;
/// Four times what may run at once: a client that gives up all it has, and again.
const ABANDONED_AT_ONCE: f64 = 1024.0;

/// A call whose time has passed has lived for half of it at least, as the time began with
/// the client, which may have waited for a free stream; and for so long in any case. So
/// whoever names a short time to be free to leave calls has at most 256 of them in each
/// ten milliseconds, which is less than a good client has answered.
const LIVED: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_leave_some_calls_and_not_all_the_time() {
        let mut at = Instant::now();
        let mut abandoned = Abandoned { left: ABANDONED_AT_ONCE, at };
        // As fast as a device that stands still makes it.
        for _ in 0..60 {
            assert!((0..256).all(|_| !abandoned.is_one_too_many(at)));
            at += Duration::from_secs(1);
        }
        // Ten times as fast.
        assert!((0..2560).any(|_| abandoned.is_one_too_many(at)));
    }

    #[tokio::test]
    async fn only_calls_without_an_answer_are_counted() {
        let activity = Activity::new();
        for _ in 0..10_000 {
            activity.call(None).ended();
        }
        assert!(!activity.foul.is_cancelled());
        while !activity.foul.is_cancelled() {
            drop(activity.call(None));
        }
        activity.foul().await;
    }

    #[test]
    fn who_has_waited_as_long_as_it_said_may_leave() {
        let ms = Duration::from_millis;
        for (lived, timeout, expected) in [
            (ms(1000), Some(ms(1000)), true),
            (ms(60), Some(ms(100)), true),
            (ms(40), Some(ms(100)), false),
            (ms(10), Some(ms(10)), true),
            // A time that is made up.
            (ms(9), Some(ms(10)), false),
            (ms(0), Some(Duration::ZERO), false),
            (ms(1000), None, false),
        ] {
            assert_eq!(waited(lived, timeout), expected, "{timeout:?} after {lived:?}");
        }
    }

    #[test]
    fn calls_whose_time_has_passed_are_no_flood() {
        let (activity, timeout) = (Activity::new(), Duration::from_millis(50));
        for _ in 0..10_000 {
            let mut call = activity.call(Some(timeout));
            call.begun -= timeout;
            drop(call);
        }
        assert!(!activity.foul.is_cancelled());
        for _ in 0..20_000 {
            drop(activity.call(Some(timeout)));
        }
        assert!(activity.foul.is_cancelled());
    }

    #[tokio::test]
    async fn a_connection_is_idle_after_its_last_call_and_not_during_one() {
        let (activity, timeout) = (Activity::new(), Duration::from_millis(20));
        let never = timeout * 1000;
        activity.idle(timeout, never).await;
        let mut call = activity.call(None);
        let during = time::timeout(timeout * 4, activity.idle(never, timeout)).await;
        assert!(during.is_err(), "idle while a call runs");
        call.ended();
        let ended = Instant::now();
        drop(call);
        activity.idle(timeout / 20, timeout).await;
        assert!(ended.elapsed() >= timeout - Duration::from_millis(1), "idle at once after a call");
    }
}
