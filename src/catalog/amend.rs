//! The transaction that changes a key, or its versions, without any device.

use std::{collections::BTreeMap, time::SystemTime};

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    Amendment, Begun, Change, Error, Expected, Idempotency, rows,
    store::{self, Store, Written},
    view,
};
use crate::model::{Key, KeyId, Refused, State, Turn, Why};

/// Of the key, and of none of its versions.
const NO_VERSION: u32 = 0;

impl Store {
    pub(super) fn amend(
        &mut self,
        id: &KeyId,
        amendment: &Amendment,
        expected: &Expected,
        request: Option<&Idempotency>,
    ) -> Result<Written<Begun>, Error> {
        let now = SystemTime::now();
        let transaction = self.begin()?;
        if let Some(first) = store::first_answer(&transaction, request)? {
            return Ok(Written { value: Begun::Repeated(first), changes: Vec::new() });
        }
        let key = store::load_one(&transaction, id)?.ok_or(Error::KeyMissing)?;
        store::check(&key, expected)?;
        let after = amendment.of(&key, now)?;
        store::remember(&transaction, request, id.as_str(), NO_VERSION)?;
        let mut changes = Vec::new();
        let said = if let Amendment::Said(change) = amendment { Some(change) } else { None };
        if let Some(change) = said {
            changes.extend(rename(&transaction, &key, &after, change)?);
        }
        if said.is_some() || is_changed(&key, &after) {
            let revision = store::next_revision(&transaction)?;
            put(&transaction, &key, &after, revision)?;
            store::note(&transaction, revision, id, amendment.version(), amendment.kind())?;
        }
        store::answer(&transaction, id, NO_VERSION)?;
        let mut written = store::commit(transaction, id, |key| Begun::New(key.clone()))?;
        // Who loses a name loses it before another has it.
        changes.append(&mut written.changes);
        Ok(Written { changes, ..written })
    }
}

impl Store {
    /// Has every version in the state in which these verbs leave it. What is not here, or
    /// what a verb does not apply to, is left alone. Gives the versions that changed.
    pub(super) fn make_up_for(&mut self, turns: &[Turn]) -> Result<Vec<String>, Error> {
        let mut changed = BTreeMap::new();
        let transaction = self.begin()?;
        for turn in turns {
            let Some(key) = store::load_one(&transaction, &turn.key)? else { continue };
            let after = key.made_up_for(turn);
            if !is_changed(&key, &after) {
                continue;
            }
            let revision = store::next_revision(&transaction)?;
            put(&transaction, &key, &after, revision)?;
            store::note(&transaction, revision, &turn.key, NO_VERSION, "made-up-for")?;
            for (old, new) in key.versions.iter().zip(&after.versions) {
                if (old.state, old.compromised) != (new.state, new.compromised) {
                    changed.insert((turn.key.clone(), new.number), new.state);
                }
            }
        }
        transaction.commit()?;
        let told = changed.iter().map(|((key, number), state)| format!("{key}.{number} {}", state.name()));
        Ok(told.collect())
    }
}

/// Whether a verb, or another primary, came to anything.
fn is_changed(before: &Key, after: &Key) -> bool {
    let states = |key: &Key| {
        key.versions.iter().map(|version| (version.state, version.compromised)).collect::<Vec<_>>()
    };
    before.primary != after.primary || states(before) != states(after)
}

/// Writes what is other than before, in this revision.
pub(super) fn put(
    transaction: &Transaction<'_>,
    before: &Key,
    after: &Key,
    revision: u64,
) -> Result<(), Error> {
    rows::update_key(transaction, after, revision)?;
    if before.aliases != after.aliases {
        transaction.execute("DELETE FROM aliases WHERE key_id = ?1", [after.id.as_str()])?;
        for alias in &after.aliases {
            transaction
                .execute("INSERT INTO aliases VALUES (?1, ?2)", [alias.as_str(), after.id.as_str()])?;
        }
    }
    for (old, new) in before.versions.iter().zip(&after.versions) {
        if (old.state, old.compromised) == (new.state, new.compromised) {
            continue;
        }
        if old.state == State::DestroyScheduled
            && new.state != State::Destroyed
            && is_given_up(transaction, old)?
        {
            return Err(Refused { key: after.id.clone(), version: old.number, why: Why::TooLate }.into());
        }
        if new.state == State::Destroyed {
            give_up(transaction, old)?;
        }
        rows::update_version(transaction, &after.id, new)?;
    }
    Ok(())
}

/// Keeps the tag of a version for the sweep: what a device shows under it is of no use
/// to anybody.
pub(super) fn give_up(transaction: &Transaction<'_>, version: &crate::model::Version) -> Result<(), Error> {
    if let Some(key) = &version.key {
        transaction.execute(
            "INSERT OR REPLACE INTO withdrawn VALUES (?1, ?2, ?3)",
            params![key.tag.as_bytes(), version.backend.as_str(), rows::millis(SystemTime::now())],
        )?;
    }
    Ok(())
}

fn is_given_up(transaction: &Transaction<'_>, version: &crate::model::Version) -> Result<bool, Error> {
    let Some(key) = &version.key else { return Ok(true) };
    let found =
        transaction.query_row("SELECT 1 FROM withdrawn WHERE tag = ?1", [key.tag.as_bytes()], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Frees the names that the key is to have, where it was decided that it may have them.
fn rename(
    transaction: &Transaction<'_>,
    before: &Key,
    after: &Key,
    change: &Change,
) -> Result<Vec<view::Change>, Error> {
    let mut changes = Vec::new();
    for alias in after.aliases.iter().filter(|alias| !before.aliases.contains(alias)) {
        store::is_no_id(transaction, alias)?;
        let owner =
            transaction.query_row("SELECT key_id FROM aliases WHERE alias = ?1", [alias.as_str()], |row| {
                row.get::<_, String>(0)
            });
        let Some(owner) = owner.optional()? else { continue };
        let owner: KeyId = owner.try_into().map_err(|_| Error::Unreadable { what: "alias" })?;
        let Some(judged) = change.losers.get(&owner) else { return Err(Error::AliasInUse(alias.clone())) };
        let loser = store::load_one(transaction, &owner)?.ok_or(Error::KeyMissing)?;
        // It may have lost another name to this very change.
        let is_first =
            !changes.iter().any(|change| matches!(change, view::Change::Put(key) if key.id == owner));
        if is_first && loser.revision != *judged {
            return Err(Error::Relabelled);
        }
        let mut left = loser.clone();
        left.aliases.retain(|name| name != alias);
        let revision = store::next_revision(transaction)?;
        put(transaction, &loser, &left, revision)?;
        store::note(transaction, revision, &owner, NO_VERSION, "updated")?;
        let left = store::load_one(transaction, &owner)?.ok_or(Error::KeyMissing)?;
        changes.push(view::Change::Put(left.into()));
    }
    Ok(changes)
}
