//! Backups: the catalog, and with it the keys of software backends, in one encrypted file.
//!
//! | read | for |
//! |---|---|
//! | `format` | how the file is encrypted, and how its end is known |
//! | `manifest` | what is in it, and what is not |
//! | [`catalog::restore`] | what becomes of a catalog that is there |
//!
//! The content is the length of the manifest in four bytes, the manifest in JSON, and the
//! database.
//!
//! **Invariant:** the master key of a software backend is not in a backup. Whoever has the
//! backup and its key has names, labels and public keys, and cannot use any key.
//!
//! **Invariant:** nothing is written to where a catalog is before all of a backup was
//! found to be as it was made.

mod format;
mod manifest;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use skms_backend::RootKey;
use uuid::Uuid;

use self::format::{Opening, Sealing};
pub use self::{
    format::About,
    manifest::{DeviceVersion, Manifest},
};
use crate::{
    catalog::{self, RestoreError, RestorePlace, Restored, Scratch, Snapshot},
    model::Turn,
};

/// Makes a backup of the catalog at `catalog`, which a gateway may have open, in a new file
/// that only its owner may read. Blocks.
///
/// # Errors
/// The catalog cannot be read, there is a file already, or it cannot be written; then there
/// is no file.
pub fn make(catalog: &Path, out: &Path, key: &RootKey) -> Result<(About, Manifest), Error> {
    let failed = |source| Error::Write { path: out.to_owned(), source };
    if out.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    // Before the snapshot: what is recorded from then on may not be in it.
    let time = SystemTime::now();
    let snapshot = Snapshot::of(catalog)?;
    let manifest = Manifest::of(&snapshot);
    let about =
        About { instance: snapshot.instance, schema: snapshot.schema, revision: snapshot.revision, time };
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{}", Uuid::new_v4()));
    let beside = PathBuf::from(name);
    let made = write(&beside, &snapshot, (&about, &manifest), key)
        .and_then(|()| Ok(renameat_with(CWD, &beside, CWD, out, RenameFlags::NOREPLACE)?));
    if made.is_err() {
        // It may not be there at all; the first error is the one that counts.
        let _ = fs::remove_file(&beside);
    }
    made.map_err(failed)?;
    Ok((about, manifest))
}

fn write(
    path: &Path,
    snapshot: &Snapshot,
    (about, manifest): (&About, &Manifest),
    key: &RootKey,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut sealing = Sealing::new(file, key, about)?;
    let manifest = serde_json::to_vec(manifest)?;
    let length = u32::try_from(manifest.len()).map_err(|_| io::Error::other("there are too many keys"))?;
    sealing.write_all(&length.to_be_bytes())?;
    sealing.write_all(&manifest)?;
    io::copy(&mut File::open(snapshot.file())?, &mut sealing)?;
    sealing.finish()?.sync_all()
}

/// What a backup says of itself, after all of it was found to be as it was made. Blocks.
///
/// # Errors
/// [`Error::Read`].
pub fn inspect(path: &Path, key: &RootKey) -> Result<(About, Manifest), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let (mut opening, about, manifest) = open(path, key).map_err(failed)?;
    io::copy(&mut opening, &mut io::sink()).map_err(failed)?;
    Ok((about, manifest))
}

/// Brings a backup back to where the catalog is, or will be, after `turns` were made up
/// for, which it does not know of. Blocks.
///
/// # Errors
/// The backup is not as it was made, or the catalog cannot be brought back; then nothing
/// is changed.
pub fn restore(
    path: &Path,
    catalog: &Path,
    place: RestorePlace,
    turns: &[Turn],
    key: &RootKey,
) -> Result<(About, Restored), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let (mut opening, about, _) = open(path, key).map_err(failed)?;
    let scratch = Scratch::within(&std::env::temp_dir())
        .map_err(|source| Error::Write { path: std::env::temp_dir(), source })?;
    let kept = scratch.file("kept.db");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&kept)
        .map_err(|source| Error::Write { path: kept.clone(), source })?;
    io::copy(&mut opening, &mut file).map_err(failed)?;
    let restored = catalog::restore(catalog, &kept, place, turns).map_err(|error| match error {
        RestoreError::Catalog(catalog::Error::Newer { path: newer }) if newer == kept => {
            Error::Newer { path: path.to_owned(), schema: about.schema }
        }
        error => Error::Restore(error),
    })?;
    Ok((about, restored))
}

fn open(path: &Path, key: &RootKey) -> io::Result<(Opening<BufReader<File>>, About, Manifest)> {
    let (mut opening, about) = Opening::new(BufReader::new(File::open(path)?), key)?;
    let mut length = [0; 4];
    opening.read_exact(&mut length)?;
    let mut manifest = Vec::new();
    (&mut opening).take(u32::from_be_bytes(length).into()).read_to_end(&mut manifest)?;
    Ok((opening, about, serde_json::from_slice(&manifest)?))
}

/// Why there is no backup, or why it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// The backup cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The backup cannot be read, or is not as it was made.
    #[error("cannot read the backup `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A newer version of skms made it.
    #[error("the backup `{}` has tables of version {schema}, made by a newer version of skms; use that version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the tables.
        schema: u32,
    },
    /// It cannot be brought back.
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl Error {
    /// Whether something else is where something was to be put, or holds it.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Catalog(catalog::Error::InUse { .. })
            | Self::Restore(
                RestoreError::Taken { .. }
                | RestoreError::OtherInstance
                | RestoreError::Conflicts(_)
                | RestoreError::Catalog(catalog::Error::InUse { .. }),
            ) => true,
            Self::Write { source, .. } => source.kind() == io::ErrorKind::AlreadyExists,
            Self::Catalog(_)
            | Self::Restore(RestoreError::Catalog(_))
            | Self::Read { .. }
            | Self::Newer { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
