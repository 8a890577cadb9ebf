//! The keys in memory: a persistent map, so that a change copies a path through
//! a tree and never the whole, and readers keep what they have seen.

use std::{collections::BTreeSet, ops::Bound, sync::Arc};

use imbl::OrdMap;
use skms_backend::{KeyRef, KeyTag};

use crate::model::{BackendName, Key, KeyId, State, Version};

/// A consistent state of the catalog.
#[derive(Clone, Default)]
pub(super) struct View {
    keys: OrdMap<KeyId, Arc<Key>>,
    aliases: OrdMap<KeyId, KeyId>,
}

/// What a transaction did to one key.
pub(super) enum Change {
    Put(Arc<Key>),
    Removed(KeyId),
}

impl View {
    pub(super) fn of(keys: Vec<Key>) -> Self {
        let mut view = Self::default();
        for key in keys {
            view.put(Arc::new(key));
        }
        view
    }

    pub(super) fn with(&self, change: Change) -> Self {
        let mut view = self.clone();
        match change {
            Change::Put(key) => {
                view.remove(&key.id);
                view.put(key);
            }
            Change::Removed(id) => view.remove(&id),
        }
        view
    }

    fn put(&mut self, key: Arc<Key>) {
        for alias in &key.aliases {
            self.aliases.insert(alias.clone(), key.id.clone());
        }
        self.keys.insert(key.id.clone(), key);
    }

    fn remove(&mut self, id: &KeyId) {
        if let Some(key) = self.keys.remove(id) {
            for alias in &key.aliases {
                self.aliases.remove(alias);
            }
        }
    }

    pub(super) fn lookup(&self, name: &KeyId) -> Option<&Arc<Key>> {
        self.keys.get(name).or_else(|| self.keys.get(self.aliases.get(name)?))
    }

    pub(super) fn page(
        &self,
        after: Option<&KeyId>,
        limit: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> (Vec<Arc<Key>>, bool) {
        let from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(id.clone()));
        let mut found = self
            .keys
            .range((from, Bound::Unbounded))
            .map(|(_, key)| key)
            .filter(|key| wanted(key))
            .take(limit.saturating_add(1))
            .cloned()
            .collect::<Vec<_>>();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }

    fn versions(&self) -> impl Iterator<Item = (&Arc<Key>, &Arc<Version>)> {
        self.keys.values().flat_map(|key| key.versions.iter().map(move |version| (key, version)))
    }

    pub(super) fn intents(&self) -> Vec<(Arc<Key>, Arc<Version>)> {
        self.versions()
            .filter(|(_, version)| version.state == State::PendingGeneration)
            .map(|(key, version)| (Arc::clone(key), Arc::clone(version)))
            .collect()
    }

    pub(super) fn sealed(&self, backend: &BackendName) -> Option<KeyRef> {
        self.versions()
            .filter(|(_, version)| version.backend == *backend)
            .filter_map(|(_, version)| version.key.as_ref())
            .find(|key| !key.blob.is_empty())
            .cloned()
    }

    pub(super) fn tags(&self) -> BTreeSet<KeyTag> {
        self.versions().filter_map(|(_, version)| Some(version.key.as_ref()?.tag)).collect()
    }
}
