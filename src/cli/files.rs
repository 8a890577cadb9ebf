//! Files on the command line, where `-` is a standard stream.

use std::{
    ffi::OsString,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use uuid::Uuid;

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
        match self {
            Self::Standard => bounded(&mut terminal.stdin, self.path(), limit),
            Self::File(path) => read(path, limit),
        }
    }

    /// Writes all of it.
    pub(super) fn write(&self, bytes: &[u8], terminal: &mut Terminal) -> Result<(), Error> {
        match self {
            Self::Standard => terminal.print(bytes),
            Self::File(path) => fs::write(path, bytes).map_err(|source| failed("write", path, source)),
        }
    }

    /// The same for secrets: a file that is new may be read by its owner only.
    pub(super) fn write_secret(&self, bytes: &[u8], terminal: &mut Terminal) -> Result<(), Error> {
        let Self::File(path) = self else { return self.write(bytes, terminal) };
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
            .map_err(|source| failed("write", path, source))
    }

    /// Refuses to write over a file that was read.
    pub(super) fn spare(&self, read: &Self, what: &str) -> Result<(), Error> {
        match (self, read) {
            (Self::File(out), Self::File(input)) if same(input, out) => {
                Err(Error::Usage(format!("`--out` would write over {what}; name another file")))
            }
            _ => Ok(()),
        }
    }

    /// Whether it is a terminal that a person reads.
    pub(super) fn is_shown(&self, terminal: &Terminal) -> bool {
        *self == Self::Standard && terminal.interactive
    }

    fn path(&self) -> &Path {
        match self {
            Self::Standard => Path::new("-"),
            Self::File(path) => path,
        }
    }
}

/// Refuses to read stdin for two things: the second would get nothing.
pub(super) fn stdin_once<'a>(read: impl IntoIterator<Item = &'a Place>) -> Result<(), Error> {
    if read.into_iter().filter(|place| **place == Place::Standard).count() > 1 {
        return Err(Error::Usage("stdin can be only one of the files that are read".to_owned()));
    }
    Ok(())
}

/// Reads all of a file, and refuses more than `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(|source| failed("read", path, source))?;
    bounded(file, path, limit)
}

fn bounded(source: impl io::Read, path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    source.take(bound).read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
    if bytes.len() > limit {
        return Err(Error::Usage(format!("`{}` is longer than {limit} bytes", path.display())));
    }
    Ok(bytes)
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        // What is not there yet cannot be written over.
        _ => false,
    }
}

/// Puts a file in place as a whole: whoever reads it sees the old one or the new one.
/// It is its owner's alone, unless it takes the permissions of another file.
pub(super) fn replace(path: &Path, bytes: &[u8], permissions: Option<fs::Permissions>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", Uuid::new_v4()));
    let beside = PathBuf::from(beside);
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let written = file
        .and_then(|mut file| {
            file.write_all(bytes)?;
            permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not be there at all; the first error is the one that counts.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Reads a public key (SubjectPublicKeyInfo) in PEM, or in the DER that the API takes.
pub(super) fn public_key(place: &Place, terminal: &mut Terminal) -> Result<Bytes, Error> {
    let bytes = place.read(MAX_PUBLIC_KEY_BYTES, terminal)?;
    // DER begins with the tag of a sequence.
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.into());
    }
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).map_err(|_| {
        let name = place.path().display();
        Error::Usage(format!("`{name}` holds no public key in PEM (BEGIN PUBLIC KEY)"))
    })?;
    Ok(Bytes::copy_from_slice(&key))
}

/// A file that cannot be read or written.
pub(super) fn failed(verb: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
    Error::File { verb, path: path.as_ref().to_owned(), source }
}

/// Far above an RSA key of 16,384 bits in PEM, with text around it.
const MAX_PUBLIC_KEY_BYTES: usize = 64 * 1024;
