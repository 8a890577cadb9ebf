//! The keys in memory: a persistent map, so that a change copies a path through
//! a tree and never the whole, and readers keep what they have seen.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use imbl::{OrdMap, OrdSet};
use skms_backend::{KeyRef, KeyTag, Pin};

use super::history::{Moment, Recent};
use crate::model::{BackendName, ImportJob, Key, KeyId, Order, Place, SortBy, State, Version};

/// A consistent state of the catalog.
#[derive(Clone, Default)]
pub(super) struct View {
    keys: OrdMap<KeyId, Arc<Key>>,
    aliases: OrdMap<KeyId, KeyId>,
    // The same keys once more for each order by time, so that a page of any order is
    // read from where it begins, and no key before it is looked at.
    created: OrdMap<Place, Arc<Key>>,
    updated: OrdMap<Place, Arc<Key>>,
    due: OrdSet<Due>,
    jobs: OrdMap<KeyId, Arc<ImportJob>>,
    pub(super) recent: Recent,
}

/// What the gateway is to do by itself, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub time: SystemTime,
    /// To which key.
    pub key: KeyId,
    /// What.
    pub task: Task,
}

/// What the gateway does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Destroys this version.
    Destroy(u32),
    /// Makes a new version.
    Rotate,
    /// Tells that it expires.
    WarnOfExpiry,
}

/// How long before a key expires that is told.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What of a key is due some day.
fn due(key: &Key) -> impl Iterator<Item = Due> + '_ {
    let destroyed = key.versions.iter().filter(|version| version.state == State::DestroyScheduled);
    let destroyed = destroyed.filter_map(|version| Some((version.destroys?, Task::Destroy(version.number))));
    let rotated = key.rotates().map(|time| (time, Task::Rotate));
    let expires = key.expires.filter(|expires| key.expiry_warned != Some(*expires) && !key.is_gone());
    let warned =
        expires.map(|time| (time.checked_sub(EXPIRY_WARNING).unwrap_or(UNIX_EPOCH), Task::WarnOfExpiry));
    destroyed.chain(rotated).chain(warned).map(|(time, task)| Due { time, key: key.id.clone(), task })
}

/// What a transaction did to one key, or to one import job.
pub(super) enum Change {
    Put(Arc<Key>),
    Removed(KeyId),
    PutJob(Arc<ImportJob>),
    RemovedJob(KeyId),
}

impl View {
    pub(super) fn of(keys: Vec<Key>) -> Self {
        let mut view = Self::default();
        for key in keys {
            view.put(Arc::new(key));
        }
        view
    }

    pub(super) fn and_jobs(mut self, jobs: Vec<ImportJob>) -> Self {
        self.jobs.extend(jobs.into_iter().map(|job| (job.id.clone(), Arc::new(job))));
        self
    }

    pub(super) fn since(mut self, moment: Moment) -> Self {
        self.recent = Recent::since(moment);
        self
    }

    pub(super) fn with(&self, changes: impl IntoIterator<Item = Change>) -> Self {
        let mut view = self.clone();
        for change in changes {
            match change {
                Change::Put(key) => {
                    view.remove(&key.id);
                    view.put(key);
                }
                Change::Removed(id) => view.remove(&id),
                Change::PutJob(job) => {
                    view.jobs.insert(job.id.clone(), job);
                }
                Change::RemovedJob(id) => {
                    view.jobs.remove(&id);
                }
            }
        }
        view
    }

    /// Whether something else is due than in the view before it.
    pub(super) fn is_due_otherwise(&self, before: &Self) -> bool {
        // Parts that the two share are not looked at.
        before.due.diff(&self.due).next().is_some()
    }

    pub(super) fn due(&self, by: SystemTime) -> Vec<Due> {
        self.due.iter().take_while(|due| due.time <= by).cloned().collect()
    }

    pub(super) fn next_due(&self, after: SystemTime) -> Option<SystemTime> {
        // Most of what is due lies ahead.
        self.due.iter().map(|due| due.time).find(|time| *time > after)
    }

    fn put(&mut self, key: Arc<Key>) {
        for alias in &key.aliases {
            self.aliases.insert(alias.clone(), key.id.clone());
        }
        self.created.insert(Place::of(&key, SortBy::CreateTime), Arc::clone(&key));
        self.updated.insert(Place::of(&key, SortBy::UpdateTime), Arc::clone(&key));
        self.due.extend(due(&key));
        self.keys.insert(key.id.clone(), key);
    }

    fn remove(&mut self, id: &KeyId) {
        if let Some(key) = self.keys.remove(id) {
            for alias in &key.aliases {
                self.aliases.remove(alias);
            }
            self.created.remove(&Place::of(&key, SortBy::CreateTime));
            self.updated.remove(&Place::of(&key, SortBy::UpdateTime));
            for due in due(&key) {
                self.due.remove(&due);
            }
        }
    }

    pub(super) fn lookup(&self, name: &KeyId) -> Option<&Arc<Key>> {
        self.keys.get(name).or_else(|| self.keys.get(self.aliases.get(name)?))
    }

    /// Up to `limit` keys behind `after`, and whether there may be more.
    pub(super) fn page(
        &self,
        order: Order,
        after: Option<&Place>,
        limit: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> (Vec<Arc<Key>>, bool) {
        match order.by {
            SortBy::KeyId => {
                let range = behind(after.map(|place| place.id.clone()), order);
                let keys = self.keys.range(range).map(|(_, key)| key);
                taken(directed(keys, order), limit, wanted)
            }
            SortBy::CreateTime => {
                let keys = self.created.range(behind(after.cloned(), order)).map(|(_, key)| key);
                taken(directed(keys, order), limit, wanted)
            }
            SortBy::UpdateTime => {
                let keys = self.updated.range(behind(after.cloned(), order)).map(|(_, key)| key);
                taken(directed(keys, order), limit, wanted)
            }
        }
    }

    fn versions(&self) -> impl Iterator<Item = (&Arc<Key>, &Arc<Version>)> {
        self.keys.values().flat_map(|key| key.versions.iter().map(move |version| (key, version)))
    }

    pub(super) fn intents(&self) -> Vec<(Arc<Key>, Arc<Version>)> {
        self.versions()
            .filter(|(_, version)| matches!(version.state, State::PendingGeneration | State::PendingImport))
            .map(|(key, version)| (Arc::clone(key), Arc::clone(version)))
            .collect()
    }

    pub(super) fn job(&self, id: &KeyId) -> Option<&Arc<ImportJob>> {
        self.jobs.get(id)
    }

    pub(super) fn jobs(&self) -> Vec<Arc<ImportJob>> {
        self.jobs.values().cloned().collect()
    }

    pub(super) fn sealed(&self, backend: &BackendName) -> Option<KeyRef> {
        self.versions()
            .filter(|(_, version)| version.backend == *backend)
            .filter_map(|(_, version)| version.key.as_ref())
            .find(|key| !key.blob.is_empty())
            .cloned()
    }

    pub(super) fn holder(&self, backend: &BackendName, pin: &Pin) -> Option<Arc<Key>> {
        let holds = |version: &Version| {
            let key = version.key.as_ref().filter(|_| version.backend == *backend);
            key.and_then(|key| key.pin.as_ref()) == Some(pin)
        };
        self.versions().find(|(_, version)| holds(version)).map(|(key, _)| Arc::clone(key))
    }

    pub(super) fn tags(&self) -> BTreeSet<KeyTag> {
        let of_versions = self.versions().filter_map(|(_, version)| Some(version.key.as_ref()?.tag));
        let of_jobs = self.jobs.values().filter_map(|job| Some(job.key.as_ref()?.tag));
        of_versions.chain(of_jobs).collect()
    }
}

/// What is behind a place in this order.
fn behind<T>(after: Option<T>, order: Order) -> (Bound<T>, Bound<T>) {
    let edge = after.map_or(Bound::Unbounded, Bound::Excluded);
    if order.descending { (Bound::Unbounded, edge) } else { (edge, Bound::Unbounded) }
}

fn directed<'a>(
    keys: impl DoubleEndedIterator<Item = &'a Arc<Key>> + 'a,
    order: Order,
) -> Box<dyn Iterator<Item = &'a Arc<Key>> + 'a> {
    if order.descending { Box::new(keys.rev()) } else { Box::new(keys) }
}

fn taken<'a>(
    keys: impl Iterator<Item = &'a Arc<Key>>,
    limit: usize,
    wanted: impl Fn(&Key) -> bool,
) -> (Vec<Arc<Key>>, bool) {
    let mut found: Vec<_> = keys.filter(|key| wanted(key)).take(limit.saturating_add(1)).cloned().collect();
    let more = found.len() > limit;
    found.truncate(limit);
    (found, more)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const KEYS: usize = 3000;

    fn key(id: &str, created: u64, updated: u64) -> Key {
        let time = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        Key { created: time(created), updated: time(updated), ..Key::sample(id) }
    }

    /// Many keys, and many of them of the same time.
    fn view() -> View {
        let scattered = |at: u64| at.wrapping_mul(2_654_435_761) % 997;
        let key = |at| key(&format!("key-{at:04}"), scattered(at), scattered(at + 7));
        View::of((0..).take(KEYS).map(key).collect())
    }

    fn orders() -> impl Iterator<Item = Order> {
        [SortBy::KeyId, SortBy::CreateTime, SortBy::UpdateTime]
            .into_iter()
            .flat_map(|by| [false, true].map(|descending| Order { by, descending }))
    }

    /// The ids on all pages, one after the other.
    fn listed(view: &View, order: Order, size: usize) -> Vec<KeyId> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let (keys, more) = view.page(order, after.as_ref(), size, |_| true);
            assert!(keys.len() == size || !more, "{order}: a short page of {size}");
            ids.extend(keys.iter().map(|key| key.id.clone()));
            after = keys.last().map(|key| Place::of(key, order.by));
            if !more {
                return ids;
            }
        }
    }

    #[test]
    fn pages_of_every_order_and_size_are_the_sorted_whole() {
        let view = view();
        for order in orders() {
            let mut sorted: Vec<_> = view.keys.values().map(|key| Place::of(key, order.by)).collect();
            sorted.sort_unstable();
            if order.descending {
                sorted.reverse();
            }
            let sorted: Vec<_> = sorted.into_iter().map(|place| place.id).collect();
            assert_eq!(sorted.len(), KEYS);
            for size in [1, 7, 100, 999, 1000, 3000, 3001, usize::MAX] {
                assert!(listed(&view, order, size) == sorted, "{order}, pages of {size}");
            }
        }
    }

    #[test]
    fn keys_that_come_change_and_go_are_in_every_order_once_or_not_at_all() {
        let mut view = view();
        view = view.with([Change::Removed("key-0007".parse().unwrap())]);
        view = view.with([Change::Put(Arc::new(key("key-0008", 1, 5000)))]);
        view = view.with([Change::Put(Arc::new(key("newcomer", 6000, 6000)))]);
        for order in orders() {
            let ids: BTreeSet<_> = listed(&view, order, 100).into_iter().collect();
            assert_eq!(ids.len(), KEYS, "{order}");
            assert_eq!(listed(&view, order, 100).len(), KEYS, "{order}");
            assert!(!ids.contains(&"key-0007".parse().unwrap()), "{order}");
        }
        let latest = Order { by: SortBy::UpdateTime, descending: true };
        let (keys, _) = view.page(latest, None, 2, |_| true);
        assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["newcomer", "key-0008"]);
    }

    #[test]
    fn a_page_goes_on_behind_a_key_that_is_gone() {
        let view = view();
        for order in orders() {
            let all = listed(&view, order, usize::MAX);
            let last = view.keys.get(&all[99]).map(|key| Place::of(key, order.by)).unwrap();
            let without = view.with([Change::Removed(all[99].clone())]);
            let (keys, _) = without.page(order, Some(&last), 1, |_| true);
            assert_eq!(keys[0].id, all[100], "{order}");
        }
    }
}
