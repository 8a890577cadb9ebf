//! The catalog: what the gateway knows of its keys.
//!
//! It is kept in SQLite (embedded, write-ahead log, every commit synced to disk)
//! and read from memory: [`Catalog::lookup`] touches no database. Every mutation
//! is one transaction that also writes a monotonic revision and a change row;
//! when it is committed, the view in memory is replaced.
//!
//! **Invariant:** a version is an *intent* (`pending-generation`) on disk before
//! any device hears of its tag, and is activated in one transaction after the
//! device made it. What a crash leaves between the two is found by its tag.
//!
//! **Invariant:** a tag is activated or given up, never both: whoever wants to
//! remove material gives its tag up first, and is told if that is too late.
//!
//! **Invariant:** the view never shows what is not committed.

mod adopted;
mod amend;
mod anchors;
mod change;
mod config;
mod destroy;
mod error;
mod history;
mod home;
mod idempotency;
mod jobs;
mod nonces;
mod restore;
mod rows;
mod snapshot;
mod store;
mod view;

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use skms_backend::{GeneratedKey, KeyRef, KeyTag, Pin};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::anchors::anchors;
pub use self::change::{Amendment, Change};
pub use self::config::Config;
pub use self::error::Error;
pub use self::history::{Changed, Kind, Moment, State};
pub use self::idempotency::{Idempotency, REQUEST_ID_LIFETIME};
pub use self::jobs::BegunJob;
pub use self::restore::{Place as RestorePlace, RestoreError, Restored, restore};
pub use self::snapshot::{Scratch, Snapshot};
pub use self::view::{Due, Task};
use self::{store::Store, view::View};
use crate::model::{BackendName, Key, KeyId, Labels, Order, Place, Version};

/// What the gateway knows of its keys.
pub struct Catalog {
    instance: Uuid,
    view: Arc<ArcSwap<View>>,
    /// Sent to when what is due has changed.
    due: watch::Sender<()>,
    /// Sent to when anything has changed.
    changed: watch::Sender<()>,
    /// Held only on threads that may block, for the length of one transaction.
    store: Arc<Mutex<Store>>,
}

/// How an intent was received.
pub enum Begun {
    /// It is on disk; the device may be asked.
    New(Arc<Key>),
    /// The call was made before: this was its answer.
    Repeated(Box<Key>),
}

/// The guards of a mutation: what its caller believes of the key.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The etag that the key must have; `None`: any.
    pub etag: Option<String>,
    /// The primary version that the key must have; 0: any.
    pub primary: u32,
    /// The labels that the key had when it was decided that its caller may do this;
    /// `None`: any.
    pub labels: Option<Labels>,
    /// The minimums for signing and for verifying that it had then; `None`: any.
    pub minimums: Option<(u32, u32)>,
    /// The scheduled rotation that this is: it must be the next one still, and is done
    /// with when the version is activated. `None`: none.
    pub due: Option<SystemTime>,
}

impl Catalog {
    /// Opens the database, makes or migrates its tables, and reads every key.
    /// Blocks.
    ///
    /// # Errors
    /// When the file cannot be opened, belongs to a running gateway, or comes
    /// from a newer one.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let store = Store::open(&config.path)?;
        let view = View::of(store.load()?).and_jobs(store.load_jobs()?).since(store.moment()?);
        Ok(Self {
            instance: store.instance(),
            view: Arc::new(ArcSwap::from_pointee(view)),
            due: watch::Sender::new(()),
            changed: watch::Sender::new(()),
            store: Arc::new(Mutex::new(store)),
        })
    }

    /// The random id of this catalog, under which its keys are marked on devices.
    #[must_use]
    pub const fn instance(&self) -> Uuid {
        self.instance
    }

    /// The key of this id or alias, from memory.
    #[must_use]
    pub fn lookup(&self, name: &KeyId) -> Option<Arc<Key>> {
        self.view.load().lookup(name).cloned()
    }

    /// Up to `limit` keys behind `after` in this order that `wanted` accepts, from
    /// memory; and whether there may be more.
    #[must_use]
    pub fn page(
        &self,
        order: Order,
        after: Option<&Place>,
        limit: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> (Vec<Arc<Key>>, bool) {
        self.view.load_full().page(order, after, limit, wanted)
    }

    /// Every intent that was neither activated nor abandoned, from memory.
    #[must_use]
    pub fn intents(&self) -> Vec<(Arc<Key>, Arc<Version>)> {
        self.view.load_full().intents()
    }

    /// A key that this backend sealed and gave into our keeping, from memory.
    #[must_use]
    pub fn sealed(&self, backend: &BackendName) -> Option<KeyRef> {
        self.view.load_full().sealed(backend)
    }

    /// The key of which a version is this material on this backend, from memory.
    #[must_use]
    pub fn holder(&self, backend: &BackendName, pin: &Pin) -> Option<Arc<Key>> {
        self.view.load_full().holder(backend, pin)
    }

    /// The tag of every version of every key and of every import job, from memory.
    #[must_use]
    pub fn tags(&self) -> BTreeSet<KeyTag> {
        self.view.load_full().tags()
    }

    /// The answer that was given to this call before, if it was made before.
    ///
    /// # Errors
    /// [`Error::RequestIdReused`], [`Error::InProgress`], and [`Error::Store`].
    pub async fn first_answer(&self, request: Option<Idempotency>) -> Result<Option<Box<Key>>, Error> {
        match request {
            Some(request) => self.write(move |store| store.first_answer(&request)).await,
            None => Ok(None),
        }
    }

    /// Writes down that a key and its first version are about to be made.
    ///
    /// # Errors
    /// [`Error::KeyExists`], [`Error::IdRetired`], [`Error::AliasInUse`],
    /// [`Error::RequestIdReused`], [`Error::InProgress`], and [`Error::Store`].
    pub async fn begin_create(&self, key: Key, request: Option<Idempotency>) -> Result<Begun, Error> {
        self.write(move |store| store.begin_create(&key, request.as_ref())).await
    }

    /// Writes down that a version is about to be made. `version` is given the
    /// next free number.
    ///
    /// # Errors
    /// [`Error::KeyMissing`], [`Error::EtagMismatch`], [`Error::PrimaryChanged`],
    /// [`Error::RequestIdReused`], [`Error::InProgress`], and [`Error::Store`].
    pub async fn begin_rotate(
        &self,
        id: KeyId,
        version: Version,
        expected: Expected,
        request: Option<Idempotency>,
    ) -> Result<Begun, Error> {
        self.write(move |store| store.begin_rotate(&id, &version, &expected, request.as_ref())).await
    }

    /// Changes a key by one verb, moves its primary, or changes what is said of it.
    ///
    /// # Errors
    /// [`Error::KeyMissing`], [`Error::EtagMismatch`], [`Error::PrimaryChanged`],
    /// [`Error::Refused`], [`Error::RequestIdReused`], [`Error::InProgress`], and
    /// [`Error::Store`]; for what is said of it also [`Error::AliasInUse`],
    /// [`Error::KeyExists`], [`Error::IdRetired`], [`Error::Expires`] and
    /// [`Error::NoPeriod`].
    pub async fn amend(
        &self,
        id: KeyId,
        amendment: Amendment,
        expected: Expected,
        request: Option<Idempotency>,
    ) -> Result<Begun, Error> {
        self.write(move |store| store.amend(&id, &amendment, &expected, request.as_ref())).await
    }

    /// Gives up the tag of a version whose time to be destroyed has come: from here on
    /// nothing brings it back. `None` where it is not to be destroyed now.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] and [`Error::Store`].
    pub async fn begin_destroy(
        &self,
        id: KeyId,
        number: u32,
        now: SystemTime,
    ) -> Result<Option<KeyTag>, Error> {
        self.write(move |store| store.begin_destroy(&id, number, now)).await
    }

    /// Writes down that the material of a version is gone, and forgets what was kept
    /// of it. A key without any other version keeps its id and loses its aliases.
    ///
    /// # Errors
    /// [`Error::KeyMissing`], [`Error::Refused`], and [`Error::Store`].
    pub async fn destroyed(&self, id: KeyId, number: u32, now: SystemTime) -> Result<Arc<Key>, Error> {
        self.write(move |store| store.destroyed(&id, number, now)).await
    }

    /// What is due by then, the earliest first, from memory.
    #[must_use]
    pub fn due(&self, by: SystemTime) -> Vec<Due> {
        self.view.load_full().due(by)
    }

    /// When something is due next, after that time, from memory.
    #[must_use]
    pub fn next_due(&self, after: SystemTime) -> Option<SystemTime> {
        self.view.load_full().next_due(after)
    }

    /// Tells when what is due has changed.
    #[must_use]
    pub fn due_changes(&self) -> watch::Receiver<()> {
        self.due.subscribe()
    }

    /// Takes the version with this tag into use: its material was made. With
    /// `promote` it becomes the primary, unless a newer one already is. What was
    /// expected at the beginning is checked again.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] also where the intent was given up meanwhile,
    /// [`Error::EtagMismatch`], [`Error::PrimaryChanged`], [`Error::Refused`] where the
    /// key was taken out of use meanwhile, and [`Error::Store`].
    pub async fn activate(
        &self,
        id: KeyId,
        tag: KeyTag,
        made: GeneratedKey,
        promote: bool,
        expected: Expected,
    ) -> Result<Arc<Key>, Error> {
        self.write(move |store| store.activate(&id, tag, &made, promote, &expected)).await
    }

    /// Gives up the intent with this tag; the tag is kept for the sweep. A key
    /// without any other version is forgotten with it. `false` where there is no
    /// such intent any more: it was activated, or given up before.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn abandon(&self, id: KeyId, tag: KeyTag) -> Result<bool, Error> {
        self.write(move |store| store.abandon(&id, tag)).await
    }

    /// The next `count` nonces of the version with this tag, below `most`; fewer, or
    /// none, where they come to an end. They are on disk as used when this returns.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn reserve_nonces(&self, tag: KeyTag, count: u64, most: u64) -> Result<Range<u64>, Error> {
        self.write(move |store| store.reserve_nonces(tag, count, most)).await
    }

    /// The next `count` operations of the version with this tag, as far as its key allows
    /// so many; fewer, or none, where they come to an end. They are on disk as given out
    /// when this returns.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] where the version was destroyed meanwhile, and
    /// [`Error::Store`].
    pub async fn reserve_operations(&self, tag: KeyTag, count: u64) -> Result<Range<u64>, Error> {
        self.write(move |store| store.reserve_operations(tag, count)).await
    }

    /// Gives back what is left of the last blocks of operations, in one transaction.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn return_operations(&self, left: Vec<(KeyTag, Range<u64>)>) -> Result<(), Error> {
        self.write(move |store| store.return_operations(&left)).await
    }

    /// The tags of every intent that was given up. Nothing on a device under such
    /// a tag is of use to anybody.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn withdrawn(&self) -> Result<BTreeSet<KeyTag>, Error> {
        self.write(|store| store.withdrawn()).await
    }

    /// Forgets answers that are older than [`REQUEST_ID_LIFETIME`].
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn forget_answers(&self, now: SystemTime) -> Result<(), Error> {
        self.write(move |store| store.forget_answers(now)).await
    }

    /// Runs a transaction where it may block, and shows its result to readers
    /// before anybody else can write.
    async fn write<T: Send + 'static>(
        &self,
        transaction: impl FnOnce(&mut Store) -> Result<store::Written<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (store, view) = (Arc::clone(&self.store), Arc::clone(&self.view));
        let (due, changed) = (self.due.clone(), self.changed.clone());
        let task = tokio::task::spawn_blocking(move || {
            let mut store = store.lock();
            let written = transaction(&mut store)?;
            if !written.changes.is_empty() {
                let before = view.load_full();
                let after = before.with(written.changes).noting(&store, &before);
                let is_due = after.is_due_otherwise(&before);
                view.store(Arc::new(after));
                if is_due {
                    due.send_replace(());
                }
                changed.send_replace(());
            }
            Ok(written.value)
        });
        task.await.map_err(|error| Error::Panicked { source: error })?
    }
}

#[cfg(test)]
mod tests;
