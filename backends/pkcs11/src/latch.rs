//! What remembers over restarts that a token refused a PIN.
//!
//! A supervisor starts a gateway again that ended. Without this each start would try the PIN
//! once more, and a token locks itself after a few.
//!
//! **Invariant:** the file says which PIN it was to nobody who does not know it: it has a hash
//! that takes as long as one of a password (PBKDF2, SP 800-132), with a salt of its own.

use std::{
    fs,
    io::{self, Write as _},
    num::NonZeroU32,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    pbkdf2::{self, PBKDF2_HMAC_SHA256},
    rand,
};
use tracing::warn;

/// As many as are held against guessers of passwords today (OWASP, 2023); about a quarter of a
/// second.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// The first word of the file: what it is, and the version of its form.
const MAGIC: &str = "skms-refused-pin/1";

/// The file in which it stands; none: nothing is remembered.
pub(crate) struct Latch(Option<PathBuf>);

impl Latch {
    pub(crate) fn new(path: Option<&Path>) -> Self {
        Self(path.map(Path::to_owned))
    }

    /// The file, if it says that the token with this serial number refused this PIN; or if it
    /// is there and nobody can tell.
    pub(crate) fn holds(&self, serial: &str, pin: &[u8]) -> Option<&Path> {
        let path = self.0.as_deref()?;
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(_) => return Some(path),
        };
        let mut words = text.split_whitespace();
        let (magic, of, salt, hash) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if magic != MAGIC || of != hex::encode(serial) {
            return None;
        }
        let (salt, hash) = (hex::decode(salt).ok()?, hex::decode(hash).ok()?);
        pbkdf2::verify(PBKDF2_HMAC_SHA256, ITERATIONS, &salt, pin, &hash).ok().map(|()| path)
    }

    /// Remembers it.
    pub(crate) fn set(&self, serial: &str, pin: &[u8]) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = write(path, serial, pin) {
            warn!(path = %path.display(), %error, "a restart will try the refused PIN once more");
        }
    }

    /// Forgets it: another PIN was taken.
    pub(crate) fn clear(&self) {
        if let Some(path) = &self.0 {
            // Mostly there is none.
            let _ = fs::remove_file(path);
        }
    }
}

fn write(path: &Path, serial: &str, pin: &[u8]) -> io::Result<()> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let mut hash = [0; HASH_BYTES];
    pbkdf2::derive(PBKDF2_HMAC_SHA256, ITERATIONS, &salt, pin, &mut hash);
    let text = format!("{MAGIC} {} {} {}\n", hex::encode(serial), hex::encode(salt), hex::encode(hash));
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_for_one_pin_of_one_token_and_tells_neither() {
        let path = std::env::temp_dir().join(format!("skms-latch-{}", std::process::id()));
        let latch = Latch::new(Some(&path));
        assert!(latch.holds("serial", b"12345678").is_none());
        latch.set("serial", b"12345678");
        assert_eq!(latch.holds("serial", b"12345678"), Some(&*path));
        assert!(latch.holds("serial", b"12345679").is_none());
        assert!(latch.holds("other", b"12345678").is_none());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("12345678") && !text.contains("serial"), "{text}");
        // What is no such file holds nothing.
        for text in ["", "skms-refused-pin/2 00 00 00", "skms-refused-pin/1 zz zz zz", "\0\0"] {
            fs::write(&path, text).unwrap();
            assert!(latch.holds("serial", b"12345678").is_none(), "{text:?}");
        }
        latch.clear();
        assert!(!path.exists());
        // What cannot be read may hold.
        fs::create_dir(&path).unwrap();
        assert!(latch.holds("serial", b"12345678").is_some());
        fs::remove_dir(&path).unwrap();
        Latch::new(None).set("serial", b"12345678");
    }
}
