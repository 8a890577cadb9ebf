//! A metric for each value of a closed label, found without a lock.
//!
//! `prometheus-client` keeps such metrics in a map behind a lock. Here each is
//! looked up in that map once, when it is first needed, and kept at its place.

use std::{fmt::Debug, hash::Hash, sync::OnceLock};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric},
    metrics::{TypedMetric, counter::Counter, family::Family, histogram::Histogram},
};

use super::labels::Label;

/// The metrics of one name.
pub(super) struct Table<L, M> {
    pub(super) family: Family<L, M>,
    cells: Vec<OnceLock<M>>,
}

impl<L, M> Table<L, M>
where
    L: Label + EncodeLabelSet + Hash + Eq + Debug + Send + Sync,
    M: EncodeMetric + TypedMetric + Clone,
{
    /// Metrics that `make` makes when they are first needed.
    pub(super) fn new(make: fn() -> M) -> Self {
        let cells = (0..L::COUNT).map(|_| OnceLock::new()).collect();
        Self { family: Family::new_with_constructor(make), cells }
    }

    /// The same, with these there from the start: a counter that appears with its
    /// first event hides that event from a rate.
    pub(super) fn with(make: fn() -> M, labels: impl IntoIterator<Item = L>) -> Self {
        let table = Self::new(make);
        for label in labels {
            table.at(label);
        }
        table
    }

    /// The metric of this label.
    pub(super) fn at(&self, label: L) -> Option<&M> {
        let cell = self.cells.get(label.index())?;
        Some(cell.get_or_init(|| self.family.get_or_create_owned(&label)))
    }
}

impl<L> Table<L, Counter>
where
    L: Label + EncodeLabelSet + Hash + Eq + Debug + Send + Sync,
{
    pub(super) fn count(&self, label: L) {
        if let Some(counter) = self.at(label) {
            counter.inc();
        }
    }
}

impl<L> Table<L, Histogram>
where
    L: Label + EncodeLabelSet + Hash + Eq + Debug + Send + Sync,
{
    pub(super) fn observe(&self, label: L, seconds: f64) {
        if let Some(histogram) = self.at(label) {
            histogram.observe(seconds);
        }
    }
}
