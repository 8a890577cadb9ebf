//! Nonces that are given out in blocks, on the disk before the first of a block is used.

use std::ops::Range;

use rusqlite::{OptionalExtension as _, params};
use skms_backend::KeyTag;

use super::{
    Error, home, rows,
    store::{Store, Written},
};
use crate::failpoint;

impl Store {
    pub(super) fn reserve_nonces(
        &mut self,
        tag: KeyTag,
        count: u64,
        most: u64,
    ) -> Result<Written<Range<u64>>, Error> {
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
        let blocks: i64 =
            transaction
                .query_row("UPDATE catalog SET blocks = blocks + 1 RETURNING blocks", [], |row| row.get(0))?;
        failpoint::reached("catalog.before-commit");
        transaction.commit()?;
        // Before the first of them is used: an older copy of this file knows fewer.
        home::count(self.path(), u64::try_from(blocks).unwrap_or_default())
            .map_err(|source| Error::Open { path: self.path().to_owned(), source })?;
        Ok(Written { value: first..end, changes: Vec::new() })
    }
}
