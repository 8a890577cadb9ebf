//! Whether this file is the one in which every nonce and every counted operation was
//! written down.
//!
//! A catalog that was copied, moved or put back by hand may know less than what was given
//! out. So it remembers on which machine and file system it lies and as which file; and a
//! small file beside it (`-nonces`) counts the blocks of both, so that an older copy is
//! noticed that was written over the same file.
//!
//! **Invariant:** where either says otherwise, every counter is at its end before a key is
//! used. Decryption and verification go on; what protects goes on with a new version.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, Transaction, params};
use tracing::warn;

use super::{Error, rows};

/// Where every counter stops: behind all that any key may use.
pub(super) const END: i64 = i64::MAX;
/// More blocks than can be given out until the end of the universe.
const MOST: u64 = 1 << 62;
/// How many keys a line of the log names.
const NAMED: usize = 20;

/// Compares the catalog with where it lies, and ends its counters where it is a copy.
pub(super) fn settle(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Open { path: path.to_owned(), source };
    let here = mark(path).map_err(unusable)?;
    let counted = counted(path).map_err(unusable)?;
    let transaction = connection.transaction()?;
    let (home, blocks): (Option<Vec<u8>>, i64) =
        transaction
            .query_row("SELECT home, blocks FROM catalog", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let blocks = u64::try_from(blocks).unwrap_or_default();
    let is_moved = home.as_ref().is_some_and(|home| *home != here);
    let is_older = match counted {
        // A crash leaves the file one behind: nothing was given out of that block.
        Counted::Blocks(counted) => blocks < counted,
        Counted::Nothing => blocks > 0,
        Counted::Unreadable => true,
    };
    if home.is_some() && !is_moved && !is_older {
        return Ok(());
    }
    let is_copy = is_moved || is_older;
    let blocks = match counted {
        Counted::Blocks(counted) => blocks.max(counted),
        Counted::Nothing | Counted::Unreadable => blocks,
    };
    if is_copy {
        end_all(&transaction)?;
    }
    let keys = if is_copy { to_rotate(&transaction)? } else { Vec::new() };
    transaction.execute("UPDATE catalog SET home = ?1, blocks = ?2", params![here, rows::signed(blocks)])?;
    transaction.commit()?;
    if is_copy {
        // What is beside it must not say the same at the next start.
        count(path, blocks).map_err(unusable)?;
    }
    if !keys.is_empty() {
        let (named, more) =
            (keys.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "), keys.len() > NAMED);
        warn!(
            path = %path.display(),
            keys = format!("{named}{}", if more { ", …" } else { "" }),
            count = keys.len(),
            "the catalog was copied, moved or put back by hand, and may not know every nonce and every operation that was used; these keys only decrypt and verify until you rotate them"
        );
    }
    Ok(())
}

/// Puts the counter of every version at its end.
pub(super) fn end_all(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("UPDATE nonces SET next = ?1", [END])?;
    transaction
        .execute("INSERT OR REPLACE INTO nonces SELECT tag, ?1 FROM versions WHERE tag IS NOT NULL", [END])?;
    transaction.execute(
        "UPDATE versions SET operations = ?1
         WHERE key_id IN (SELECT id FROM keys WHERE max_operations IS NOT NULL)",
        [END],
    )?;
    Ok(())
}

/// The keys whose primary version has a counter at its end: those that encrypt as they are
/// on a device, which makes no key for each message, and those whose operations are counted.
pub(super) fn to_rotate(transaction: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    let mut statement = transaction.prepare(
        "SELECT id FROM keys JOIN versions ON key_id = id AND number = primary_version
         LEFT JOIN nonces USING (tag)
         WHERE state IN ('enabled', 'disabled')
           AND (operations = ?1 OR key_type LIKE 'aes-%' AND length(blob) = 0 AND next = ?1)
         ORDER BY id",
    )?;
    statement.query_map([END], |row| row.get(0))?.collect()
}

/// What the file beside a catalog says.
enum Counted {
    /// It is not there.
    Nothing,
    /// So many blocks of nonces were given out.
    Blocks(u64),
    /// Nobody knows how many.
    Unreadable,
}

fn counted(path: &Path) -> io::Result<Counted> {
    match fs::read(beside(path)) {
        Ok(bytes) => {
            let blocks = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
            // More than a catalog can count to is not what was written.
            Ok(blocks.filter(|blocks| *blocks < MOST).map_or(Counted::Unreadable, Counted::Blocks))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Counted::Nothing),
        Err(error) => Err(error),
    }
}

/// Writes down that so many blocks were given out, on the disk when this returns.
pub(super) fn count(path: &Path, blocks: u64) -> io::Result<()> {
    let path = beside(path);
    let is_new = !path.exists();
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    // Always of one length, and so never cut off.
    file.write_all(format!("{blocks:020}\n").as_bytes())?;
    file.sync_data()?;
    match path.parent() {
        Some(directory) if is_new => sync_directory(directory),
        _ => Ok(()),
    }
}

/// Makes the names in a directory safe.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-nonces");
    name.into()
}

/// Which file it is, of which file system, on which machine.
///
/// The number of a device may be another after each start of a machine; what `statvfs`
/// says of a file system mostly stays.
fn mark(path: &Path) -> io::Result<Vec<u8>> {
    let machine = fs::read("/etc/machine-id").unwrap_or_default();
    let file_system = rustix::fs::statvfs(path)?.f_fsid;
    let mut hash = Context::new(&SHA256);
    hash.update(b"skms/catalog-home/1");
    hash.update(&file_system.to_be_bytes());
    hash.update(&fs::metadata(path)?.ino().to_be_bytes());
    hash.update(&machine);
    Ok(hash.finish().as_ref().to_vec())
}
