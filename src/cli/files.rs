//! Files on the command line, where `-` is a standard stream.

use std::{
    ffi::OsString,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{error::Error, terminal::Terminal};

/// A file, or the standard stream of that direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `-`.
    Standard,
    /// A path.
    File(PathBuf),
}

impl From<OsString> for Place {
    fn from(text: OsString) -> Self {
        if text == "-" { Self::Standard } else { Self::File(text.into()) }
    }
}

impl Place {
    /// Reads all of it, and refuses more than `limit` bytes.
    pub(super) fn read(&self, limit: usize, terminal: &mut Terminal) -> Result<Vec<u8>, Error> {
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        match self {
            Self::Standard => (&mut terminal.stdin).take(bound).read_to_end(&mut bytes),
            Self::File(path) => {
                fs::File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes))
            }
        }
        .map_err(|source| failed("read", self.path(), source))?;
        if bytes.len() > limit {
            let name = self.path().display();
            return Err(Error::Usage(format!(
                "`{name}` is longer than {limit} bytes; give a digest instead"
            )));
        }
        Ok(bytes)
    }

    /// Writes all of it.
    pub(super) fn write(&self, bytes: &[u8], terminal: &mut Terminal) -> Result<(), Error> {
        match self {
            Self::Standard => terminal.print(bytes),
            Self::File(path) => fs::write(path, bytes).map_err(|source| failed("write", path, source)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Standard => Path::new("-"),
            Self::File(path) => path,
        }
    }
}

/// A file that cannot be read or written.
pub(super) fn failed(verb: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
    Error::File { verb, path: path.as_ref().to_owned(), source }
}
