//! Contexts that cannot be opened: who hears of it, and when it is tried again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    Device, Shared, Work,
    hangs::{Doing, Seat},
    queue,
};
use crate::{Class, Error, Operation};

/// How long a worker waits before it tries to open its context again.
const REOPEN_AFTER_MIN: Duration = Duration::from_millis(100);
/// The wait doubles up to this: a device that comes back is noticed within it.
const REOPEN_AFTER_MAX: Duration = Duration::from_secs(2);

impl<D: Device> Shared<D> {
    /// Opens a context, at the second try if need be: a device that blinks is not away. Only a
    /// PIN is never tried twice.
    pub(super) fn open(&self) -> Result<D::Context, Error> {
        self.try_open().or_else(|failure| match failure.class() {
            Class::Pin | Class::Closed => Err(failure),
            _ => self.try_open(),
        })
    }

    /// Opens a context; a driver that panics is a driver that failed.
    fn try_open(&self) -> Result<D::Context, Error> {
        catch_unwind(AssertUnwindSafe(|| self.device.open())).unwrap_or_else(|_| {
            Err(Error::new(Class::Broken, Operation::Open).detail("opening the device panicked"))
        })
    }

    /// No context for this job: another worker may have one; where none has, every
    /// waiting caller learns why. `false` where the worker lost its place meanwhile.
    pub(super) fn fail(&self, seat: &mut Seat, entry: queue::Entry<Work<D>>, failure: &Error) -> bool {
        warn!(backend = self.name, error = %failure, "cannot open a device context");
        let refused = {
            let mut state = self.state.lock();
            if !state.ends(seat) {
                drop(state);
                (entry.item)(Err(failure.clone()));
                return false;
            }
            state.busy -= 1;
            state.queue.finished(entry.cost);
            state.failed += 1;
            state.last_failure = Some(failure.clone());
            if state.failed == state.live() {
                let mut refused = state.queue.drain();
                refused.push(entry);
                refused
            } else {
                state.queue.push_front(entry);
                // An idle worker would sleep beside a job that it could do.
                if let Some(index) = state.idle.pop() {
                    let next = state.queue.next();
                    state.busy += usize::from(next.is_some());
                    if let Some(handed) = state.handed.get_mut(index) {
                        *handed = next;
                    }
                    if let Some(wake) = self.wake.get(index) {
                        wake.notify_one();
                    }
                }
                Vec::new()
            }
        };
        for entry in refused {
            (entry.item)(Err(failure.clone()));
        }
        true
    }

    /// Tries again, later and later, until the context is open. `false` when the
    /// pool was closed meanwhile.
    pub(super) fn recover(&self, seat: &mut Seat, context: &mut Option<D::Context>) -> bool {
        let mut wait = REOPEN_AFTER_MIN;
        loop {
            {
                let mut state = self.state.lock();
                let latched =
                    state.last_failure.as_ref().is_some_and(|failure| failure.class() == Class::Pin);
                let until = Instant::now() + wait;
                while !state.closed {
                    let Some(wake) = self.wake.get(seat.index) else { return false };
                    if latched {
                        wake.wait(&mut state);
                    } else if wake.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
                if state.closed {
                    return false;
                }
                state.begins(seat, Doing::Recovery);
            }
            let opened = self.open();
            let mut state = self.state.lock();
            if !state.ends(seat) {
                *context = opened.ok();
                return true;
            }
            match opened {
                Ok(opened) => {
                    *context = Some(opened);
                    state.failed -= 1;
                    if state.failed == 0 {
                        state.last_failure = None;
                    }
                    return true;
                }
                Err(failure) => {
                    state.last_failure = Some(failure);
                    wait = (wait * 2).min(REOPEN_AFTER_MAX);
                }
            }
        }
    }
}
