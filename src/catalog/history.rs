//! What changed, in its order: the last changes in memory, and those of thirty days on disk.
//!
//! **Invariant:** there is no gap between a state of the catalog and the changes behind its
//! moment; and a moment that is not in the history any more, or is of another one, is told
//! from one after which nothing has changed.

use std::{sync::Arc, time::SystemTime};

use imbl::Vector;
use rusqlite::{OptionalExtension as _, Row, params};
use tokio::sync::watch;
use tracing::warn;

use super::{
    Catalog, Error, rows,
    store::{Store, Written},
    view::View,
};
use crate::{
    model::{Key, KeyId, Order, Place},
    telemetry::chain,
};

/// How many changes are kept in memory.
const RECENT: usize = 1024;
/// How many are read from the disk at once.
const PORTION: usize = 256;

/// A place in the history. One of another history is the same by no accident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The revision of the last change before it; 0: none.
    pub revision: u64,
    /// When that was, in milliseconds since 1970.
    pub millis: i64,
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was made.
    Created,
    /// It has a new version.
    Rotated,
    /// Something that is said of it, or its primary version.
    Updated,
    /// The state of a version, or of all.
    StateChanged,
    /// A version is gone.
    Destroyed,
    /// It expires soon.
    ExpiryWarning,
    /// Nothing that anybody sees: a version is about to be made, or will not be.
    Nothing,
}

impl Kind {
    fn of(name: &str, version: u32) -> Option<Self> {
        Some(match name {
            "create-begun" | "rotate-begun" | "abandoned" => Self::Nothing,
            "activated" if version <= 1 => Self::Created,
            "activated" => Self::Rotated,
            "updated" | "primary-set" => Self::Updated,
            "enabled" | "disabled" | "compromised" | "destroy-scheduled" | "restored" | "made-up-for" => {
                Self::StateChanged
            }
            "destroyed" => Self::Destroyed,
            EXPIRY_WARNING => Self::ExpiryWarning,
            _ => return None,
        })
    }
}

const EXPIRY_WARNING: &str = "expiry-warning";

/// A change of one key.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The moment after it.
    pub moment: Moment,
    /// What was done.
    pub kind: Kind,
    /// To which version; 0: to the key.
    pub version: u32,
    /// The key before it, where that is still known.
    pub before: Option<Arc<Key>>,
    /// The key after it, or after a later change; `None` where it is no more.
    pub key: Option<Arc<Key>>,
}

/// A change as it is on disk.
struct Noted {
    moment: Moment,
    key: KeyId,
    version: u32,
    kind: Kind,
}

impl Noted {
    /// `None`: everything was brought back from a backup.
    fn read(row: &Row<'_>) -> Result<Option<Self>, Error> {
        let revision: i64 = row.get("revision")?;
        let (key, kind): (String, String) = (row.get("key_id")?, row.get("kind")?);
        if key.is_empty() {
            return Ok(None);
        }
        let version = row.get("number")?;
        Ok(Some(Self {
            moment: Moment { revision: revision.unsigned_abs(), millis: row.get("at")? },
            key: key.try_into().map_err(|_| Error::Unreadable { what: "key id" })?,
            version,
            kind: Kind::of(&kind, version).ok_or(Error::Unreadable { what: "change" })?,
        }))
    }

    fn with(self, before: Option<&View>, after: &View) -> Changed {
        let of = |view: &View| view.lookup(&self.key).filter(|key| key.id == self.key).cloned();
        Changed {
            moment: self.moment,
            kind: self.kind,
            version: self.version,
            before: before.and_then(of),
            key: of(after),
        }
    }
}

/// What is remembered of the history beside the keys as they are.
#[derive(Clone, Default)]
pub(super) struct Recent {
    moment: Moment,
    /// The last changes, without a gap before `moment`.
    changes: Vector<Arc<Changed>>,
}

impl Recent {
    pub(super) fn since(moment: Moment) -> Self {
        Self { moment, changes: Vector::new() }
    }

    fn push(&mut self, changed: Changed) {
        self.moment = changed.moment;
        self.changes.push_back(Arc::new(changed));
        if self.changes.len() > RECENT {
            self.changes.pop_front();
        }
    }

    /// The changes behind a revision; `None` where some of them are not remembered.
    fn after(&self, revision: u64) -> Option<Vec<Arc<Changed>>> {
        if revision >= self.moment.revision {
            return Some(Vec::new());
        }
        let place = self.changes.binary_search_by_key(&revision, |changed| changed.moment.revision);
        let begin = match place {
            Ok(at) => at + 1,
            // It is that of the first, but for one.
            Err(0) if self.changes.front()?.moment.revision == revision + 1 => 0,
            Err(_) => return None,
        };
        Some(self.changes.iter().skip(begin).cloned().collect())
    }
}

/// The catalog as it was at a moment. It stays so while it is read.
pub struct State(Arc<View>);

impl State {
    /// Which moment that is.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.0.recent.moment
    }

    /// As [`Catalog::page`].
    #[must_use]
    pub fn page(
        &self,
        order: Order,
        after: Option<&Place>,
        limit: usize,
        wanted: impl Fn(&Key) -> bool,
    ) -> (Vec<Arc<Key>>, bool) {
        self.0.page(order, after, limit, wanted)
    }
}

impl Catalog {
    /// The catalog as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        State(self.view.load_full())
    }

    /// Tells when something has changed.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The changes behind a moment, from memory; `None` where that does not reach back so far.
    #[must_use]
    pub fn recent(&self, moment: Moment) -> Option<Vec<Arc<Changed>>> {
        self.view.load().recent.after(moment.revision)
    }

    /// The first changes behind a moment, from disk, with the keys as they are now; `None`
    /// where the history does not reach back so far, or is another one.
    ///
    /// # Errors
    /// [`Error::Store`] and [`Error::Unreadable`].
    pub async fn history(&self, moment: Moment) -> Result<Option<Vec<Changed>>, Error> {
        let view = Arc::clone(&self.view);
        self.write(move |store| {
            let noted = if store.knows(moment)? { store.noted(moment.revision, PORTION)? } else { None };
            // It is of the last change, as nobody else can write now.
            let view = view.load_full();
            let value = noted.map(|noted| noted.into_iter().map(|one| one.with(None, &view)).collect());
            Ok(Written { value, changes: Vec::new() })
        })
        .await
    }

    /// Notes that it was said that a key expires then. Nothing of the key is changed by it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn warned_of_expiry(&self, id: KeyId, expires: SystemTime) -> Result<(), Error> {
        self.write(move |store| store.warned_of_expiry(&id, expires)).await
    }
}

impl View {
    /// The same with what was noted since the view before it.
    pub(super) fn noting(mut self, store: &Store, before: &Self) -> Self {
        match store.noted(before.recent.moment.revision, usize::MAX) {
            Ok(noted) => {
                for one in noted.into_iter().flatten() {
                    let changed = one.with(Some(before), &self);
                    self.recent.push(changed);
                }
            }
            Err(error) => {
                warn!(error = chain(&error), "who watches keys is told of this change with the next one");
            }
        }
        self
    }
}

impl Store {
    /// The last moment.
    pub(super) fn moment(&self) -> Result<Moment, Error> {
        let last = self.connection().query_row(
            "SELECT revision, at FROM changes ORDER BY revision DESC LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)),
        );
        let last = last.optional()?;
        Ok(last.map_or_else(Moment::default, |(revision, millis)| Moment {
            revision: revision.unsigned_abs(),
            millis,
        }))
    }

    /// Whether every change behind a moment is on disk.
    fn knows(&self, moment: Moment) -> Result<bool, Error> {
        let sql = if moment.revision == 0 {
            "SELECT ?1 = 0 AND ?2 = 0 AND coalesce(min(revision), 1) = 1 FROM changes"
        } else {
            "SELECT count(*) > 0 FROM changes WHERE revision = ?1 AND at = ?2"
        };
        let revision = rows::signed(moment.revision);
        Ok(self.connection().query_row(sql, params![revision, moment.millis], |row| row.get(0))?)
    }

    /// Up to `limit` changes behind a revision; `None` where they cannot be told one by one.
    fn noted(&self, after: u64, limit: usize) -> Result<Option<Vec<Noted>>, Error> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT * FROM changes WHERE revision > ?1 ORDER BY revision LIMIT ?2")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = statement.query(params![rows::signed(after), limit])?;
        let mut all = Vec::new();
        while let Some(row) = found.next()? {
            let Some(noted) = Noted::read(row)? else { return Ok(None) };
            all.push(noted);
        }
        Ok(Some(all))
    }

    fn warned_of_expiry(&mut self, id: &KeyId, expires: SystemTime) -> Result<Written<()>, Error> {
        let transaction = self.begin()?;
        let warned = transaction.execute(
            "UPDATE keys SET expiry_warned = expires WHERE id = ?1 AND expires = ?2",
            params![id.as_str(), rows::millis(expires)],
        )?;
        if warned == 0 {
            return Ok(Written { value: (), changes: Vec::new() });
        }
        let revision = super::store::next_revision(&transaction)?;
        super::store::note(&transaction, revision, id, 0, EXPIRY_WARNING)?;
        super::store::commit(transaction, id, |_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::{Amendment, Change},
        model::Verb,
    };

    /// A kind that it did not know would hide every later change from those who follow.
    #[test]
    fn every_kind_that_is_noted_is_known() {
        let verbs = [
            Verb::Enable,
            Verb::Disable,
            Verb::MarkCompromised,
            Verb::ScheduleDestruction,
            Verb::Restore,
            Verb::Destroy,
        ];
        let verbs = verbs.map(|verb| Amendment::Verb(verb, Vec::new()));
        let said = [Amendment::Said(Change::default()), Amendment::Primary(1)];
        let amended = verbs.iter().chain(&said).map(Amendment::kind);
        let others =
            ["create-begun", "rotate-begun", "activated", "abandoned", "made-up-for", EXPIRY_WARNING];
        for kind in amended.chain(others) {
            assert!(Kind::of(kind, 1).is_some(), "{kind}");
        }
        assert_eq!(Kind::of("unheard-of", 1), None);
        assert_eq!(
            (Kind::of("activated", 1), Kind::of("activated", 2)),
            (Some(Kind::Created), Some(Kind::Rotated))
        );
    }

    fn changed(revision: u64) -> Changed {
        let moment = Moment { revision, millis: 0 };
        Changed { moment, kind: Kind::Updated, version: 0, before: None, key: None }
    }

    #[test]
    fn what_is_remembered_begins_where_it_says_and_has_no_gap() {
        let mut recent = Recent::since(Moment { revision: 10, millis: 0 });
        assert_eq!(recent.after(10).map(|all| all.len()), Some(0));
        assert!(recent.after(9).is_none());
        for revision in 11..=10 + RECENT as u64 + 5 {
            recent.push(changed(revision));
        }
        let last = 10 + RECENT as u64 + 5;
        for (after, expected) in
            [(last, Some(0)), (last - 1, Some(1)), (15, Some(RECENT)), (14, None), (0, None)]
        {
            assert_eq!(recent.after(after).map(|all| all.len()), expected, "{after}");
        }
        let all = recent.after(15).unwrap();
        assert!(all.iter().map(|changed| changed.moment.revision).eq(16..=last));
    }
}
