//! The format of a backup, version 1: a head in clear, and then chunks.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `SKMSBKUP` in ASCII |
//! | 1 | the version of the format, 1 |
//! | 8 | which backup key: HKDF-SHA256(salt none, backup key, info `skms/backup/key-id/1`) |
//! | 32 | a random salt |
//! | 16 | the instance id of the catalog |
//! | 4 | the version of its tables |
//! | 8 | its revision |
//! | 8 | when it was made, in milliseconds since 1970 |
//! | rest | chunks of 65,536 bytes, the last one of that or less, each under AES-256-GCM with its tag of 16 bytes |
//!
//! Numbers are big-endian. The AES key is HKDF-SHA256 (RFC 5869) of the backup key with the
//! salt and the info `skms/backup/1`, and so a key for one file. Chunks are [`Segments`];
//! authenticated with each of them is the whole head.
//!
//! Compatibility: what a release has written every later release reads. Another format
//! takes another version byte.

use std::{
    io::{self, Read, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    rand,
};
use skms_backend::{Last, RootKey, SEGMENT_BYTES, SEGMENT_TAG_BYTES, Segments};
use uuid::Uuid;

/// The length of a chunk in bytes, without its tag: what is held in memory.
pub(super) const CHUNK: usize = SEGMENT_BYTES;
/// The length of the head in bytes.
pub(super) const HEAD: usize = 8 + 1 + ID + SALT + 16 + 4 + 8 + 8;
const TAG: usize = SEGMENT_TAG_BYTES;
const ID: usize = 8;
const SALT: usize = 32;
const MAGIC: &[u8; 8] = b"SKMSBKUP";
const VERSION: u8 = 1;
const KEY_INFO: &[u8] = b"skms/backup/1";
const ID_INFO: &[u8] = b"skms/backup/key-id/1";

/// What a backup says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The random id of the catalog.
    pub instance: Uuid,
    /// The version of its tables.
    pub schema: u32,
    /// Its revision.
    pub revision: u64,
    /// When the backup was made, to the millisecond.
    pub time: SystemTime,
}

/// Encrypts what is written to it. What was not finished cannot be read.
pub(super) struct Sealing<W> {
    sink: W,
    segments: Segments,
    chunk: Vec<u8>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(mut sink: W, key: &RootKey, about: &About) -> io::Result<Self> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(unspecified)?;
        let since = about.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let head = [
            &MAGIC[..],
            &[VERSION],
            &key_id(key).map_err(unspecified)?,
            &salt,
            about.instance.as_bytes(),
            &about.schema.to_be_bytes(),
            &about.revision.to_be_bytes(),
            &u64::try_from(since.as_millis()).unwrap_or(u64::MAX).to_be_bytes(),
        ]
        .concat();
        sink.write_all(&head)?;
        let segments = segments(key, &salt, head).map_err(unspecified)?;
        Ok(Self { sink, segments, chunk: Vec::with_capacity(CHUNK + TAG) })
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(Last::Yes)?;
        Ok(self.sink)
    }

    fn seal(&mut self, last: Last) -> io::Result<()> {
        self.segments.seal(&mut self.chunk, last).map_err(unspecified)?;
        self.sink.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk waits for what comes: it may be the last.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.seal(Last::No)?;
        }
        let (now, _) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
        self.chunk.extend_from_slice(now);
        Ok(now.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts what is read from it. Its end is the end that was written: anything else is an
/// error, which is a [`Broken`] within.
pub(super) struct Opening<R> {
    source: R,
    segments: Segments,
    /// What was read and not yet opened: at most one byte more than a chunk.
    sealed: Vec<u8>,
    /// What was opened and not yet given out.
    open: Vec<u8>,
    given: usize,
    at_end: bool,
}

impl<R: Read> Opening<R> {
    pub(super) fn new(mut source: R, key: &RootKey) -> io::Result<(Self, About)> {
        let mut head = Vec::with_capacity(HEAD);
        (&mut source).take(HEAD as u64).read_to_end(&mut head)?;
        let (about, salt) = parse(&head, key)?;
        let segments = segments(key, &salt, head).map_err(unspecified)?;
        let (sealed, open) = (Vec::with_capacity(CHUNK + TAG + 1), Vec::new());
        Ok((Self { source, segments, sealed, open, given: 0, at_end: false }, about))
    }

    fn next(&mut self) -> io::Result<()> {
        let wanted = CHUNK + TAG + 1 - self.sealed.len();
        (&mut self.source).take(wanted as u64).read_to_end(&mut self.sealed)?;
        let last = if self.sealed.len() > CHUNK + TAG { Last::No } else { Last::Yes };
        let rest = self.sealed.split_off(self.sealed.len().min(CHUNK + TAG));
        let chunk = std::mem::replace(&mut self.sealed, rest);
        self.open.clone_from(&chunk);
        self.segments.open(&mut self.open, last).map_err(|_| why(&self.segments, &chunk, last))?;
        (self.given, self.at_end) = (0, matches!(last, Last::Yes));
        Ok(())
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.open.len() && !self.at_end {
            self.next()?;
        }
        let mut rest = self.open.get(self.given..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

fn segments(key: &RootKey, salt: &[u8], head: Vec<u8>) -> Result<Segments, Unspecified> {
    let derived = Salt::new(HKDF_SHA256, salt).extract(key.expose());
    Ok(Segments::new(UnboundKey::from(derived.expand(&[KEY_INFO], &AES_256_GCM)?), head))
}

/// What became of a chunk that does not open.
fn why(segments: &Segments, chunk: &[u8], last: Last) -> Broken {
    match last {
        _ if chunk.is_empty() => Broken::CutOff,
        Last::Yes if segments.would_open(chunk, Last::No) => Broken::CutOff,
        Last::No if segments.would_open(chunk, Last::Yes) => Broken::Longer,
        Last::Yes | Last::No => Broken::Changed,
    }
}

fn key_id(key: &RootKey) -> Result<[u8; ID], Unspecified> {
    let mut id = [0; 32];
    Salt::none(HKDF_SHA256).extract(key.expose()).expand(&[ID_INFO], HKDF_SHA256)?.fill(&mut id)?;
    id.first_chunk().copied().ok_or(Unspecified)
}

fn parse(head: &[u8], key: &RootKey) -> io::Result<(About, [u8; SALT])> {
    let rest = head.strip_prefix(MAGIC).ok_or(Broken::NotABackup)?;
    let (version, rest) = rest.split_first().ok_or(Broken::CutOff)?;
    if *version != VERSION {
        return Err(Broken::Version(*version).into());
    }
    let fields = || {
        let (id, rest) = rest.split_first_chunk::<ID>()?;
        let (salt, rest) = rest.split_first_chunk::<SALT>()?;
        let (instance, rest) = rest.split_first_chunk()?;
        let (schema, rest) = rest.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let millis = rest.first_chunk()?;
        let about = About {
            instance: Uuid::from_bytes(*instance),
            schema: u32::from_be_bytes(*schema),
            revision: u64::from_be_bytes(*revision),
            time: UNIX_EPOCH.checked_add(Duration::from_millis(u64::from_be_bytes(*millis)))?,
        };
        Some((*id, about, *salt))
    };
    let (id, about, salt) = fields().ok_or(Broken::CutOff)?;
    if id != key_id(key).map_err(unspecified)? {
        return Err(Broken::OtherKey.into());
    }
    Ok((about, salt))
}

fn unspecified(_: Unspecified) -> io::Error {
    io::Error::other("the cryptographic library failed")
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("it is no backup of skms")]
    NotABackup,
    #[error("it is a backup in format {0}, and this release reads format {VERSION}")]
    Version(u8),
    #[error("it was made with another backup key")]
    OtherKey,
    #[error("its end is missing")]
    CutOff,
    #[error("there is more in it than was written")]
    Longer,
    #[error("it was changed, or its end is missing")]
    Changed,
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::new(io::ErrorKind::InvalidData, broken)
    }
}

#[cfg(test)]
mod tests;
