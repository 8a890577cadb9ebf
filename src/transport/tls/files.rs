//! Files in PEM.
//!
//! **Invariant:** a file of which one part cannot be read is refused whole: it may be
//! half written, and what is missing may be what was revoked.

use std::{fs, io, path::Path};

use aws_lc_rs::digest;
use rustls::pki_types::pem::{self, PemObject};

use super::Error;

/// The files of one reading, and a digest of what they hold.
pub(super) struct Files {
    context: digest::Context,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { context: digest::Context::new(&digest::SHA256) }
    }

    /// All of one kind in a file: at least one.
    pub(super) fn all<T: PemObject>(&mut self, path: &Path, what: &str) -> Result<Vec<T>, Error> {
        let bytes = read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        self.context.update(&bytes.len().to_be_bytes());
        self.context.update(&bytes);
        let all = T::pem_slice_iter(&bytes).collect::<Result<Vec<_>, pem::Error>>();
        let all = all.map_err(|error| Error::content(path, error.to_string()))?;
        if all.is_empty() {
            return Err(Error::content(path, format!("there is no {what} in PEM in it")));
        }
        Ok(all)
    }

    pub(super) fn digest(self) -> Vec<u8> {
        self.context.finish().as_ref().to_vec()
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    // A pipe would be waited for.
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if about.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    fs::read(path)
}

/// Some hundred thousand revoked certificates.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
