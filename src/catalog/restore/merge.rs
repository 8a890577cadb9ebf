//! One catalog of two: `main`, which is there, and `kept`, which comes from a backup.

use std::time::SystemTime;

use rusqlite::{Transaction, params};

use super::{RestoreError, Restored};
use crate::{
    catalog::{home, rows},
    model::State,
};

/// Makes `main` of both.
pub(super) fn all(transaction: &Transaction<'_>) -> Result<Restored, RestoreError> {
    prepare(transaction)?;
    demand_same_instance(transaction)?;
    let conflicts = list(transaction, CONFLICTS)?;
    if !conflicts.is_empty() {
        return Err(RestoreError::Conflicts(conflicts));
    }
    let worse = list(transaction, WORSE)?;
    let kept = list(transaction, UNKNOWN_TO_BACKUP)?;
    let now = rows::millis(SystemTime::now());
    transaction.execute(WITHDRAWN, [now])?;
    transaction.execute_batch(KEYS)?;
    transaction.execute_batch(VERSIONS)?;
    transaction.execute_batch(COMPROMISED)?;
    if has_table(transaction, "import_jobs")? {
        transaction.execute(IMPORT_JOBS, [now])?;
    }
    end_counters(transaction)?;
    transaction.execute_batch(ANCHORS)?;
    transaction.execute_batch(REVISION)?;
    transaction.execute(
        "INSERT INTO main.changes SELECT revision, '', 0, 'restored', ?1 FROM main.catalog",
        [now],
    )?;
    let keys: i64 = transaction.query_row("SELECT count(*) FROM main.keys", [], |row| row.get(0))?;
    let to_rotate = home::to_rotate(transaction)?;
    transaction.execute_batch("DROP TABLE temp.ranks; DROP TABLE temp.compromised;")?;
    Ok(Restored { keys: keys.unsigned_abs(), worse, kept, to_rotate, ..Restored::default() })
}

/// Which of two states counts: the higher number.
const fn rank(state: State) -> u8 {
    match state {
        State::PendingGeneration | State::PendingImport => 0,
        State::Enabled => 1,
        State::Disabled => 2,
        State::GenerationFailed | State::ImportFailed => 3,
        State::Compromised => 4,
        State::DestroyScheduled => 5,
        State::Destroyed => 6,
    }
}

/// The ranks of states as a table, for the statements below.
fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TEMP TABLE ranks (state TEXT PRIMARY KEY, rank INTEGER NOT NULL);
         CREATE TEMP TABLE compromised AS SELECT key_id, number, min(compromised) AS at FROM
            (SELECT key_id, number, compromised FROM main.versions
             UNION ALL SELECT key_id, number, compromised FROM kept.versions)
         WHERE compromised IS NOT NULL GROUP BY key_id, number;",
    )?;
    for state in State::ALL {
        transaction.execute("INSERT INTO temp.ranks VALUES (?1, ?2)", params![state.name(), rank(state)])?;
    }
    Ok(())
}

/// Whether this version of skms has such a table.
fn has_table(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    transaction.prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([name])
}

/// The id marks what is on devices. A catalog that holds no key gives its own up.
fn demand_same_instance(transaction: &Transaction<'_>) -> Result<(), RestoreError> {
    let other = transaction
        .prepare(
            "SELECT 1 FROM main.catalog, kept.catalog AS kept
             WHERE main.catalog.instance_id <> kept.instance_id AND EXISTS (SELECT 1 FROM main.keys)",
        )?
        .exists([])?;
    if other { Err(RestoreError::OtherInstance) } else { Ok(()) }
}

fn list(transaction: &Transaction<'_>, sql: &str) -> rusqlite::Result<Vec<String>> {
    transaction.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// What the backup holds may have been used since; what only the catalog here holds goes on.
fn end_counters(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO main.nonces
         SELECT tag, ?1 FROM kept.versions WHERE tag IS NOT NULL UNION SELECT tag, ?1 FROM kept.nonces",
        [home::END],
    )?;
    transaction.execute(
        "UPDATE main.versions AS own SET operations = ?1
         WHERE key_id IN (SELECT id FROM main.keys WHERE max_operations IS NOT NULL)
           AND EXISTS (SELECT 1 FROM kept.versions AS k WHERE k.key_id = own.key_id AND k.number = own.number)",
        [home::END],
    )?;
    Ok(())
}

/// Two keys of one name; a name and an alias that are one; two versions of one number; and
/// a version whose tag was given up here, of which nothing else is known.
const CONFLICTS: &str = "
    SELECT 'two keys `' || id || '`' FROM main.keys AS own JOIN kept.keys AS k USING (id) WHERE own.uid <> k.uid
    UNION
    SELECT 'two meanings of `' || alias || '`' FROM kept.aliases AS k
    WHERE EXISTS (SELECT 1 FROM main.keys WHERE id = k.alias)
       OR EXISTS (SELECT 1 FROM main.aliases AS own WHERE own.alias = k.alias AND own.key_id <> k.key_id
                  AND own.key_id NOT IN (SELECT id FROM kept.keys))
    UNION
    SELECT 'two meanings of `' || alias || '`' FROM main.aliases AS own
    WHERE own.alias IN (SELECT id FROM kept.keys) AND own.key_id NOT IN (SELECT id FROM kept.keys)
    UNION
    SELECT 'two versions `' || key_id || '.' || number || '`'
    FROM main.versions AS own JOIN kept.versions AS k USING (key_id, number)
    WHERE own.tag <> k.tag AND own.state NOT LIKE 'pending-%' AND k.state NOT LIKE 'pending-%'
    UNION
    SELECT '`' || key_id || '.' || number || '` was given up' FROM kept.versions AS k
    WHERE state NOT LIKE 'pending-%' AND tag IN (SELECT tag FROM main.withdrawn)
      AND NOT EXISTS (SELECT 1 FROM main.versions AS own WHERE own.key_id = k.key_id AND own.number = k.number)";

const WORSE: &str = "
    SELECT key_id || '.' || number || ' ' || own.state
    FROM main.versions AS own JOIN kept.versions AS k USING (key_id, number)
    JOIN temp.ranks AS mine ON mine.state = own.state JOIN temp.ranks AS theirs ON theirs.state = k.state
    WHERE mine.rank > theirs.rank AND theirs.rank > 0 ORDER BY key_id, number";

/// A key with all its versions is named once.
const UNKNOWN_TO_BACKUP: &str = "
    SELECT key_id FROM main.versions WHERE state NOT LIKE 'pending-%' AND key_id NOT IN (SELECT id FROM kept.keys)
    UNION
    SELECT key_id || '.' || number FROM main.versions AS own
    WHERE state NOT LIKE 'pending-%' AND key_id IN (SELECT id FROM kept.keys)
      AND NOT EXISTS (SELECT 1 FROM kept.versions AS k WHERE k.key_id = own.key_id AND k.number = own.number)
    ORDER BY 1";

/// What was about to be made is given up, so that the sweep removes what there is of it;
/// unless one of the two knows that it was made.
const WITHDRAWN: &str = "
    INSERT OR IGNORE INTO main.withdrawn
    SELECT tag, backend, ?1 FROM kept.withdrawn
    UNION ALL
    SELECT tag, backend, ?1 FROM
        (SELECT * FROM kept.versions UNION ALL SELECT * FROM main.versions)
    WHERE state LIKE 'pending-%' AND tag NOT IN
        (SELECT tag FROM kept.versions WHERE state NOT LIKE 'pending-%' AND tag IS NOT NULL
         UNION ALL SELECT tag FROM main.versions WHERE state NOT LIKE 'pending-%' AND tag IS NOT NULL)";

/// What the backup says of its keys, but no version comes back into use and no time is
/// longer than it is here.
const KEYS: &str = "
    CREATE TEMP TABLE own AS SELECT * FROM main.keys WHERE id IN (SELECT id FROM kept.keys);
    INSERT OR REPLACE INTO main.keys SELECT * FROM kept.keys;
    UPDATE main.keys SET
        primary_version = max(keys.primary_version, own.primary_version),
        min_protect = max(keys.min_protect, own.min_protect),
        min_process = max(keys.min_process, own.min_process),
        not_before = max(coalesce(keys.not_before, own.not_before), coalesce(own.not_before, keys.not_before)),
        expires = min(coalesce(keys.expires, own.expires), coalesce(own.expires, keys.expires))
    FROM temp.own AS own WHERE own.id = keys.id;
    DROP TABLE temp.own;
    DELETE FROM main.aliases WHERE key_id IN (SELECT id FROM kept.keys);
    INSERT INTO main.aliases SELECT * FROM kept.aliases;";

/// Of each version the row with the worse state, and nothing that was only about to be made.
/// Answers that were kept may speak of what is no more.
const VERSIONS: &str = "
    DELETE FROM main.versions AS own WHERE EXISTS
        (SELECT 1 FROM kept.versions AS k
         JOIN temp.ranks AS theirs ON theirs.state = k.state JOIN temp.ranks AS mine ON mine.state = own.state
         WHERE k.key_id = own.key_id AND k.number = own.number AND theirs.rank > mine.rank);
    INSERT INTO main.versions SELECT * FROM kept.versions AS k WHERE NOT EXISTS
        (SELECT 1 FROM main.versions AS own WHERE own.key_id = k.key_id AND own.number = k.number);
    DELETE FROM main.versions WHERE state LIKE 'pending-%';
    DELETE FROM main.keys WHERE id NOT IN (SELECT key_id FROM main.versions);
    DELETE FROM main.aliases WHERE key_id NOT IN (SELECT id FROM main.keys);
    DELETE FROM main.requests;";

/// One that is to be destroyed may be spared, and is then what it was: known to others.
const COMPROMISED: &str = "
    UPDATE main.versions SET compromised = at FROM temp.compromised AS known
    WHERE known.key_id = versions.key_id AND known.number = versions.number;";

/// Keys that wrap what is on its way here are good for one use, and it may be over.
const IMPORT_JOBS: &str = "
    INSERT OR IGNORE INTO main.withdrawn SELECT tag, backend, ?1 FROM kept.import_jobs
    WHERE tag NOT IN (SELECT tag FROM main.import_jobs)";

/// The log beside the catalog is held against these: an end that was cut off must stay
/// missing.
const ANCHORS: &str = "
    INSERT INTO main.audit_anchors SELECT * FROM kept.audit_anchors
    WHERE NOT EXISTS (SELECT 1 FROM main.audit_anchors);";

/// Beyond both, so that nothing is taken for what it was.
const REVISION: &str = "
    INSERT OR IGNORE INTO main.changes SELECT * FROM kept.changes;
    UPDATE main.catalog SET
        instance_id = (SELECT instance_id FROM kept.catalog),
        revision = 1 + max(revision, (SELECT revision FROM kept.catalog),
            (SELECT coalesce(max(revision), 0) FROM main.changes));
    UPDATE main.keys SET revision = (SELECT revision FROM main.catalog)
    WHERE id IN (SELECT id FROM kept.keys);";
