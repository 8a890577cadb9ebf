//! A catalog brought back from a backup.
//!
//! Where there is no catalog, a new one is made of the backup and put in its place as a
//! whole. Where there is one, the two are made one in a single transaction: what the backup
//! says of its keys counts, but the worse of both states of a version, and nothing that the
//! backup has never heard of is lost.
//!
//! **Invariant:** no version is in a better state afterwards than in the catalog that was
//! there, and none that the backup holds goes on with a counter of nonces.
//!
//! **Invariant:** a crash leaves the old catalog or the new one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Transaction;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    Error, home,
    snapshot::{Scratch, with_wal},
    store::Store,
};
use crate::{failpoint, model::Turn};

mod merge;

/// Where a backup is brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where no catalog is.
    Empty,
    /// Where there may be one.
    MaybeTaken,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many keys the catalog holds now.
    pub keys: u64,
    /// Versions that are in a worse state here than in the backup, and stay so: `ID.NUMBER STATE`.
    pub worse: Vec<String>,
    /// Versions that were in a better state in the backup, as far as was told: `ID.NUMBER STATE`.
    pub made_up_for: Vec<String>,
    /// Keys and versions that the backup does not know, and that are kept: `ID`, `ID.NUMBER`.
    pub kept: Vec<String>,
    /// Keys that only decrypt and verify until they are rotated.
    pub to_rotate: Vec<String>,
}

/// Brings the catalog `kept` back to `path`, after `turns` were made up for, which it does
/// not know of. `kept` is changed by that. Blocks.
///
/// # Errors
/// [`RestoreError::Taken`], [`RestoreError::OtherInstance`], [`RestoreError::Conflicts`], and
/// whatever keeps a catalog from being opened; then nothing is changed.
pub fn restore(path: &Path, kept: &Path, place: Place, turns: &[Turn]) -> Result<Restored, RestoreError> {
    let unusable = |source| Error::Open { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() && place == Place::Empty {
        return Err(RestoreError::Taken { path: path.to_owned() });
    }
    let mut old = Store::open(kept)?;
    // It is brought up to date, and every row of it can be read.
    old.load()?;
    let made_up_for = old.make_up_for(turns)?;
    drop(old);
    if path.symlink_metadata().is_ok() {
        let restored = merged(&mut Store::open(path)?, kept)?;
        return Ok(Restored { made_up_for, ..restored });
    }
    if with_wal(path).symlink_metadata().is_ok() {
        let why = "its write-ahead log is there without it; move that away";
        return Err(unusable(io::Error::other(why)).into());
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(directory).map_err(unusable)?;
    let scratch = Scratch::within(directory).map_err(unusable)?;
    let new = scratch.file("new.db");
    let restored = merged(&mut Store::open(&new)?, kept)?;
    put(&new, path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RestoreError::Taken { path: path.to_owned() },
        _ => unusable(error).into(),
    })?;
    Ok(Restored { made_up_for, ..restored })
}

/// Puts a database where none is, whole and safe.
fn put(new: &Path, path: &Path) -> io::Result<()> {
    File::open(new)?.sync_all()?;
    // All of it was merged into the database when that was closed.
    if fs::metadata(with_wal(new)).is_ok_and(|log| log.len() > 0) {
        return Err(io::Error::other("its write-ahead log could not be merged"));
    }
    failpoint::reached("catalog.before-commit");
    renameat_with(CWD, new, CWD, path, RenameFlags::NOREPLACE)?;
    home::sync_directory(path.parent().unwrap_or(Path::new("")))?;
    failpoint::reached("catalog.after-commit");
    Ok(())
}

/// Brings all of `kept` into an open catalog.
fn merged(store: &mut Store, kept: &Path) -> Result<Restored, RestoreError> {
    // Rows of two tables are replaced one after the other, and checked at the end.
    store.connection().pragma_update(None, "foreign_keys", "OFF")?;
    store.connection().execute("ATTACH ?1 AS kept", [kept.to_string_lossy()])?;
    let transaction = store.begin()?;
    let restored = merge::all(&transaction)?;
    demand_whole(&transaction)?;
    failpoint::reached("catalog.before-commit");
    transaction.commit()?;
    failpoint::reached("catalog.after-commit");
    Ok(restored)
}

/// No row may belong to one that is not there.
fn demand_whole(transaction: &Transaction<'_>) -> Result<(), RestoreError> {
    let mut statement = transaction.prepare("PRAGMA main.foreign_key_check")?;
    if statement.exists([])? {
        return Err(Error::Unreadable { what: "row of a key that is not there" }.into());
    }
    Ok(())
}

/// Why a backup is not brought back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is a catalog.
    #[error("there is a catalog at `{}`; --replace brings the backup into it", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to other keys on other devices.
    #[error("the catalog that is there is another one, and holds keys; move it away first")]
    OtherInstance,
    /// Both say things that cannot both be true.
    #[error("the backup and the catalog that is there contradict each other: {}", .0.join(", "))]
    Conflicts(Vec<String>),
    /// A catalog cannot be used.
    #[error(transparent)]
    Catalog(#[from] Error),
}

impl From<rusqlite::Error> for RestoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Catalog(source.into())
    }
}
