//! The file that is written: opened, found moved, mended, rotated.
//!
//! **Invariant:** a record that was written is never touched again. What is cut off
//! are bytes of a write that failed, whose callers were told so.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use tracing::{error, info, warn};

use super::{
    Durability,
    chain::Link,
    entry::{Foreign, Why},
    files,
};

/// The file that is written.
pub(super) struct Sink {
    path: PathBuf,
    durability: Durability,
    file: File,
    /// How long it is with all that was written as a whole.
    length: u64,
    /// The number of its first record, once it has one.
    first: Option<u64>,
    /// Whether the last write may have left something behind.
    damaged: bool,
    /// Whether its disk failed to make it safe: then another file must be begun.
    distrusted: bool,
    /// From which length on it is rotated.
    enough: u64,
    rotate_bytes: u64,
    /// Whether it has its last name already.
    rotated: bool,
}

/// What a file that was just opened wants to be told in its first new line.
pub(super) struct Opened {
    pub(super) why: Why,
    /// The last place in the chain that is in it.
    pub(super) link: Option<Link>,
    pub(super) foreign: Option<Foreign>,
    /// Whether a line feed must come first.
    pub(super) torn: bool,
    /// The file before it, which may not be safe on its disk yet.
    pub(super) before: Option<File>,
    /// The last place in the chain that is in the file before it, where a failed write
    /// could not be cut off from that: no number comes twice.
    pub(super) left: Option<Link>,
}

impl Sink {
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        rotate_bytes: u64,
        why: Why,
    ) -> io::Result<(Self, Opened)> {
        // Read to see how it ends, and only then.
        let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        files::ensure_file(&file)?;
        // Two that write one chain would tear it. A system that has no locks has none.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is in use by another gateway"));
        }
        if durability == Durability::Fsync {
            // A power cut takes the name of a new file, too, and the new name of the one
            // before it.
            files::sync(&File::open(files::directory(path))?)?;
        }
        let end = files::end(&file)?;
        let (length, first) = (file.metadata()?.len(), files::first(&file)?);
        let opened =
            Opened { why, link: end.link, foreign: end.foreign, torn: end.torn, before: None, left: None };
        let enough = if rotate_bytes == 0 { u64::MAX } else { rotate_bytes };
        let path = path.to_owned();
        let sink = Self {
            path,
            durability,
            file,
            length,
            first,
            damaged: false,
            distrusted: false,
            enough,
            rotate_bytes,
            rotated: false,
        };
        Ok((sink, opened))
    }

    /// Makes sure that what is written next goes where readers look for it and begins
    /// a line. Says so where that is another file than before.
    pub(super) fn settle(&mut self) -> io::Result<Option<Opened>> {
        let mended = self.mend();
        if self.distrusted && self.is_in_place() {
            self.leave()?;
        }
        if !self.is_in_place() {
            // Moved away to be kept, or removed.
            let why = if self.distrusted { Why::Unsafe } else { Why::Rotated };
            let (sink, mut opened) = Self::open(&self.path, self.durability, self.rotate_bytes, why)?;
            if let Err(error) = mended {
                warn!(%error, "what a failed write left in the audit log that was moved stays in it");
                opened.left = files::end(&self.file)?.link;
            }
            if self.rotated {
                info!(path = %self.path.display(), "the audit log was rotated");
            } else {
                warn!(path = %self.path.display(), "the audit log was moved; begun anew");
            }
            opened.before = Some(std::mem::replace(self, sink).file);
            return Ok(Some(opened));
        }
        mended.map(|()| None)
    }

    /// Cuts off what a write that failed may have left, wherever the file is now: it
    /// was moved away perhaps just because there was no room for that write.
    fn mend(&mut self) -> io::Result<()> {
        if self.damaged {
            let about = self.file.metadata()?;
            if about.is_file() && about.len() > self.length {
                self.file.set_len(self.length)?;
            }
            self.damaged = false;
        }
        Ok(())
    }

    /// Writes whole lines, of which the first has this number.
    pub(super) fn write(&mut self, lines: &[u8], first: u64) -> io::Result<()> {
        // Until the opposite is known.
        self.damaged = true;
        if let Err(error) = self.put(lines) {
            // At once, before anybody takes the file away. What cannot be done now is
            // done before the next write.
            let _ = self.mend();
            return Err(error);
        }
        self.damaged = false;
        self.length += u64::try_from(lines.len()).unwrap_or_default();
        self.first.get_or_insert(first);
        Ok(())
    }

    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)?;
        if self.durability == Durability::Fsync {
            files::sync(&self.file).inspect_err(|_| {
                self.distrust();
            })?;
        }
        Ok(())
    }

    /// Has another file begun before anything else is written: what this one has may be
    /// lost already, whatever its disk says the next time. Answers whether that can be;
    /// what is no file, such as a device, has no successor.
    pub(super) fn distrust(&mut self) -> bool {
        self.distrusted = self.file.metadata().is_ok_and(|about| about.is_file());
        self.distrusted
    }

    /// Whether it is time to begin another file.
    pub(super) const fn is_long_enough(&self) -> bool {
        self.length >= self.enough
    }

    /// Gives the file the name under which it is kept. It goes on being written where
    /// that cannot be done: a log that is too long is better than none.
    pub(super) fn rotate(&mut self) {
        let Some(first) = self.first else { return };
        if let Err(error) = self.rename(first) {
            error!(%error, first, "cannot rotate the audit log; it grows on");
            self.enough = self.length.saturating_add(self.rotate_bytes);
        }
    }

    fn rename(&mut self, first: u64) -> io::Result<()> {
        let kept = files::rotated_name(&self.path, first);
        if fs::symlink_metadata(&kept).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, &kept)?;
        (self.rotated, self.enough) = (true, u64::MAX);
        Ok(())
    }

    /// Makes room for another file of this name. Nothing is written before there is one.
    fn leave(&mut self) -> io::Result<()> {
        match self.first {
            Some(first) => self.rename(first),
            // Nothing was ever written to it that somebody was told of.
            None if self.file.metadata()?.len() == 0 => fs::remove_file(&self.path),
            // Older than the chain, as a whole.
            None => self.rename(0),
        }
    }

    /// As after a write that failed.
    #[cfg(test)]
    pub(super) const fn damage(&mut self) {
        self.damaged = true;
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// The file, for whoever makes it safe on another thread.
    pub(super) fn share(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Whether the file is still the one of this name. What is no file, such as a
    /// device, stays what it is.
    fn is_in_place(&self) -> bool {
        let Ok(open) = self.file.metadata() else { return true };
        let named = fs::metadata(&self.path);
        named.is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino()))
    }
}
