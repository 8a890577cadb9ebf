//! The files of the directory, read whole and within bounds.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Error, Problem};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) file: Arc<Path>,
    pub(super) text: String,
}

impl Source {
    /// What is wrong at this place of the text.
    pub(super) fn problem(&self, offset: Option<usize>, message: impl std::fmt::Display) -> Problem {
        Problem::new(Arc::clone(&self.file), offset.map(|offset| self.line(offset)), message)
    }

    /// The line of a place, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// Every file of policies, sorted by name. Hidden files and those of other names are
/// none: editors and Kubernetes leave them.
pub(super) fn read(directory: &Path) -> Result<Vec<Source>, Error> {
    let failed = |source| Error::Directory { directory: directory.to_owned(), source };
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match is_policy(&path) {
            Ok(true) => files.push(path),
            Ok(false) => {}
            Err(problem) => problems.push(problem),
        }
    }
    files.sort();
    if files.len() > POLICIES {
        let message = format!("more than {POLICIES} files of policies");
        problems.push(Problem::new(directory, None, message));
        files.clear();
    }
    let (mut sources, mut left) = (Vec::new(), BYTES);
    for file in files {
        match contents(&file, left) {
            Ok(text) => {
                left -= text.len();
                sources.push(Source { file: file.into(), text });
            }
            Err(message) => problems.push(Problem::new(file, None, message)),
        }
    }
    if problems.is_empty() { Ok(sources) } else { Err(Error::refused(problems)) }
}

/// A file that only looks like none might forbid something, and is not passed over.
fn is_policy(path: &Path) -> Result<bool, Problem> {
    let Some(name) = path.file_name() else { return Ok(false) };
    let lossy = name.to_string_lossy();
    if lossy.starts_with('.') || !lossy.to_ascii_lowercase().ends_with(SUFFIX) {
        Ok(false)
    } else if !lossy.ends_with(SUFFIX) {
        Err(Problem::new(path, None, format!("must end with `{SUFFIX}` in small letters, or otherwise")))
    } else if name.to_str().is_none() {
        Err(Problem::new(path, None, "its name is not UTF-8"))
    } else {
        Ok(true)
    }
}

fn contents(file: &PathBuf, left: usize) -> Result<String, String> {
    let unreadable = |error| format!("cannot be read: {error}");
    // Opening a pipe would wait for somebody to write.
    if !fs::metadata(file).map_err(unreadable)?.is_file() {
        return Err("is not a file".to_owned());
    }
    let bound = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|opened| opened.take(bound).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > left {
        return Err(format!("the policies are longer than {BYTES} bytes in all"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

const SUFFIX: &str = ".cedar";

/// The most policies. Cedar asks them one by one, so that a decision on a thousand takes
/// most of a millisecond.
pub(super) const POLICIES: usize = 1_000;
/// The longest that they may be in all: a thousand of a thousand bytes.
const BYTES: usize = 1024 * 1024;
