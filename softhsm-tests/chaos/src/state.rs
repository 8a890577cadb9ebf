//! What the module knows over all calls.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{LazyLock, Once},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    control, real,
    rules::{Command, Effect, When},
};

/// The only one.
static STATE: LazyLock<State> = LazyLock::new(State::new);

/// Reached only where a test forgot to release what hangs, so that its process ends.
const PATIENCE: Duration = Duration::from_secs(600);

/// In the higher half of a handle stands how often all of them were renumbered.
const HANDLE_BITS: u32 = 32;

pub(crate) struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
    directory: Option<PathBuf>,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Inner {
    rules: Vec<Rule>,
    made: u64,
    counts: HashMap<&'static str, u64>,
    releases: u64,
    /// How many calls hang.
    hanging: u64,
    is_removed: bool,
    /// The slots of the sessions that are open.
    sessions: HashMap<u64, u64>,
    most_sessions: u64,
    pin_tries: u64,
    wrong_pins: u64,
    serial: Option<String>,
    epoch: u64,
}

struct Rule {
    number: u64,
    function: String,
    when: When,
    effect: Effect,
    calls: u64,
}

/// The file of calls.
struct Calls {
    file: Option<File>,
    last: u64,
}

impl State {
    pub(crate) fn get() -> &'static Self {
        static LISTENING: Once = Once::new();
        LISTENING.call_once(|| {
            if let Some(directory) = &STATE.directory {
                control::listen(directory);
            }
        });
        &STATE
    }

    fn new() -> Self {
        let directory = std::env::var_os("SKMS_CHAOS_DIRECTORY").map(PathBuf::from);
        let path = directory.as_ref().map(|directory| directory.join("calls"));
        let before = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let file = path.and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok());
        let last = u64::try_from(before.lines().count()).unwrap_or_default();
        let inner = Inner { wrong_pins: wrong_pins(&before), ..Inner::default() };
        let state = Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
            calls: Mutex::new(Calls { file, last }),
            directory,
        };
        if let Some(directory) = &state.directory {
            for line in std::fs::read_to_string(directory.join("rules")).unwrap_or_default().lines() {
                if let Ok(command) = Command::parse(line) {
                    state.obey(command);
                }
            }
        }
        state
    }

    /// Does what a line of the control socket says, and answers.
    pub(crate) fn obey(&self, command: Command) -> u64 {
        let mut inner = self.inner.lock();
        match command {
            Command::On { function, when, effect } => {
                inner.made += 1;
                let number = inner.made;
                inner.rules.push(Rule { number, function, when, effect, calls: 0 });
                return number;
            }
            Command::Off(number) => inner.rules.retain(|rule| rule.number != number),
            Command::Clear => inner.rules.clear(),
            Command::Release => {
                inner.releases += 1;
                self.changed.notify_all();
            }
            Command::Count(function) => return count(&inner, &function),
            Command::Hanging(least) => {
                self.changed.wait_while_for(&mut inner, |inner| inner.hanging < least, PATIENCE);
                return inner.hanging;
            }
            Command::Remove => {
                inner.is_removed = true;
                inner.epoch += 1;
                close_all(&mut inner);
            }
            Command::Insert => inner.is_removed = false,
            Command::Sessions(most) => inner.most_sessions = most,
            Command::PinTries(tries) => inner.pin_tries = tries,
            Command::Serial(serial) => inner.serial = serial,
        }
        0
    }

    /// Counts a call, and tells what happens at it, and how often was released before it: a
    /// call that was counted hangs until the next release, however late it comes to hang.
    pub(crate) fn called(&self, function: &'static str) -> (Vec<Effect>, u64) {
        let mut inner = self.inner.lock();
        *inner.counts.entry(function).or_default() += 1;
        let mut effects = Vec::new();
        for rule in inner.rules.iter_mut().filter(|rule| rule.function == function) {
            rule.calls += 1;
            if rule.when.is_now(rule.calls) {
                effects.push(rule.effect.clone());
            }
        }
        (effects, inner.releases)
    }

    /// Writes a call down.
    pub(crate) fn answered(&self, function: &str, on: u64, answer: u64) {
        let mut calls = self.calls.lock();
        calls.last += 1;
        let line = format!("{} {function} {on} {answer:#x}\n", calls.last);
        if let Some(file) = &mut calls.file {
            // A test that misses a line fails; a module has nobody to tell.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Waits until there were more than `releases`.
    pub(crate) fn hang(&self, releases: u64) {
        let mut inner = self.inner.lock();
        inner.hanging += 1;
        self.changed.notify_all();
        self.changed.wait_while_for(&mut inner, |inner| inner.releases == releases, PATIENCE);
        inner.hanging -= 1;
    }

    pub(crate) fn close_sessions(&self) {
        close_all(&mut self.inner.lock());
    }

    pub(crate) fn renumber(&self) {
        self.inner.lock().epoch += 1;
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.inner.lock().is_removed
    }

    pub(crate) fn serial(&self) -> Option<String> {
        self.inner.lock().serial.clone()
    }

    pub(crate) fn may_open(&self) -> bool {
        let inner = self.inner.lock();
        inner.most_sessions == 0
            || u64::try_from(inner.sessions.len()).unwrap_or(u64::MAX) < inner.most_sessions
    }

    pub(crate) fn opened(&self, session: u64, slot: u64) {
        self.inner.lock().sessions.insert(session, slot);
    }

    pub(crate) fn closed(&self, session: u64) {
        self.inner.lock().sessions.remove(&session);
    }

    pub(crate) fn closed_all(&self, slot: u64) {
        self.inner.lock().sessions.retain(|_, of| *of != slot);
    }

    pub(crate) fn is_pin_locked(&self) -> bool {
        let inner = self.inner.lock();
        inner.pin_tries > 0 && inner.wrong_pins >= inner.pin_tries
    }

    pub(crate) fn logged_in(&self, answer: u64) {
        let mut inner = self.inner.lock();
        inner.wrong_pins = after_login(inner.wrong_pins, answer);
    }

    /// The handle that a caller knows an object of the real module by.
    pub(crate) fn shown(&self, real: u64) -> u64 {
        let epoch = self.inner.lock().epoch;
        if real == 0 { real } else { real | epoch << HANDLE_BITS }
    }

    /// The handle of the real module; `None` where what the caller has is worth nothing.
    pub(crate) fn meant(&self, shown: u64) -> Option<u64> {
        let epoch = self.inner.lock().epoch;
        (shown >> HANDLE_BITS == epoch).then_some(shown & ((1 << HANDLE_BITS) - 1))
    }
}

fn count(inner: &Inner, function: &str) -> u64 {
    inner.counts.get(function).copied().unwrap_or_default()
}

fn close_all(inner: &mut Inner) {
    let mut slots: Vec<_> = inner.sessions.drain().map(|(_, slot)| slot).collect();
    slots.sort_unstable();
    slots.dedup();
    if let Some(close) = real::functions().and_then(|functions| functions.C_CloseAllSessions) {
        let _alone = real::alone();
        for slot in slots {
            // SAFETY: takes a number, and any number.
            unsafe { close(slot) };
        }
    }
}

/// How many wrong PINs stand at the end of the file of calls, since the last right one.
fn wrong_pins(calls: &str) -> u64 {
    let mut wrong = 0;
    for line in calls.lines() {
        let mut words = line.split(' ').skip(1);
        if words.next() == Some("C_Login") {
            let answer = words.nth(1).and_then(|text| text.strip_prefix("0x"));
            let answer = answer.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            wrong = answer.map_or(wrong, |answer| after_login(wrong, answer));
        }
    }
    wrong
}

fn after_login(wrong: u64, answer: u64) -> u64 {
    match answer {
        cryptoki_sys::CKR_PIN_INCORRECT => wrong + 1,
        cryptoki_sys::CKR_OK => 0,
        _ => wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_pins_are_counted_over_restarts_until_a_right_one() {
        let calls = "1 C_Login 1 0xa0\n2 C_Sign 1 0xa0\n3 C_Login 1 0x0\n4 C_Login 1 0xa0\n5 C_Login 2 0xa0\n\
                     6 C_Login 2 0xa4\n";
        assert_eq!(wrong_pins(calls), 2);
    }
}
