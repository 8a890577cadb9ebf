//! The queue in front of a pool: bounded, and fair between those who wait.
//!
//! Jobs of one priority and one [`Cost`] are a band. Within a band each caller has its
//! turn ([`Turns`]), so that a thousand jobs of one do not stand before the one job of
//! another. Between the bands start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM
//! 1996) decides: what is urgent and short comes sooner and more often, and nothing waits
//! for ever.
//!
//! **Invariant:** places are left for others while they are few: a caller may hold
//! [`HELD_FOR_FREE`] times as many as are free.

mod turns;

use std::{collections::HashMap, num::NonZeroU8, time::Instant};

use self::turns::Turns;
use super::Cost;
use crate::{Flow, Priority};

/// A job in the queue.
pub(super) struct Entry<T> {
    number: u64,
    flow: Flow,
    weight: NonZeroU8,
    priority: Priority,
    pub(super) cost: Cost,
    pub(super) deadline: Instant,
    pub(super) item: T,
}

/// What a queue must know of a job.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) flow: Flow,
    pub(super) weight: NonZeroU8,
    pub(super) priority: Priority,
    pub(super) cost: Cost,
    pub(super) deadline: Instant,
}

/// The receipt for a queued job, with which it can be withdrawn.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    flow: Flow,
    priority: Priority,
    cost: Cost,
}

pub(super) struct Queue<T> {
    bands: [Band<T>; BANDS],
    /// How many places each caller holds, of all who hold any.
    held: HashMap<Flow, usize>,
    len: usize,
    capacity: usize,
    slow_running: usize,
    slow_limit: usize,
    numbered: u64,
    /// The virtual time: when the job began that began last.
    now: u64,
}

struct Band<T> {
    turns: Turns<T>,
    /// When its next job begins, in virtual time.
    start: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize, slow_limit: usize) -> Self {
        Self {
            bands: std::array::from_fn(|_| Band { turns: Turns::default(), start: 0 }),
            held: HashMap::new(),
            len: 0,
            capacity,
            slow_running: 0,
            slow_limit,
            numbered: 0,
            now: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// `None` when there is no place for this job; the item is dropped then.
    pub(super) fn push(&mut self, job: Job, item: T) -> Option<Ticket> {
        let Job { flow, weight, priority, cost, deadline } = job;
        let free = self.capacity.saturating_sub(self.len);
        let held = self.held.get(&flow).copied().unwrap_or_default();
        if held >= free.saturating_mul(HELD_FOR_FREE) {
            return None;
        }
        // Slow jobs have a share of their own, or a few callers who make keys
        // could take every place from those who sign.
        if cost == Cost::Slow && self.slow() >= self.capacity.div_ceil(SLOW_SHARE) {
            return None;
        }
        self.numbered += 1;
        let number = self.numbered;
        self.count(flow);
        let now = self.now;
        let band = self.band(priority, cost);
        if band.turns.len() == 0 {
            // Who did not wait saved nothing up.
            band.start = band.start.max(now);
        }
        band.turns.push_back(Entry { number, flow, weight, priority, cost, deadline, item });
        Some(Ticket { number, flow, priority, cost })
    }

    /// Puts back, before all others of its band, a job that could not be started.
    pub(super) fn push_front(&mut self, entry: Entry<T>) {
        self.count(entry.flow);
        let charge = charge(entry.priority, entry.cost);
        let band = self.band(entry.priority, entry.cost);
        band.start = band.start.saturating_sub(charge);
        band.turns.push_front(entry);
    }

    /// The job whose turn it is, of those that may start now. Whoever takes a job says
    /// when it is [`finished`].
    ///
    /// [`finished`]: Queue::finished
    pub(super) fn next(&mut self) -> Option<Entry<T>> {
        if self.len == 0 {
            return None;
        }
        let slow_may_start = self.slow_running < self.slow_limit;
        let waiting = self.bands.iter_mut().enumerate().filter_map(|(index, band)| {
            let may_start = slow_may_start || index % COSTS == Cost::Fast as usize;
            let oldest = may_start.then(|| band.turns.next_number())??;
            // The more urgent one of two, and then the older one.
            Some(((band.start, index / COSTS, oldest), band))
        });
        let (_, band) = waiting.min_by_key(|(order, _)| *order)?;
        let entry = band.turns.pop()?;
        self.now = self.now.max(band.start);
        band.start += charge(entry.priority, entry.cost);
        self.slow_running += usize::from(entry.cost == Cost::Slow);
        self.uncount(entry.flow);
        Some(entry)
    }

    pub(super) const fn finished(&mut self, cost: Cost) {
        if matches!(cost, Cost::Slow) {
            self.slow_running -= 1;
        }
    }

    /// Takes a job out, if it is still waiting.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<Entry<T>> {
        let entry = self.band(ticket.priority, ticket.cost).turns.withdraw(ticket.flow, ticket.number)?;
        self.uncount(entry.flow);
        Some(entry)
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<Entry<T>> {
        self.len = 0;
        self.held.clear();
        self.bands.iter_mut().flat_map(|band| band.turns.drain()).collect()
    }

    fn slow(&self) -> usize {
        let slow = self.bands.iter().skip(Cost::Slow as usize).step_by(COSTS);
        slow.map(|band| band.turns.len()).sum()
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the indices of two enums, and an array for all pairs of them"
    )]
    const fn band(&mut self, priority: Priority, cost: Cost) -> &mut Band<T> {
        let urgency = Priority::High as usize - priority as usize;
        &mut self.bands[urgency * COSTS + cost as usize]
    }

    fn count(&mut self, flow: Flow) {
        self.len += 1;
        *self.held.entry(flow).or_default() += 1;
    }

    fn uncount(&mut self, flow: Flow) {
        self.len -= 1;
        if let Some(held) = self.held.get_mut(&flow) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&flow);
            }
        }
    }
}

/// How much of the virtual time a job takes: where every band has jobs, as many times
/// more of them are begun as their charge is smaller.
const fn charge(priority: Priority, cost: Cost) -> u64 {
    let urgency = match priority {
        Priority::High => 1,
        Priority::Normal => 4,
        Priority::Low => 16,
    };
    match cost {
        Cost::Fast => urgency,
        // As many short jobs, such as signatures, take about as long as making an RSA key.
        Cost::Slow => 64 * urgency,
    }
}

const COSTS: usize = Cost::Slow as usize + 1;
const BANDS: usize = (Priority::High as usize + 1) * COSTS;

/// One caller alone gets seven of eight places; two who want all get seven of fifteen
/// each (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998).
const HELD_FOR_FREE: usize = 7;

/// One place in so many may be taken by a slow job.
const SLOW_SHARE: usize = 4;

#[cfg(test)]
mod tests;
