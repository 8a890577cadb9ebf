//! Calls of a device that do not come back: their contexts are given up and replaced.
//!
//! A thread inside a driver cannot be stopped. Where a call takes longer than the hang limit
//! its thread is in quarantine, and another one takes its place in the pool with a context of
//! its own. There are as many in quarantine as the pool has places at most; then places stay
//! vacant, and where all are, callers are refused at once. A thread that comes back leaves,
//! or takes its place again where that is vacant.
//!
//! **Invariant:** the limit is the device's and no caller's: whose deadline is short puts
//! nothing into quarantine.
//!
//! **Invariant:** a context that was in quarantine is neither used nor closed by the pool any
//! more.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use super::{Cost, Device, Shared, State};
use crate::{Class, Error, Operation};

/// The limit is looked at so many times while it passes: a hang is found a quarter late.
const LOOKS: u32 = 4;

/// A place for a worker in a pool.
#[derive(Default)]
pub(super) struct Place {
    /// Which of the workers that had it has it now.
    tenure: u64,
    /// Whether the last one is in quarantine, and there is no other.
    is_vacant: bool,
    doing: Option<(Instant, Doing)>,
}

/// What can hang.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    Job(Cost),
    /// Opening a context again, for no job.
    Recovery,
}

/// A worker's claim to its place.
pub(super) struct Seat {
    pub(super) index: usize,
    tenure: u64,
    /// Whether it was in quarantine, and its context with it.
    pub(super) is_stale: bool,
    /// Whether the place is another's, and the thread is to end.
    pub(super) is_lost: bool,
}

impl Seat {
    pub(super) const fn first(index: usize) -> Self {
        Self { index, tenure: 0, is_stale: false, is_lost: false }
    }
}

impl<D: Device> State<D> {
    /// The worker of a place begins, now, with what may hang.
    pub(super) fn begins(&mut self, seat: &Seat, doing: Doing) -> Instant {
        let now = Instant::now();
        if let Some(place) = self.places.get_mut(seat.index) {
            place.doing = Some((now, doing));
        }
        now
    }

    /// The worker is back. Answers whether it still has its place; else it was in quarantine,
    /// and what it did is no longer counted.
    pub(super) fn ends(&mut self, seat: &mut Seat) -> bool {
        let Some(place) = self.places.get_mut(seat.index) else { return false };
        if place.tenure == seat.tenure {
            place.doing = None;
            return true;
        }
        self.quarantined -= 1;
        seat.is_stale = true;
        if place.is_vacant {
            place.is_vacant = false;
            seat.tenure = place.tenure;
        } else {
            seat.is_lost = true;
        }
        false
    }

    /// Places that have a worker.
    pub(super) fn live(&self) -> usize {
        self.places.iter().filter(|place| !place.is_vacant).count()
    }

    /// Why no job can be taken, where that is so.
    pub(super) fn refusal(&self, operation: Operation) -> Option<Error> {
        let live = self.live();
        if live == 0 {
            return Some(Error::new(Class::Hung, operation));
        }
        if self.failed == live { self.last_failure.clone() } else { None }
    }

    /// Takes the place from a worker that began too long ago, and answers with the number of
    /// the next who has it; `None` where it stays vacant.
    fn quarantine(&mut self, index: usize, limit: Duration) -> Option<Option<u64>> {
        let places = self.places.len();
        let place = self.places.get_mut(index)?;
        let (_, doing) = place.doing.take_if(|(since, _)| since.elapsed() >= limit)?;
        match doing {
            Doing::Job(cost) => {
                self.busy -= 1;
                self.queue.finished(cost);
            }
            Doing::Recovery => self.failed -= 1,
        }
        place.tenure += 1;
        self.quarantined += 1;
        if self.quarantined <= places && !self.closed {
            return Some(Some(place.tenure));
        }
        place.is_vacant = true;
        Some(None)
    }
}

impl<D: Device> Shared<D> {
    /// The life of the thread that looks for what hangs, until no worker is left.
    pub(super) fn watch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        while !state.closed || *self.alive.borrow() > 0 {
            for index in 0..state.places.len() {
                let Some(next) = state.quarantine(index, self.hang_limit) else { continue };
                warn!(
                    backend = self.name,
                    limit = ?self.hang_limit,
                    quarantined = state.quarantined,
                    "a call of the device does not come back; its context is given up"
                );
                self.alive.send_modify(|alive| *alive -= 1);
                if let Some(tenure) = next
                    && !self.replace(index, tenure)
                    && let Some(place) = state.places.get_mut(index)
                {
                    place.is_vacant = true;
                }
            }
            if let Some(refusal) = state.refusal(Operation::Open)
                && state.queue.len() > 0
            {
                let refused = state.queue.drain();
                // Jobs own what they captured, and answer callers: not under the lock.
                drop(state);
                error!(backend = self.name, error = %refusal, "no context is left; callers are refused");
                for entry in refused {
                    (entry.item)(Err(refusal.clone()));
                }
                state = self.state.lock();
            }
            self.look.wait_for(&mut state, self.hang_limit / LOOKS);
        }
    }

    /// Starts the next worker of a place; `false` where the system gives no thread.
    fn replace(self: &Arc<Self>, index: usize, tenure: u64) -> bool {
        let worker = Arc::clone(self);
        let seat = Seat { tenure, ..Seat::first(index) };
        let started = thread::Builder::new()
            .name(format!("{}-{index}.{tenure}", self.name))
            .spawn(move || worker.serve(seat));
        if let Err(problem) = &started {
            error!(backend = self.name, error = %problem, "no thread for another context");
            return false;
        }
        self.alive.send_modify(|alive| *alive += 1);
        true
    }

    /// Closes a context that serves no other job, unless it was in quarantine.
    pub(super) fn retire(&self, seat: &Seat, context: &mut Option<D::Context>) {
        let is_seated = {
            let state = self.state.lock();
            state.places.get(seat.index).is_some_and(|place| place.tenure == seat.tenure)
        };
        // Closing may block as well: not under the lock.
        match context.take() {
            Some(closed) if is_seated => drop(closed),
            given_up => std::mem::forget(given_up),
        }
    }

    /// Gives up what was in quarantine; `false` where the thread is to end.
    pub(super) fn reseat(&self, seat: &mut Seat, context: &mut Option<D::Context>) -> bool {
        if !seat.is_stale {
            return true;
        }
        seat.is_stale = false;
        std::mem::forget(context.take());
        info!(backend = self.name, "a call of the device came back that was given up");
        if seat.is_lost {
            return false;
        }
        self.alive.send_modify(|alive| *alive += 1);
        true
    }
}
