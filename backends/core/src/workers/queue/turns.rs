//! Jobs of one kind: each caller has a turn, and in its turn its oldest jobs: one, or as many
//! as its weight is.

use std::collections::{HashMap, VecDeque};

use super::Entry;
use crate::Flow;

pub(super) struct Turns<T> {
    /// Whose turn comes when. Some of them may have withdrawn what they had.
    order: VecDeque<Flow>,
    /// Of everybody in the order, and of nobody else.
    jobs: HashMap<Flow, VecDeque<Entry<T>>>,
    waiting: usize,
    /// How many jobs were taken in the turn of the first.
    taken: u8,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), jobs: HashMap::new(), waiting: 0, taken: 0 }
    }
}

impl<T> Turns<T> {
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// The number of the job that is next.
    pub(super) fn next_number(&mut self) -> Option<u64> {
        self.skip_withdrawn();
        let jobs = self.jobs.get(self.order.front()?)?;
        Some(jobs.front()?.number)
    }

    pub(super) fn push_back(&mut self, entry: Entry<T>) {
        self.waiting += 1;
        let flow = entry.flow;
        let jobs = self.jobs.entry(flow).or_insert_with(|| {
            self.order.push_back(flow);
            VecDeque::new()
        });
        jobs.push_back(entry);
    }

    /// Puts back, before all others, what was taken last.
    pub(super) fn push_front(&mut self, entry: Entry<T>) {
        self.waiting += 1;
        let flow = entry.flow;
        if self.order.front() != Some(&flow) {
            self.order.retain(|other| *other != flow);
            self.order.push_front(flow);
            self.taken = entry.weight.get();
        }
        self.taken = self.taken.saturating_sub(1);
        self.jobs.entry(flow).or_default().push_front(entry);
    }

    pub(super) fn pop(&mut self) -> Option<Entry<T>> {
        self.skip_withdrawn();
        let flow = *self.order.front()?;
        let jobs = self.jobs.get_mut(&flow)?;
        let entry = jobs.pop_front()?;
        self.waiting -= 1;
        self.taken = self.taken.saturating_add(1);
        if jobs.is_empty() {
            self.jobs.remove(&flow);
            self.end_turn();
        } else if self.taken >= entry.weight.get() {
            self.end_turn();
            self.order.push_back(flow);
        }
        Some(entry)
    }

    pub(super) fn withdraw(&mut self, flow: Flow, number: u64) -> Option<Entry<T>> {
        let jobs = self.jobs.get_mut(&flow)?;
        let at = jobs.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let entry = jobs.remove(at)?;
        self.waiting -= 1;
        // A turn without a job costs its place in memory, and is skipped when it comes;
        // while none comes, they must not become many.
        if self.order.len() > 2 * self.waiting + SPARE {
            self.skip_withdrawn();
            self.order.retain(|flow| self.jobs.get(flow).is_some_and(|jobs| !jobs.is_empty()));
            self.jobs.retain(|_, jobs| !jobs.is_empty());
        }
        Some(entry)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry<T>> {
        self.waiting = 0;
        self.order.clear();
        self.jobs.drain().flat_map(|(_, jobs)| jobs)
    }

    fn skip_withdrawn(&mut self) {
        while let Some(flow) = self.order.front()
            && self.jobs.get(flow).is_none_or(VecDeque::is_empty)
        {
            self.jobs.remove(flow);
            self.end_turn();
        }
    }

    /// The turn of the first is over.
    fn end_turn(&mut self) {
        self.order.pop_front();
        self.taken = 0;
    }
}

/// So many turns without a job are nothing to clean up for.
const SPARE: usize = 16;

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU8, time::Instant};

    use super::*;
    use crate::{Cost, Priority};

    fn weighted(number: u64, flow: u64, weight: u8) -> Entry<()> {
        Entry { weight: NonZeroU8::new(weight).unwrap(), ..entry(number, flow) }
    }

    fn entry(number: u64, flow: u64) -> Entry<()> {
        let (cost, priority) = (Cost::Fast, Priority::Normal);
        Entry {
            number,
            flow: Flow(flow),
            weight: NonZeroU8::MIN,
            cost,
            priority,
            deadline: Instant::now(),
            item: (),
        }
    }

    #[test]
    fn who_withdraws_everything_leaves_no_trace_although_no_turn_comes() {
        let mut turns = Turns::default();
        turns.push_back(entry(0, 0));
        for number in 1..10_000 {
            turns.push_back(entry(number, number));
            assert!(turns.withdraw(Flow(number), number).is_some());
            assert!(turns.withdraw(Flow(number), number).is_none());
        }
        assert!(turns.order.len() <= 2 + SPARE && turns.jobs.len() == turns.order.len());
        assert_eq!((turns.next_number(), turns.len()), (Some(0), 1));
    }

    #[test]
    fn who_withdraws_and_comes_again_has_one_turn() {
        let mut turns = Turns::default();
        for number in [0, 1] {
            turns.push_back(entry(number, 7));
        }
        turns.push_back(entry(2, 8));
        turns.withdraw(Flow(7), 0);
        turns.withdraw(Flow(7), 1);
        for number in [3, 4] {
            turns.push_back(entry(number, 7));
        }
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).map(|entry| entry.number).collect();
        assert_eq!(order, [3, 2, 4]);
        assert!(turns.order.is_empty() && turns.jobs.is_empty());
    }

    #[test]
    fn who_has_more_weight_has_longer_turns() {
        let mut turns = Turns::default();
        for number in 0..9 {
            turns.push_back(weighted(number, 7, 3));
            turns.push_back(weighted(10 + number, 8, 1));
        }
        let mut order = Vec::new();
        while let Some(entry) = turns.pop() {
            // What is put back costs no turn.
            turns.push_front(entry);
            order.push(turns.pop().unwrap().number);
        }
        assert_eq!(order, [0, 1, 2, 10, 3, 4, 5, 11, 6, 7, 8, 12, 13, 14, 15, 16, 17, 18]);
        assert!(turns.order.is_empty() && turns.jobs.is_empty());
    }

    #[test]
    fn what_is_put_back_is_next_again() {
        let mut turns = Turns::default();
        for (number, flow) in [(0, 7), (1, 7), (2, 8)] {
            turns.push_back(entry(number, flow));
        }
        let first = turns.pop().unwrap();
        turns.push_front(first);
        let order: Vec<_> = std::iter::from_fn(|| turns.pop()).map(|entry| entry.number).collect();
        assert_eq!(order, [0, 2, 1]);
    }
}
