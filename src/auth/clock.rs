//! The time: of the day for what tokens say, and since the start for ages, which
//! must not jump when somebody sets the clock.

use std::time::SystemTime;

use tokio::time::Instant;

/// The clocks of this machine; in tests as far ahead or behind as they like.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    #[cfg(test)]
    pub(super) shift: std::sync::Arc<parking_lot::Mutex<Shift>>,
}

/// How far a test has moved the clocks.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shift {
    pub(super) ahead: std::time::Duration,
    pub(super) behind: std::time::Duration,
    pub(super) older: std::time::Duration,
}

#[cfg(not(test))]
impl Clock {
    pub(super) fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    pub(super) fn steady(&self) -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
impl Clock {
    pub(super) fn wall(&self) -> SystemTime {
        let shift = *self.shift.lock();
        SystemTime::now() + shift.ahead - shift.behind
    }

    pub(super) fn steady(&self) -> Instant {
        Instant::now() + self.shift.lock().older
    }
}
