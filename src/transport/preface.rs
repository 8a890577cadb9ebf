//! The beginning of a connection: the preface that every HTTP/2 client sends first
//! (RFC 9113 §3.4).
//!
//! hyper waits for it without end, and does not hear of a shutdown meanwhile. So a
//! peer that connects and never speaks would keep a connection, and delay a stop.
//! It is read here, within a time, and given back to hyper.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time,
};

use super::listener::Stream;

/// The length of the preface.
const BYTES: usize = 24;
/// How long a peer may take to send it. One that was up to something would not wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream whose peer has spoken.
pub(super) struct Spoken {
    preface: [u8; BYTES],
    /// How much of the preface was read again.
    given: usize,
    stream: Stream,
}

impl Spoken {
    /// Waits for as many bytes as the preface has. What they are is judged by hyper.
    pub(super) async fn by(mut stream: Stream) -> io::Result<Self> {
        let mut preface = [0; BYTES];
        time::timeout(PATIENCE, stream.read_exact(&mut preface)).await??;
        Ok(Self { preface, given: 0, stream })
    }
}

impl AsyncRead for Spoken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.preface.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
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
