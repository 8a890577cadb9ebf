//! What keeps the gateway from knowing its callers.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::keys;

/// A file that cannot be used. What was read from it before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, or is longer than any of its kind.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of keys has none that can be used.
    #[error("`{}` is no set of keys that can be used", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: keys::Error,
    },
    /// The list of whom not to let in cannot be understood.
    #[error("`{}`: {problem}", path.display())]
    Deny {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        problem: String,
    },
    /// A file of authorities has none.
    #[error("`{}` holds no certificate in PEM", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    // A pipe would be waited for.
    let file = fs::metadata(path).and_then(|about| match about.is_file() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a file")),
    });
    let read = file.and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    let read = read.and_then(|length| match u64::try_from(length) {
        Ok(length) if length <= limit => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes"))),
    });
    read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}
