//! Nonces and operations that are given out in blocks, on the disk before the first of a
//! block is used.

use std::{ops::Range, path::Path};

use rusqlite::{OptionalExtension as _, Transaction, params};
use skms_backend::KeyTag;

use super::{
    Error, home, rows,
    store::{Store, Written, load_one},
    view::Change,
};
use crate::{failpoint, model::KeyId};

impl Store {
    pub(super) fn reserve_nonces(
        &mut self,
        tag: KeyTag,
        count: u64,
        most: u64,
    ) -> Result<Written<Range<u64>>, Error> {
        let path = self.path().to_owned();
        let transaction = self.begin()?;
        let next: Option<i64> = transaction
            .query_row("SELECT next FROM nonces WHERE tag = ?1", [tag.as_bytes()], |row| row.get(0))
            .optional()?;
        let first = next.and_then(|next| u64::try_from(next).ok()).unwrap_or_default().min(most);
        let end = first.saturating_add(count).min(most);
        transaction.execute(
            "INSERT INTO nonces VALUES (?1, ?2) ON CONFLICT (tag) DO UPDATE SET next = excluded.next",
            params![tag.as_bytes(), rows::signed(end)],
        )?;
        given_out(transaction, &path)?;
        Ok(Written { value: first..end, changes: Vec::new() })
    }

    pub(super) fn reserve_operations(
        &mut self,
        tag: KeyTag,
        count: u64,
    ) -> Result<Written<Range<u64>>, Error> {
        let path = self.path().to_owned();
        let transaction = self.begin()?;
        let (id, given, most): (String, i64, Option<i64>) = transaction
            .query_row(
                "SELECT id, operations, max_operations FROM versions JOIN keys ON id = key_id WHERE tag = ?1",
                [tag.as_bytes()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?
            .ok_or(Error::KeyMissing)?;
        let most = most.map_or(u64::MAX, i64::unsigned_abs);
        let first = given.unsigned_abs().min(most);
        let end = first.saturating_add(count).min(most);
        let changes = hand_over(&transaction, &id, tag, (given, rows::signed(end)))?;
        given_out(transaction, &path)?;
        Ok(Written { value: first..end, changes })
    }

    /// Takes back the ends of last blocks, but of those behind which others were given out.
    pub(super) fn return_operations(&mut self, left: &[(KeyTag, Range<u64>)]) -> Result<Written<()>, Error> {
        let transaction = self.begin()?;
        let mut changes = Vec::new();
        for (tag, left) in left {
            let found: Option<String> = transaction
                .query_row(
                    "SELECT key_id FROM versions WHERE tag = ?1 AND operations = ?2",
                    params![tag.as_bytes(), rows::signed(left.end)],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(id) = found {
                let moved = (rows::signed(left.end), rows::signed(left.start));
                changes.extend(hand_over(&transaction, &id, *tag, moved)?);
            }
        }
        transaction.commit()?;
        Ok(Written { value: (), changes })
    }
}

/// Moves the count of a version, unless it was moved by others; the key is not changed by it.
fn hand_over(
    transaction: &Transaction<'_>,
    id: &str,
    tag: KeyTag,
    (from, to): (i64, i64),
) -> Result<Vec<Change>, Error> {
    transaction.execute(
        "UPDATE versions SET operations = ?3 WHERE tag = ?1 AND operations = ?2",
        params![tag.as_bytes(), from, to],
    )?;
    let id: KeyId = id.to_owned().try_into().map_err(|_| Error::Unreadable { what: "key id" })?;
    Ok(load_one(transaction, &id)?.into_iter().map(|key| Change::Put(key.into())).collect())
}

/// Commits that a block is given out.
fn given_out(transaction: Transaction<'_>, path: &Path) -> Result<(), Error> {
    let blocks: i64 =
        transaction
            .query_row("UPDATE catalog SET blocks = blocks + 1 RETURNING blocks", [], |row| row.get(0))?;
    failpoint::reached("catalog.before-commit");
    transaction.commit()?;
    // Before the first of them is used: an older copy of this file knows fewer.
    home::count(path, u64::try_from(blocks).unwrap_or_default())
        .map_err(|source| Error::Open { path: path.to_owned(), source })
}
