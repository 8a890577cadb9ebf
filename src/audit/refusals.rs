//! Strangers who are refused, counted: the first few are records of their own, the
//! rest one record for each source and reason and window of time.
//!
//! **Invariant:** every refusal is in the log once, by itself or in the `count` of one
//! record, also where it could not be written by itself; and refusals take no more room
//! than their quota and one line for each reason and window, whatever strangers do. What
//! was counted and not yet written when the process is killed is lost: a refusal may be
//! told without a record, but nothing that was decided.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use super::{
    chain::{Entry, Kind},
    entry,
    record::Refused,
    state::State,
};
use crate::model::{Code, Reason};

/// How many of one source and reason in one window are records of their own: enough
/// to see what somebody tries.
const EACH: u64 = 5;
/// How long refusals are counted before the count is written.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Sources and reasons that are told apart in one window. More are counted as
/// `others`.
const SOURCES: usize = 4096;
/// What a record takes of the quota before it is written: more than nearly all have.
const RECORD_BYTES: u64 = 640;
/// The source of those that are not told apart.
const OTHERS: &str = "others";

/// What is to be done about one refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is a record of its own.
    Alone,
    /// It is counted. `first` where nothing was, so that somebody must write it.
    Together {
        /// Whether it is the first that waits to be written.
        first: bool,
    },
}

/// A refusal on its way to be a record of its own. Lost on that way, wherever, it is
/// counted with others.
pub(super) struct Alone {
    state: Arc<State>,
    source: String,
    reason: Reason,
    time: SystemTime,
    written: bool,
}

impl Alone {
    pub(super) fn new(state: Arc<State>, refused: &Refused<'_>) -> Self {
        let source = refused.source.to_owned();
        Self { state, source, reason: refused.reason, time: SystemTime::now(), written: false }
    }

    pub(super) fn written(mut self) {
        self.written = true;
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if !self.written {
            let source = std::mem::take(&mut self.source);
            self.state.refusals.lock().add(source, self.reason, self.time, Instant::now());
        }
    }
}

/// Refusals that wait to be written.
#[derive(Debug)]
pub(super) struct Refusals {
    quota: Quota,
    window: Option<Instant>,
    /// By source and reason, those of this window.
    sources: BTreeMap<(String, &'static str), Count>,
    /// Those that found no room, by reason.
    others: BTreeMap<&'static str, Count>,
    waiting: bool,
}

#[derive(Debug)]
struct Count {
    reason: Reason,
    alone: u64,
    together: u64,
    first: SystemTime,
    last: SystemTime,
}

impl Count {
    fn new(reason: Reason, now: SystemTime) -> Self {
        Self { reason, alone: 0, together: 0, first: now, last: now }
    }

    fn add(&mut self, now: SystemTime) {
        (self.first, self.last) = match self.together {
            0 => (now, now),
            _ => (self.first.min(now), self.last.max(now)),
        };
        self.together += 1;
    }
}

/// Many refusals in one record.
#[derive(Debug, Serialize)]
struct Together<'a> {
    time: String,
    source: &'a str,
    decision: &'static str,
    result: &'static str,
    code: &'static str,
    count: u64,
    first: String,
    last: String,
}

impl Refusals {
    /// None so far; `quota` is what they may take of the log, in bytes a minute.
    pub(super) const fn new(quota: u64, now: Instant) -> Self {
        Self {
            quota: Quota { a_minute: quota, left: quota, at: now },
            window: None,
            sources: BTreeMap::new(),
            others: BTreeMap::new(),
            waiting: false,
        }
    }

    /// Counts a refusal.
    pub(super) fn count(&mut self, refused: &Refused<'_>, now: Instant) -> Counted {
        let (reason, clock) = (refused.reason, SystemTime::now());
        self.begin(now);
        let key = (refused.source.to_owned(), reason.text());
        if self.has_room(&key) {
            let count = self.sources.entry(key).or_insert_with(|| Count::new(reason, clock));
            if count.alone < EACH && count.together == 0 && self.quota.take(RECORD_BYTES, now) {
                count.alone += 1;
                return Counted::Alone;
            }
        }
        self.add(refused.source.to_owned(), reason, clock, now)
    }

    /// Counts a refusal that can be no record of its own.
    pub(super) fn count_together(&mut self, refused: &Refused<'_>) -> Counted {
        self.add(refused.source.to_owned(), refused.reason, SystemTime::now(), Instant::now())
    }

    fn add(&mut self, source: String, reason: Reason, time: SystemTime, now: Instant) -> Counted {
        self.begin(now);
        let key = (source, reason.text());
        let new = || Count::new(reason, time);
        let count = if self.has_room(&key) {
            self.sources.entry(key).or_insert_with(new)
        } else {
            self.others.entry(reason.text()).or_insert_with(new)
        };
        count.add(time);
        Counted::Together { first: !std::mem::replace(&mut self.waiting, true) }
    }

    /// Makes sure that there is a window.
    fn begin(&mut self, now: Instant) {
        if !self.waiting && self.window.is_some_and(|begun| now >= begun + WINDOW) {
            // Nobody has to write anything of the window that is over.
            self.window = None;
            self.sources.clear();
        }
        self.window.get_or_insert(now);
    }

    fn has_room(&self, key: &(String, &'static str)) -> bool {
        self.sources.len() < SOURCES || self.sources.contains_key(key)
    }

    /// When the window ends, if there is something in it to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.window.filter(|_| self.waiting).map(|begun| begun + WINDOW)
    }

    /// Forgets a window that is over, and with it who may have records of its own.
    /// What was counted in it is taken out, to be written.
    pub(super) fn take(&mut self, now: Instant, all: bool) -> Vec<Entry> {
        if !self.window.is_some_and(|begun| all || now >= begun + WINDOW) {
            return Vec::new();
        }
        self.window = None;
        self.waiting = false;
        let mut entries = Vec::new();
        let mut others = std::mem::take(&mut self.others);
        for ((source, text), count) in std::mem::take(&mut self.sources) {
            if count.together == 0 {
                continue;
            }
            // One line for each reason is always written; one for each source while it lasts.
            if self.quota.take(RECORD_BYTES, now) {
                entries.extend(together(&source, &count));
            } else {
                let other = others.entry(text).or_insert_with(|| Count::new(count.reason, count.first));
                if other.together == 0 {
                    other.first = count.first;
                }
                other.together += count.together;
                other.first = other.first.min(count.first);
                other.last = other.last.max(count.last);
            }
        }
        entries.extend(others.values().filter_map(|count| together(OTHERS, count)));
        entries
    }
}

fn together(source: &str, count: &Count) -> Option<Entry> {
    let fields = Together {
        time: entry::now(),
        source,
        decision: "deny",
        result: count.reason.text(),
        code: Code::of(count.reason).name(),
        count: count.together,
        first: entry::time(count.first),
        last: entry::time(count.last),
    };
    // Texts and numbers are always written.
    Entry::new(Kind::Refused, &fields).ok()
}

/// How much refusals may still take of the log. It fills up again steadily.
#[derive(Debug)]
struct Quota {
    a_minute: u64,
    left: u64,
    at: Instant,
}

impl Quota {
    fn take(&mut self, bytes: u64, now: Instant) -> bool {
        let passed = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = self.a_minute.saturating_mul(passed) / 60_000;
        if more > 0 {
            self.left = self.left.saturating_add(more).min(self.a_minute);
            self.at = now;
        }
        let rest = self.left.checked_sub(bytes);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}
