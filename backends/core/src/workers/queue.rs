//! The queue in front of a pool: bounded, first-in first-out, with a cap on how
//! many slow jobs run at once.

use std::{collections::VecDeque, time::Instant};

use super::Cost;

/// A job in the queue.
pub(super) struct Entry<T> {
    number: u64,
    pub(super) cost: Cost,
    pub(super) deadline: Instant,
    pub(super) item: T,
}

/// The receipt for a queued job, with which it can be withdrawn.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    number: u64,
    cost: Cost,
}

/// One place in so many may be taken by a slow job.
const SLOW_SHARE: usize = 4;

pub(super) struct Queue<T> {
    fast: VecDeque<Entry<T>>,
    slow: VecDeque<Entry<T>>,
    capacity: usize,
    slow_running: usize,
    slow_limit: usize,
    numbered: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize, slow_limit: usize) -> Self {
        Self {
            fast: VecDeque::new(),
            slow: VecDeque::new(),
            capacity,
            slow_running: 0,
            slow_limit,
            numbered: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.fast.len() + self.slow.len()
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    const fn lane(&mut self, cost: Cost) -> &mut VecDeque<Entry<T>> {
        match cost {
            Cost::Fast => &mut self.fast,
            Cost::Slow => &mut self.slow,
        }
    }

    /// `None` when the queue is full; the item is dropped then.
    pub(super) fn push(&mut self, cost: Cost, deadline: Instant, item: T) -> Option<Ticket> {
        // Slow jobs have a share of their own, or a few callers who make keys
        // could take every place from those who sign.
        let slow_is_full = cost == Cost::Slow && self.slow.len() >= self.capacity.div_ceil(SLOW_SHARE);
        if self.len() >= self.capacity || slow_is_full {
            return None;
        }
        self.numbered += 1;
        let number = self.numbered;
        self.lane(cost).push_back(Entry { number, cost, deadline, item });
        Some(Ticket { number, cost })
    }

    /// Puts back, before all others of its lane, a job that could not be started.
    pub(super) fn push_front(&mut self, entry: Entry<T>) {
        self.lane(entry.cost).push_front(entry);
    }

    /// The oldest job that may start now. Whoever takes a job says when it is [`finished`].
    ///
    /// [`finished`]: Queue::finished
    pub(super) fn next(&mut self) -> Option<Entry<T>> {
        let slow = self.slow.front().filter(|_| self.slow_running < self.slow_limit);
        let slow_is_older = match (slow, self.fast.front()) {
            (Some(slow), Some(fast)) => slow.number < fast.number,
            (slow, None) => slow.is_some(),
            (None, Some(_)) => false,
        };
        if slow_is_older {
            self.slow_running += 1;
            self.slow.pop_front()
        } else {
            self.fast.pop_front()
        }
    }

    pub(super) const fn finished(&mut self, cost: Cost) {
        if matches!(cost, Cost::Slow) {
            self.slow_running -= 1;
        }
    }

    /// Takes a job out, if it is still waiting.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<Entry<T>> {
        let lane = self.lane(ticket.cost);
        let at = lane.iter().position(|entry| entry.number == ticket.number)?;
        lane.remove(at)
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<Entry<T>> {
        self.fast.drain(..).chain(self.slow.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut Queue<&'static str>, cost: Cost, item: &'static str) -> Option<Ticket> {
        queue.push(cost, Instant::now(), item)
    }

    fn next(queue: &mut Queue<&'static str>) -> Option<&'static str> {
        queue.next().map(|entry| entry.item)
    }

    #[test]
    fn the_oldest_comes_first_whatever_its_cost() {
        let mut queue = Queue::new(8, 2);
        push(&mut queue, Cost::Slow, "a");
        push(&mut queue, Cost::Fast, "b");
        push(&mut queue, Cost::Slow, "c");
        assert_eq!([next(&mut queue), next(&mut queue), next(&mut queue)], [Some("a"), Some("b"), Some("c")]);
        assert_eq!(next(&mut queue), None);
    }

    #[test]
    fn slow_jobs_wait_when_their_share_is_taken() {
        let mut queue = Queue::new(8, 1);
        push(&mut queue, Cost::Slow, "a");
        push(&mut queue, Cost::Slow, "b");
        push(&mut queue, Cost::Fast, "c");
        assert_eq!(next(&mut queue), Some("a"));
        assert_eq!(next(&mut queue), Some("c"));
        assert_eq!(next(&mut queue), None);
        queue.finished(Cost::Slow);
        assert_eq!(next(&mut queue), Some("b"));
    }

    #[test]
    fn slow_jobs_never_take_every_place() {
        let mut queue = Queue::new(8, 1);
        let accepted = (0..8).filter(|_| push(&mut queue, Cost::Slow, "slow").is_some()).count();
        assert_eq!(accepted, 2);
        let accepted = (0..8).filter(|_| push(&mut queue, Cost::Fast, "fast").is_some()).count();
        assert_eq!(accepted, 6);
    }

    #[test]
    fn a_full_queue_refuses_and_a_withdrawn_job_makes_room() {
        let mut queue = Queue::new(2, 1);
        let first = push(&mut queue, Cost::Fast, "a").unwrap();
        push(&mut queue, Cost::Fast, "b");
        assert!(push(&mut queue, Cost::Fast, "c").is_none());
        assert_eq!(queue.withdraw(first).map(|entry| entry.item), Some("a"));
        assert!(queue.withdraw(first).is_none());
        assert!(push(&mut queue, Cost::Fast, "d").is_some());
        assert_eq!([next(&mut queue), next(&mut queue)], [Some("b"), Some("d")]);
    }
}
