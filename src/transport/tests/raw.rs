//! A client that speaks HTTP/2 frame by frame, so that it can misbehave (RFC 9113 §4.1).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::soon;

pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) struct Raw<S> {
    pub(super) stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Begins; whether there is a connection is not known yet.
    pub(super) async fn open(mut stream: S) -> Self {
        let _ = stream.write_all(PREFACE).await;
        let mut raw = Self { stream };
        raw.send(SETTINGS, 0, 0, &[]).await;
        raw
    }

    /// Begins, and waits until it is answered. Whether it was.
    pub(super) async fn opened(stream: S) -> Option<Self> {
        let mut raw = Self::open(stream).await;
        raw.frame().await.map(|kind| {
            assert_eq!(kind, SETTINGS);
            raw
        })
    }

    /// The kind of the next frame; none where the connection has ended.
    pub(super) async fn frame(&mut self) -> Option<u8> {
        let mut head = [0; 9];
        soon(self.stream.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        soon(self.stream.read_exact(&mut payload)).await.ok()?;
        Some(head[3])
    }

    /// Waits for a frame of this kind. Whether it came before the end.
    pub(super) async fn has(&mut self, kind: u8) -> bool {
        while let Some(frame) = self.frame().await {
            if frame == kind {
                return true;
            }
        }
        false
    }

    /// Waits for the end.
    pub(super) async fn end(&mut self) {
        while self.frame().await.is_some() {}
    }

    /// Begins a call without a message.
    pub(super) async fn call(&mut self, id: u32, path: &str) {
        // POST, http, and the path and the authority in full (RFC 7541 §6).
        let mut block = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(b"\x01\x09localhost");
        // END_HEADERS and END_STREAM.
        self.send(HEADERS, 0x5, id, &block).await;
    }

    pub(super) async fn reset(&mut self, id: u32) {
        self.send(RST_STREAM, 0, id, &8_u32.to_be_bytes()).await;
    }

    async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        // That nobody listens any more is seen when reading.
        let _ = self.stream.write_all(&frame(kind, flags, id, payload)).await;
    }
}

/// A PING.
pub(super) fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[0; 8])
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &id.to_be_bytes(), payload].concat()
}
