//! Who vouches for the log: a signer of checkpoints, and places outside of the log
//! that remember them.
//!
//! The log is given both and knows neither keys nor databases.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{entry::Kept, files::ends_a_line};
use crate::model::Anchor;

/// What went wrong outside of the log.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Signs checkpoints. It is asked by the thread that writes, so it must be quick.
pub trait Signer: Send + Sync {
    /// The fingerprint of its key.
    fn key(&self) -> &str;

    /// A signature over [`super::signed`].
    ///
    /// # Errors
    /// When there is none now; the next checkpoint will ask again.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// A place outside of the log that remembers checkpoints. It may block: it has a
/// thread of its own.
pub trait Anchors: Send + Sync {
    /// What is told where it fails, such as `the catalog`.
    fn name(&self) -> &'static str;

    /// The one with the highest number.
    ///
    /// # Errors
    /// When it cannot be read.
    fn last(&self) -> Result<Option<Anchor>, Fault>;

    /// Remembers one more, safely.
    ///
    /// # Errors
    /// When it cannot; it will be given a later one.
    fn keep(&self, anchor: &Anchor) -> Result<(), Fault>;
}

/// Who vouches for a log. Nobody, by default: there are no checkpoints then.
#[derive(Clone, Default)]
pub struct Witnesses {
    /// Who signs.
    pub signer: Option<Arc<dyn Signer>>,
    /// Who remembers.
    pub anchors: Vec<Arc<dyn Anchors>>,
}

/// A file that only grows: a copy that the operator keeps, best on another machine.
pub(super) struct AnchorFile(PathBuf);

impl AnchorFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Anchors for AnchorFile {
    fn name(&self) -> &'static str {
        "the file of anchors"
    }

    fn last(&self) -> Result<Option<Anchor>, Fault> {
        match anchors_of(&self.0) {
            Ok(anchors) => Ok(anchors.into_iter().max_by_key(|anchor| anchor.sequence)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, anchor: &Anchor) -> Result<(), Fault> {
        let mut line = format!("{}\n", serde_json::to_string(&Kept::from(anchor))?);
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&self.0)?;
        // What a crash cut off spoils only itself.
        if !ends_a_line(&file)? {
            line.insert(0, '\n');
        }
        file.write_all(line.as_bytes())?;
        Ok(file.sync_all()?)
    }
}

/// The anchors in a file that the gateway wrote. A line that a crash cut off is none.
///
/// # Errors
/// When the file cannot be read, or a line in it was never an anchor.
pub fn anchors_of(path: &Path) -> io::Result<Vec<Anchor>> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut anchors, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line)? > 0 {
        let read = serde_json::from_str::<Kept>(&line).ok().and_then(Kept::anchor);
        match read {
            Some(anchor) => anchors.push(anchor),
            None if !line.trim_end().ends_with('}') => {}
            None => {
                let what = format!("line {} is no anchor", anchors.len() + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        line.clear();
    }
    Ok(anchors)
}
