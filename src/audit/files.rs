//! The files of a log: the one that is written, and those that were long enough.
//!
//! One that was long enough has the number of its first record behind its name, with
//! twenty digits, so that every listing has them in the order of the chain.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use super::{
    chain::{Line, Link},
    entry::Foreign,
};

/// A line that is longer is none of ours. It is read in pieces, none of which is a
/// line.
const LONGEST_LINE: u64 = 1 << 20;
/// What is read of a file at once.
const BLOCK: usize = 1 << 18;
/// Where the end of the chain is looked for first, in bytes before the end.
const NEAR: u64 = 4 * LONGEST_LINE;

/// The name that the file `path` gets when it is long enough.
pub(super) fn rotated_name(path: &Path, first: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{first:020}"));
    name.into()
}

/// The files beside `path` that were once it, the oldest first.
///
/// # Errors
/// When the directory cannot be read.
pub fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory(path))? {
        let entry = entry?.file_name();
        let rest = entry.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let digits = rest.and_then(|rest| rest.strip_prefix(b"."));
        if digits.is_some_and(|digits| digits.len() == 20 && digits.iter().all(u8::is_ascii_digit)) {
            found.push(path.with_file_name(entry));
        }
    }
    found.sort();
    Ok(found)
}

/// The directory that a file is in.
pub(super) fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file from some place on. It does not move the place at which others read.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += u64::try_from(read).unwrap_or_default();
        Ok(read)
    }
}

fn reader(file: &File, offset: u64) -> BufReader<At<'_>> {
    BufReader::with_capacity(BLOCK, At { file, offset })
}

/// The lines of a file, one after the other, with the place of each.
pub(super) struct Lines<'a> {
    reader: BufReader<At<'a>>,
    line: Vec<u8>,
    offset: u64,
}

impl<'a> Lines<'a> {
    /// From `offset` on.
    pub(super) fn new(file: &'a File, offset: u64) -> Self {
        Self { reader: reader(file, offset), line: Vec::new(), offset }
    }

    /// The next line, with its line feed unless the file ends before it, and where it
    /// begins.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let begin = self.offset;
        self.line.clear();
        let read = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.line)?;
        self.offset += u64::try_from(read).unwrap_or_default();
        Ok((read > 0).then_some((begin, self.line.as_slice())))
    }
}

/// How a file ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The last place in the chain.
    pub(super) link: Option<Link>,
    /// What comes after it, and is not of the chain; with the line feed that it lacks.
    pub(super) foreign: Option<Foreign>,
    /// Whether it lacks one.
    pub(super) torn: bool,
}

/// How the file ends. What is no file, such as a device, ends nowhere.
pub(super) fn end(file: &File) -> io::Result<End> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(End::default());
    }
    // A crash cuts off a line; so the end of the chain is near, or there is none.
    let mut last = None;
    for from in [length.saturating_sub(NEAR), 0] {
        let mut lines = Lines::new(file, from);
        while let Some((begin, line)) = lines.next()? {
            if let Some(parsed) = line.strip_suffix(b"\n").and_then(Line::parse) {
                last = Some((parsed.link(), begin + u64::try_from(line.len()).unwrap_or_default()));
            }
        }
        if last.is_some() || from == 0 {
            break;
        }
    }
    let (link, after) = last.map_or((None, 0), |(link, after)| (Some(link), after));
    let torn = !ends_a_line(file)?;
    let foreign = (after < length).then(|| foreign(file, after..length, torn)).transpose()?;
    Ok(End { link, foreign, torn })
}

/// What is in a part of a file, and where it is ended, a line feed.
pub(super) fn foreign(file: &File, part: std::ops::Range<u64>, ended: bool) -> io::Result<Foreign> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut bytes = part.end - part.start;
    let mut reader = reader(file, part.start).take(bytes);
    loop {
        let block = reader.fill_buf()?;
        let read = block.len();
        if read == 0 {
            break;
        }
        context.update(block);
        reader.consume(read);
    }
    if ended {
        context.update(b"\n");
        bytes += 1;
    }
    Ok(Foreign { bytes, sha256: hex::encode(context.finish()) })
}

/// Whether the file is empty or its last line has an end.
pub(super) fn ends_a_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

/// Refuses a pipe or a device: nobody finds again what goes into it.
pub(super) fn ensure_file(file: &File) -> io::Result<()> {
    let about = file.metadata()?;
    #[cfg(test)]
    if faults::is_slow_disk(&about) {
        return Ok(());
    }
    if about.is_file() { Ok(()) } else { Err(io::Error::other("it is not a file")) }
}

/// Makes what is in a file, or a directory, safe on its disk.
pub(super) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    faults::strike(file)?;
    file.sync_data()
}

/// The number of the first record in a file, where its first line is one.
pub(super) fn first(file: &File) -> io::Result<Option<u64>> {
    // What is no file, such as a pipe, has nothing to be read.
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut lines = Lines::new(file, 0);
    let line = lines.next()?.and_then(|(_, line)| line.strip_suffix(b"\n"));
    Ok(line.and_then(Line::parse).map(|line| line.sequence))
}

/// The place of this number in a file, where it has one.
pub(super) fn find(path: &Path, sequence: u64) -> io::Result<Option<Link>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    // Anchors are of late, so mostly it is near the end.
    for from in [length.saturating_sub(NEAR), 0] {
        let mut lines = Lines::new(&file, from);
        let mut earlier = false;
        while let Some((_, line)) = lines.next()? {
            let Some(line) = line.strip_suffix(b"\n").and_then(Line::parse) else { continue };
            if line.sequence == sequence {
                return Ok(Some(line.link()));
            }
            earlier |= line.sequence < sequence;
        }
        if earlier || from == 0 {
            break;
        }
    }
    Ok(None)
}

/// Disks that fail once and then say that all is well, as they do (what could not be
/// written is forgotten by the page cache, too); and disks on which a write hangs.
#[cfg(test)]
pub(super) mod faults {
    use std::{
        fs::{File, Metadata},
        io,
        os::unix::fs::MetadataExt as _,
        path::Path,
    };

    use parking_lot::Mutex;

    /// By device and inode.
    static DUE: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
    /// Pipes that stand in for a disk, by device and inode.
    static SLOW: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

    /// This pipe is a disk that takes nothing more while nobody reads from it.
    pub(in crate::audit) fn slow_disk(path: &Path) {
        let about = path.metadata().unwrap();
        SLOW.lock().push((about.dev(), about.ino()));
    }

    pub(super) fn is_slow_disk(about: &Metadata) -> bool {
        SLOW.lock().contains(&(about.dev(), about.ino()))
    }

    /// The next attempt to make this safe fails.
    pub(in crate::audit) fn once(path: &Path) {
        let about = path.metadata().unwrap();
        DUE.lock().push((about.dev(), about.ino()));
    }

    pub(super) fn strike(file: &File) -> io::Result<()> {
        let about = file.metadata()?;
        let mut due = DUE.lock();
        let Some(at) = due.iter().position(|due| *due == (about.dev(), about.ino())) else { return Ok(()) };
        due.swap_remove(at);
        Err(io::Error::other("input/output error"))
    }
}
