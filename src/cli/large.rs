//! What is too long for one message, and so travels in a stream: from a file, or from what
//! was read of stdin, to a file that is there as a whole or not at all, or to stdout.

use std::{
    fs,
    io::{self, Cursor, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context as Task, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use uuid::Uuid;

use super::{
    Context, Error,
    files::{Place, failed},
    terminal::Terminal,
};

/// What is longer goes in a stream: the longest message of a gateway that is not told
/// otherwise.
const BYTES: u64 = 64 * 1024;

/// Something that is read as it is sent.
pub(super) struct Source(Box<dyn Read + Send>);

impl Source {
    /// What is at a place, if it is a file that is too long for one message.
    pub(super) fn of(input: Option<&Place>) -> Result<Option<Self>, Error> {
        Self::if_it(input, |file| Ok(file.metadata()?.len() > BYTES))
    }

    /// What is at a place, if it is a file that begins so.
    pub(super) fn beginning(input: Option<&Place>, magic: &[u8]) -> Result<Option<Self>, Error> {
        Self::if_it(input, |file| {
            let mut start = Vec::new();
            file.take(magic.len() as u64).read_to_end(&mut start)?;
            Ok(start == magic)
        })
    }

    fn if_it(
        input: Option<&Place>,
        is_it: impl FnOnce(&mut fs::File) -> io::Result<bool>,
    ) -> Result<Option<Self>, Error> {
        let Some(Place::File(path)) = input else { return Ok(None) };
        let open = || {
            let mut file = fs::File::open(path)?;
            // Of a pipe nothing is known before it is read.
            if !file.metadata()?.is_file() || !is_it(&mut file)? {
                return Ok(None);
            }
            io::Seek::rewind(&mut file)?;
            Ok(Some(Self(Box::new(io::BufReader::new(file)))))
        };
        open().map_err(|source| failed("read", path, source))
    }

    /// Bytes that were read, if they are too long for one message.
    pub(super) fn of_bytes(bytes: &Bytes) -> Option<Self> {
        (bytes.len() as u64 > BYTES).then(|| Self::whole(bytes))
    }

    /// Bytes that were read.
    pub(super) fn whole(bytes: &Bytes) -> Self {
        Self(Box::new(Cursor::new(bytes.clone())))
    }
}

impl AsyncRead for Source {
    /// Blocks: a command does nothing else meanwhile, and a file is there.
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(buffer.initialize_unfilled());
        Poll::Ready(read.map(|read| buffer.advance(read)))
    }
}

/// Where a stream goes.
pub(super) enum Sink<'a> {
    Standard(&'a mut Terminal),
    File { file: fs::File, beside: PathBuf, path: PathBuf },
}

impl<'a> Sink<'a> {
    /// Refuses what cannot be written as it comes.
    pub(super) fn open(place: &Place, mode: u32, context: &'a mut Context<'_>) -> Result<Self, Error> {
        let Place::File(path) = place else {
            if context.is_json() || place.is_shown(context.terminal) {
                let why = "what is this long goes to a file or a pipe; name the file with `--out`";
                return Err(Error::Usage(why.to_owned()));
            }
            return Ok(Self::Standard(context.terminal));
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", Uuid::new_v4()));
        let beside = PathBuf::from(beside);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside);
        let file = file.map_err(|source| failed("write", path, source))?;
        Ok(Self::File { file, beside, path: path.clone() })
    }

    /// All of it has come.
    pub(super) fn complete(mut self) -> Result<(), Error> {
        match &mut self {
            Self::Standard(terminal) => terminal.print(""),
            Self::File { file, beside, path } => {
                let done = file.sync_all().and_then(|()| fs::rename(beside, &*path));
                done.map_err(|source| failed("write", &*path, source))
            }
        }
    }
}

impl Drop for Sink<'_> {
    fn drop(&mut self) {
        if let Self::File { beside, .. } = self {
            // It is not there any more where it was completed.
            let _ = fs::remove_file(Path::new(beside));
        }
    }
}

impl AsyncWrite for Sink<'_> {
    /// Blocks, as reading does.
    fn poll_write(self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(match self.get_mut() {
            Self::Standard(terminal) => terminal.stdout.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.get_mut() {
            Self::Standard(terminal) => terminal.stdout.flush(),
            Self::File { file, .. } => file.flush(),
        })
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(task)
    }
}
