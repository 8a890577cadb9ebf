//! The beginning of a connection: the preface that every HTTP/2 client sends first
//! (RFC 9113 §3.4).
//!
//! hyper waits for it without end, and does not hear of a shutdown meanwhile. So a
//! peer that connects and never speaks would keep a connection, and delay a stop.
//! It is read here, within a time, and given back to hyper.
//!
//! **Invariant:** of what a peer sends, no more than [`IDLE_TALK`] gets no call on.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time,
};

use super::{activity::Activity, listener::Stream};

/// What every connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes in a row that may belong to no call, or to one that does not get on. What an
/// honest client sends ahead is bounded by the window of the connection, a quarter of it.
const IDLE_TALK: u64 = 4 * 1024 * 1024;

/// A stream whose peer has spoken.
pub(super) struct Spoken {
    /// How much of the preface was read again.
    given: usize,
    stream: Stream,
    activity: Arc<Activity>,
    /// What there was of progress when it was last looked at, and how much came since.
    seen: (u64, u64),
}

impl Spoken {
    /// Waits for the preface for so long.
    pub(super) async fn by(
        mut stream: Stream,
        patience: Duration,
        activity: Arc<Activity>,
    ) -> io::Result<Self> {
        let mut preface = [0; PREFACE.len()];
        time::timeout(patience, stream.read_exact(&mut preface)).await??;
        if preface != *PREFACE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is no HTTP/2"));
        }
        Ok(Self { given: 0, stream, activity, seen: (0, 0) })
    }
}

impl AsyncRead for Spoken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = PREFACE.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let came = (buffer.filled().len() - before) as u64;
            let progress = self.activity.progress();
            let (seen, talk) = self.seen;
            let talk = if progress == seen { talk + came } else { came };
            self.seen = (progress, talk);
            if talk > IDLE_TALK {
                return Poll::Ready(Err(io::Error::other("the peer talks and does not call")));
            }
            return Poll::Ready(Ok(()));
        }
        let some = rest.get(..buffer.remaining()).unwrap_or(rest);
        let length = some.len();
        buffer.put_slice(some);
        self.given += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Spoken {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
