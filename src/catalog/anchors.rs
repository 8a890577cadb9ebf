//! Checkpoints of the audit log, kept here because whoever can change the log cannot
//! change the catalog as easily.

use std::path::Path;

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Catalog, Error, rows, snapshot::Copy, store::Store};
use crate::model::Anchor;

/// How many are kept: weeks without load, an hour under load. A tail is judged by the
/// last of them, and what is before them by those.
const KEPT: u32 = 10_000;

impl Catalog {
    /// The anchor with the highest number. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn last_anchor(&self) -> Result<Option<Anchor>, Error> {
        self.store.lock().last_anchor()
    }

    /// Keeps one more anchor, on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`], also where there is an anchor of this number.
    pub fn keep_anchor(&self, anchor: &Anchor) -> Result<(), Error> {
        self.store.lock().keep_anchor(anchor)
    }
}

impl Store {
    fn last_anchor(&self) -> Result<Option<Anchor>, Error> {
        let mut statement =
            self.connection().prepare_cached("SELECT * FROM audit_anchors ORDER BY sequence DESC LIMIT 1")?;
        Ok(statement.query_row([], anchor).optional()?)
    }

    fn keep_anchor(&mut self, anchor: &Anchor) -> Result<(), Error> {
        let transaction = self.begin()?;
        transaction.execute(
            "INSERT INTO audit_anchors VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                rows::signed(anchor.sequence),
                anchor.hash,
                anchor.key,
                anchor.signature,
                rows::millis(anchor.time)
            ],
        )?;
        transaction.execute(
            "DELETE FROM audit_anchors WHERE sequence <
             (SELECT sequence FROM audit_anchors ORDER BY sequence DESC LIMIT 1 OFFSET ?1)",
            [KEPT - 1],
        )?;
        Ok(transaction.commit()?)
    }
}

/// The anchors in the catalog at `path`, also while a gateway has it open. Blocks.
///
/// A gateway has its catalog to itself, so a copy is read, of which it is made sure
/// that it is whole.
///
/// # Errors
/// [`Error::Open`] when the files cannot be copied, [`Error::Store`] when the copy
/// cannot be read.
pub fn anchors(path: &Path) -> Result<Vec<Anchor>, Error> {
    let copy = Copy::of(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
    let connection = copy.open()?;
    let mut statement = connection.prepare("SELECT * FROM audit_anchors ORDER BY sequence")?;
    let anchors = statement.query_map([], anchor)?.collect::<Result<_, _>>()?;
    Ok(anchors)
}

fn anchor(row: &Row<'_>) -> rusqlite::Result<Anchor> {
    let sequence: i64 = row.get("sequence")?;
    Ok(Anchor {
        sequence: u64::try_from(sequence).unwrap_or_default(),
        hash: row.get("hash")?,
        key: row.get("key")?,
        signature: row.get("signature")?,
        time: rows::time(row.get("at")?),
    })
}
