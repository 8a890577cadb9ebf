//! The transactions of the catalog, in SQLite.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use rusqlite_migration::{M, Migrations};
use serde::de::DeserializeOwned;
use skms_backend::{GeneratedKey, KeyTag};
use tracing::warn;
use uuid::Uuid;

use super::{Begun, Error, Expected, Idempotency, REQUEST_ID_LIFETIME, adopted, home, rows, view::Change};
use crate::{
    failpoint,
    model::{Key, KeyId, Refused, State, Version, Why},
};

/// Every step of the schema, in order; a step is never changed, only added.
const STEPS: &[M<'static>] = &[
    M::up(include_str!("sql/0001_keys.sql")),
    M::up(include_str!("sql/0002_tenants.sql")),
    M::up(include_str!("sql/0003_audit_anchors.sql")),
    M::up(include_str!("sql/0004_lifecycle.sql")),
    M::up(include_str!("sql/0005_cryptography.sql")),
    M::up(include_str!("sql/0006_import_jobs.sql")),
    M::up(include_str!("sql/0007_home.sql")),
    M::up(include_str!("sql/0008_operations.sql")),
    M::up(include_str!("sql/0009_expiry.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// How long changes are kept, and tags that were given up: thousands of sweeps
/// have looked for them by then.
const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(super) struct Store {
    connection: Connection,
    instance: Uuid,
    path: PathBuf,
    /// Device and inode of the file that was opened.
    file: (u64, u64),
}

/// What a transaction answered, and what it did to keys and import jobs.
pub(super) struct Written<T> {
    pub(super) value: T,
    pub(super) changes: Vec<Change>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Open { path: path.to_owned(), source };
        prepare(path).map_err(unusable)?;
        let file = identity(path).map_err(unusable)?;
        let refused = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Error::InUse { path: path.to_owned() }
            }
            _ => Error::Store { source: error },
        };
        let mut connection = Connection::open(path)?;
        // A second gateway on the same catalog would use keys behind this one's back.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(refused)?;
        // An answer leaves only after its transaction is on disk.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // What is wiped of a destroyed key is overwritten, not only forgotten.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(refused)?;
        MIGRATIONS.to_latest(&mut connection).map_err(|source| match source {
            rusqlite_migration::Error::MigrationDefinition(
                rusqlite_migration::MigrationDefinitionError::DatabaseTooFarAhead,
            ) => Error::Newer { path: path.to_owned() },
            source => Error::Migrate { source },
        })?;
        let made = connection.execute(
            "INSERT OR IGNORE INTO catalog (id, instance_id, revision) VALUES (1, ?1, 0)",
            [Uuid::new_v4().to_string()],
        )?;
        if made > 0 {
            warn!(path = %path.display(), "made a new, empty catalog");
        }
        let instance: String =
            connection.query_row("SELECT instance_id FROM catalog", [], |row| row.get(0))?;
        let instance = instance.parse().map_err(|_| Error::Unreadable { what: "instance id" })?;
        home::settle(&mut connection, path)?;
        Ok(Self { connection, instance, path: path.to_owned(), file })
    }

    pub(super) const fn instance(&self) -> Uuid {
        self.instance
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Every key with all that belongs to it.
    pub(super) fn load(&self) -> Result<Vec<Key>, Error> {
        let mut keys = BTreeMap::new();
        let mut statement = self.connection.prepare("SELECT * FROM keys")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key = rows::key(row)?;
            keys.insert(key.id.as_str().to_owned(), key);
        }
        let mut statement = self.connection.prepare("SELECT * FROM aliases ORDER BY alias")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(key) = keys.get_mut(&row.get::<_, String>("key_id")?) {
                let alias: String = row.get("alias")?;
                key.aliases.push(alias.try_into().map_err(|_| Error::Unreadable { what: "alias" })?);
            }
        }
        let mut statement = self.connection.prepare("SELECT * FROM versions ORDER BY key_id, number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(key) = keys.get_mut(&row.get::<_, String>("key_id")?) {
                let version = rows::version(key.key_type, row)?;
                key.versions.push(version);
            }
        }
        Ok(keys.into_values().collect())
    }

    pub(super) fn first_answer(&mut self, request: &Idempotency) -> Result<Written<Option<Box<Key>>>, Error> {
        let transaction = self.begin()?;
        Ok(Written { value: first_answer(&transaction, Some(request))?.map(Box::new), changes: Vec::new() })
    }

    pub(super) fn begin_create(
        &mut self,
        key: &Key,
        request: Option<&Idempotency>,
    ) -> Result<Written<Begun>, Error> {
        let transaction = self.begin()?;
        if let Some(first) = first_answer(&transaction, request)? {
            return Ok(Written { value: Begun::Repeated(Box::new(first)), changes: Vec::new() });
        }
        for name in std::iter::once(&key.id).chain(&key.aliases) {
            is_no_id(&transaction, name)?;
            if exists(&transaction, "SELECT 1 FROM aliases WHERE alias = ?1", name)? {
                return Err(Error::AliasInUse(name.clone()));
            }
        }
        rows::insert_key(&transaction, key)?;
        let number = key.latest();
        remember(&transaction, request, key.id.as_str(), number)?;
        let revision = next_revision(&transaction)?;
        finish(transaction, revision, &key.id, number, "create-begun", |key| Begun::New(Arc::clone(key)))
    }

    pub(super) fn begin_rotate(
        &mut self,
        id: &KeyId,
        version: &Version,
        expected: &Expected,
        request: Option<&Idempotency>,
    ) -> Result<Written<Begun>, Error> {
        let transaction = self.begin()?;
        if let Some(first) = first_answer(&transaction, request)? {
            return Ok(Written { value: Begun::Repeated(Box::new(first)), changes: Vec::new() });
        }
        let key = load_one(&transaction, id)?.ok_or(Error::KeyMissing)?;
        check(&key, expected)?;
        let version = Version { number: key.latest() + 1, ..version.clone() };
        rows::insert_version(&transaction, id, &version)?;
        remember(&transaction, request, id.as_str(), version.number)?;
        let revision = next_revision(&transaction)?;
        finish(transaction, revision, id, version.number, "rotate-begun", |key| Begun::New(Arc::clone(key)))
    }

    pub(super) fn activate(
        &mut self,
        id: &KeyId,
        tag: KeyTag,
        made: &GeneratedKey,
        promote: bool,
        expected: &Expected,
    ) -> Result<Written<Arc<Key>>, Error> {
        let time = SystemTime::now();
        let now = rows::millis(time);
        let transaction = self.begin()?;
        let key = load_one(&transaction, id)?.ok_or(Error::KeyMissing)?;
        check(&key, expected)?;
        adopted::is_nobodys(&transaction, &key, tag, made)?;
        let activated = transaction.query_row(
            "UPDATE versions SET state = ?3, blob = ?4, public_key = ?5, check_value = ?6, generated = ?7
             WHERE key_id = ?1 AND tag = ?2 AND state IN ('pending-generation', 'pending-import') RETURNING number",
            params![
                id.as_str(),
                tag.as_bytes(),
                State::Enabled.name(),
                made.blob.as_ref(),
                made.pin.public_key().map(|key| key.spki_der().as_ref()),
                made.pin.check_value().map(|value| value.0),
                now,
            ],
            |row| row.get(0),
        );
        let number: u32 = activated.optional()?.ok_or(Error::KeyMissing)?;
        // What was taken out of use as a whole is not brought back by a rotation.
        if key.primary != 0 && key.state() != State::Enabled {
            let why = Why::State(key.state());
            return Err(Refused { key: key.id, version: key.primary, why }.into());
        }
        let next = if expected.due.is_some() { key.rotation_after(time) } else { key.next_rotation };
        // A slower rotation must not take the primary back from a newer one.
        let primary = if promote { key.primary.max(number) } else { key.primary };
        let revision = next_revision(&transaction)?;
        transaction.execute(
            "UPDATE keys SET primary_version = ?2, revision = ?3, updated = ?4, next_rotation = ?5 WHERE id = ?1",
            params![id.as_str(), primary, rows::signed(revision), now, next.map(rows::millis)],
        )?;
        answer(&transaction, id, number)?;
        finish(transaction, revision, id, number, "activated", Arc::clone)
    }

    pub(super) fn abandon(&mut self, id: &KeyId, tag: KeyTag) -> Result<Written<bool>, Error> {
        let transaction = self.begin()?;
        let abandoned = transaction.query_row(
            "DELETE FROM versions WHERE key_id = ?1 AND tag = ?2 AND state IN ('pending-generation', 'pending-import')
             RETURNING number, backend",
            params![id.as_str(), tag.as_bytes()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        );
        let Some((number, backend)) = abandoned.optional()? else {
            return Ok(Written { value: false, changes: Vec::new() });
        };
        let (number, backend): (u32, String) = (number, backend);
        transaction.execute(
            "INSERT INTO withdrawn VALUES (?1, ?2, ?3)",
            params![tag.as_bytes(), backend, rows::millis(SystemTime::now())],
        )?;
        transaction.execute(
            "DELETE FROM requests WHERE key_id = ?1 AND number = ?2 AND answer IS NULL",
            params![id.as_str(), number],
        )?;
        transaction.execute(
            "DELETE FROM keys WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM versions WHERE key_id = ?1)",
            [id.as_str()],
        )?;
        let revision = next_revision(&transaction)?;
        finish(transaction, revision, id, number, "abandoned", |_| true).or_else(|error| match error {
            // The key went with its only version.
            Error::KeyMissing => Ok(Written { value: true, changes: vec![Change::Removed(id.clone())] }),
            error => Err(error),
        })
    }

    pub(super) fn withdrawn(&self) -> Result<Written<BTreeSet<KeyTag>>, Error> {
        let mut statement = self.connection.prepare_cached("SELECT tag FROM withdrawn")?;
        let mut found = statement.query([])?;
        let mut tags = BTreeSet::new();
        while let Some(row) = found.next()? {
            let tag: Vec<u8> = row.get(0)?;
            tags.extend(KeyTag::from_slice(&tag));
        }
        Ok(Written { value: tags, changes: Vec::new() })
    }

    pub(super) fn forget_answers(&mut self, now: SystemTime) -> Result<Written<()>, Error> {
        let before = now.checked_sub(REQUEST_ID_LIFETIME).map_or(0, rows::millis);
        self.connection
            .execute("DELETE FROM requests WHERE created < ?1 AND answer IS NOT NULL", [before])?;
        let history = now.checked_sub(HISTORY).map_or(0, rows::millis);
        self.connection.execute("DELETE FROM withdrawn WHERE at < ?1", [history])?;
        // The last stays: it is what those who follow have seen.
        let changes = "DELETE FROM changes WHERE at < ?1 AND revision < (SELECT max(revision) FROM changes)";
        self.connection.execute(changes, [history])?;
        Ok(Written { value: (), changes: Vec::new() })
    }

    /// A transaction, if the file is still the one of its name: what is written to
    /// one that was removed or replaced is gone after a restart.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        if identity(&self.path).ok() != Some(self.file) {
            return Err(Error::Replaced { path: self.path.clone() });
        }
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes the directory, and the file for its owner alone.
fn prepare(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // An empty file beside the log of a database was cut short, not made anew.
    let is_empty = fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0);
    if is_empty && fs::metadata(&log).is_ok_and(|metadata| metadata.len() > 0) {
        return Err(std::io::Error::other(
            "it is empty, and its write-ahead log is not; restore it from a backup",
        ));
    }
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    Ok(())
}

pub(super) fn check(key: &Key, expected: &Expected) -> Result<(), Error> {
    if expected.etag.as_ref().is_some_and(|etag| *etag != key.etag()) {
        return Err(Error::EtagMismatch);
    }
    if expected.primary != 0 && expected.primary != key.primary {
        return Err(Error::PrimaryChanged { actual: key.primary });
    }
    if expected.labels.as_ref().is_some_and(|labels| *labels != key.labels)
        || expected.minimums.is_some_and(|minimums| minimums != (key.min_protect, key.min_process))
        || expected.due.is_some_and(|due| key.next_rotation != Some(due))
    {
        return Err(Error::Relabelled);
    }
    Ok(())
}

/// Whether a name is the id of no key, and never was.
pub(super) fn is_no_id(transaction: &Transaction<'_>, name: &KeyId) -> Result<(), Error> {
    match load_one(transaction, name)? {
        None => Ok(()),
        Some(key) if key.is_gone() => Err(Error::IdRetired(name.clone())),
        Some(_) => Err(Error::KeyExists(name.clone())),
    }
}

fn exists(transaction: &Transaction<'_>, sql: &str, name: &KeyId) -> Result<bool, Error> {
    Ok(transaction.query_row(sql, [name.as_str()], |_| Ok(())).optional()?.is_some())
}

pub(super) fn load_one(transaction: &Transaction<'_>, id: &KeyId) -> Result<Option<Key>, Error> {
    let mut statement = transaction.prepare_cached("SELECT * FROM keys WHERE id = ?1")?;
    let mut found = statement.query([id.as_str()])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let mut key = rows::key(row)?;
    let mut statement =
        transaction.prepare_cached("SELECT alias FROM aliases WHERE key_id = ?1 ORDER BY alias")?;
    let mut found = statement.query([id.as_str()])?;
    while let Some(row) = found.next()? {
        let alias: String = row.get(0)?;
        key.aliases.push(alias.try_into().map_err(|_| Error::Unreadable { what: "alias" })?);
    }
    let mut statement =
        transaction.prepare_cached("SELECT * FROM versions WHERE key_id = ?1 ORDER BY number")?;
    let mut found = statement.query([id.as_str()])?;
    while let Some(row) = found.next()? {
        key.versions.push(rows::version(key.key_type, row)?);
    }
    Ok(Some(key))
}

pub(super) fn next_revision(transaction: &Transaction<'_>) -> Result<u64, Error> {
    let revision: i64 = transaction.query_row(
        "UPDATE catalog SET revision = revision + 1 RETURNING revision",
        [],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(revision).unwrap_or_default())
}

/// Answers that are older than this are forgotten.
fn forgotten() -> i64 {
    SystemTime::now().checked_sub(REQUEST_ID_LIFETIME).map_or(0, rows::millis)
}

/// The answer to an earlier call with the same request id.
pub(super) fn first_answer<T: DeserializeOwned>(
    transaction: &Transaction<'_>,
    request: Option<&Idempotency>,
) -> Result<Option<T>, Error> {
    let Some(request) = request else { return Ok(None) };
    let earlier: Option<(Vec<u8>, Option<String>)> = transaction
        .query_row(
            "SELECT fingerprint, answer FROM requests
             WHERE principal = ?1 AND action = ?2 AND request_id = ?3
             AND (answer IS NULL OR created >= ?4)",
            params![request.principal, request.action.name(), request.request_id.to_string(), forgotten()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((fingerprint, answer)) = earlier else { return Ok(None) };
    if fingerprint != request.fingerprint {
        return Err(Error::RequestIdReused);
    }
    let answer = answer.ok_or(Error::InProgress)?;
    serde_json::from_str(&answer).map(Some).map_err(|_| Error::Unreadable { what: "kept answer" })
}

pub(super) fn remember(
    transaction: &Transaction<'_>,
    request: Option<&Idempotency>,
    id: &str,
    number: u32,
) -> Result<(), Error> {
    if let Some(request) = request {
        transaction.execute(
            // In place of one that is forgotten and was not yet swept.
            "INSERT OR REPLACE INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7)",
            params![
                request.principal,
                request.action.name(),
                request.request_id.to_string(),
                request.fingerprint,
                id,
                number,
                rows::millis(SystemTime::now()),
            ],
        )?;
    }
    Ok(())
}

/// Keeps the key as it is now as the answer to the call that made this of it.
pub(super) fn answer(transaction: &Transaction<'_>, id: &KeyId, number: u32) -> Result<(), Error> {
    let key = load_one(transaction, id)?.ok_or(Error::KeyMissing)?;
    let answer = serde_json::to_string(&key).map_err(|_| Error::Unreadable { what: "key" })?;
    transaction.execute(
        "UPDATE requests SET answer = ?3 WHERE key_id = ?1 AND number = ?2 AND answer IS NULL",
        params![id.as_str(), number, answer],
    )?;
    Ok(())
}

/// Writes the change row, reads the key as it is now, and commits.
///
/// # Errors
/// [`Error::KeyMissing`], after the commit, when the key is no more.
fn finish<T>(
    transaction: Transaction<'_>,
    revision: u64,
    id: &KeyId,
    number: u32,
    kind: &str,
    value: impl FnOnce(&Arc<Key>) -> T,
) -> Result<Written<T>, Error> {
    note(&transaction, revision, id, number, kind)?;
    commit(transaction, id, value)
}

/// Writes the change row. Its kind is one that `history::Kind` knows.
pub(super) fn note(
    transaction: &Transaction<'_>,
    revision: u64,
    id: &KeyId,
    number: u32,
    kind: &str,
) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5)",
        params![rows::signed(revision), id.as_str(), number, kind, rows::millis(SystemTime::now())],
    )?;
    Ok(())
}

/// Reads the key as it is now, and commits.
///
/// # Errors
/// [`Error::KeyMissing`], after the commit, when the key is no more.
pub(super) fn commit<T>(
    transaction: Transaction<'_>,
    id: &KeyId,
    value: impl FnOnce(&Arc<Key>) -> T,
) -> Result<Written<T>, Error> {
    let key = load_one(&transaction, id)?;
    failpoint::reached("catalog.before-commit");
    transaction.commit()?;
    failpoint::reached("catalog.after-commit");
    let key = Arc::new(key.ok_or(Error::KeyMissing)?);
    Ok(Written { value: value(&key), changes: vec![Change::Put(key)] })
}
