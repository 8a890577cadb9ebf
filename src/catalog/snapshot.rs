//! A copy of a catalog, also while a gateway has it open.
//!
//! A gateway has its catalog to itself, so the files are copied, and it is made sure that
//! the copy is whole: first the database, then its write-ahead log. What was merged into
//! the database meanwhile is in the log as well, as long as that was not begun anew, and
//! then its head is another one (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>).

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use uuid::Uuid;

use super::{Error, store::Store};
use crate::model::Key;

/// How often a catalog is copied that is written meanwhile.
const TRIES: u32 = 100;
/// The head of a write-ahead log in bytes.
const HEAD: u64 = 32;

/// A catalog as it was at one moment.
pub struct Snapshot {
    /// The random id of the catalog.
    pub instance: Uuid,
    /// Its revision.
    pub revision: u64,
    /// The version of its tables.
    pub schema: u32,
    /// Every key.
    pub keys: Vec<Key>,
    scratch: Scratch,
}

impl Snapshot {
    /// Takes one of the catalog at `path`. Blocks.
    ///
    /// # Errors
    /// [`Error::Open`] when there is none or it cannot be copied, [`Error::Newer`], and
    /// [`Error::Store`].
    pub fn of(path: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Open { path: path.to_owned(), source };
        let copy = Copy::of(path).map_err(unusable)?;
        if fs::metadata(copy.file()).map_err(unusable)?.len() == 0 {
            return Err(unusable(io::Error::new(io::ErrorKind::InvalidData, "there is nothing in it")));
        }
        let store = Store::open(&copy.file()).map_err(|error| match error {
            // It is not the copy that anybody knows of.
            Error::Newer { .. } => Error::Newer { path: path.to_owned() },
            error => error,
        })?;
        let scratch = Scratch::within(&std::env::temp_dir()).map_err(unusable)?;
        let keys = store.load()?;
        let connection = store.connection();
        // Without what was deleted: that is still in the file, and none of our business.
        connection.execute("VACUUM INTO ?1", [scratch.file("whole.db").to_string_lossy()])?;
        let revision: i64 = connection.query_row("SELECT revision FROM catalog", [], |row| row.get(0))?;
        let schema = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let revision = u64::try_from(revision).unwrap_or_default();
        Ok(Self { instance: store.instance(), revision, schema, keys, scratch })
    }

    /// The database, one file, for as long as this lives.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.scratch.file("whole.db")
    }
}

/// A copy of the files of a catalog.
pub(super) struct Copy(Scratch);

impl Copy {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let copy = Self(Scratch::within(&std::env::temp_dir())?);
        let (log, log_copy) = (with_wal(path), with_wal(&copy.file()));
        for _ in 0..TRIES {
            let before = (head(&log)?, state(path)?);
            fs::copy(path, copy.file())?;
            match fs::copy(&log, &log_copy) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // There may be one of the last time.
                    let _ = fs::remove_file(&log_copy);
                }
                copied => drop(copied?),
            }
            let same_log = before.0 == head(&log_copy)? && before.0 == head(&log)?;
            // Where nothing is in the log, all that there is was copied at once.
            if same_log && (before.0.is_some() || before.1 == state(path)?) {
                return Ok(copy);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is being written all the time; try again"))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.file("catalog.db")
    }

    pub(super) fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(self.file())?;
        // The index of the write-ahead log stays in memory.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        Ok(connection)
    }
}

/// A directory that nobody else may read, and that is removed with this.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one in `directory`.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn within(directory: &Path) -> io::Result<Self> {
        let path = directory.join(format!(".skms-{}", Uuid::new_v4()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over there does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The write-ahead log of a database.
pub(super) fn with_wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// What is at the beginning of a log; nothing where it has not begun.
fn head(log: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    match fs::File::open(log) {
        Ok(file) => file.take(HEAD).read_to_end(&mut head)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok((!head.is_empty()).then_some(head))
}

/// What changes when a file is written.
fn state(path: &Path) -> io::Result<(u64, u64, i64, i64)> {
    let about = fs::metadata(path)?;
    Ok((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}
