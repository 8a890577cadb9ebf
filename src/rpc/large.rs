//! Messages of any length, which come in as a beginning, chunks and an end.

use bytes::Bytes;

use super::{incoming::Incoming, stream::violation};
use crate::{
    keys::{Content, Error, Violation},
    model::Reason,
    proto,
};

/// The longest chunk, in bytes.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Where the parameters of a stream are.
pub(super) const PARAMETERS: &str = "start.parameters";

/// A message of such a stream.
pub(super) enum Part<S> {
    Start(S),
    Chunk(Bytes),
    End(proto::LargeMessageEnd),
}

/// A message that is a part.
pub(super) trait Message: Send + 'static {
    type Start;

    fn part(self) -> Option<Part<Self::Start>>;
}

macro_rules! parts {
    ($($request:ident: $start:ident, $in:ident;)+) => {$(
        impl Message for proto::$request {
            type Start = proto::$start;

            fn part(self) -> Option<Part<Self::Start>> {
                self.kind.map(|kind| match kind {
                    proto::$in::Kind::Start(start) => Part::Start(start),
                    proto::$in::Kind::Chunk(chunk) => Part::Chunk(chunk),
                    proto::$in::Kind::End(end) => Part::End(end),
                })
            }
        }
    )+};
}

parts! {
    SignLargeMessageRequest: SignLargeMessageStart, sign_large_message_request;
    VerifyLargeMessageRequest: VerifyLargeMessageStart, verify_large_message_request;
    EncryptStreamRequest: EncryptStreamStart, encrypt_stream_request;
    DecryptStreamRequest: DecryptStreamStart, decrypt_stream_request;
}

/// The first message of a stream.
pub(super) async fn start<M: Message>(incoming: &mut Incoming<M>) -> Result<M::Start, Error> {
    match incoming.next(true).await?.and_then(M::part) {
        Some(Part::Start(start)) => Ok(start),
        _ => Err(violation("start", "a stream begins with it")),
    }
}

/// What is behind the first.
pub(super) struct Chunks<M> {
    incoming: Incoming<M>,
    declared: u64,
    total: u64,
    crc32c: u32,
    verified: bool,
}

impl<M: Message> Chunks<M> {
    /// `declared` is how long the message is to be; 0: nobody has said.
    pub(super) const fn new(incoming: Incoming<M>, declared: u64) -> Self {
        Self { incoming, declared, total: 0, crc32c: 0, verified: false }
    }

    /// Whether there was a checksum, which then was right.
    pub(super) const fn is_verified(&self) -> bool {
        self.verified
    }

    fn chunk(&mut self, chunk: &Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Err(violation("chunk", "has at least one byte"));
        }
        if chunk.len() > CHUNK_BYTES {
            let why = format!("a chunk has at most {CHUNK_BYTES} bytes");
            let violation = Violation::new("chunk", Reason::PayloadTooLarge, why);
            return Err(Error::Invalid { violations: vec![violation.about("maxBytes", CHUNK_BYTES)] });
        }
        self.total = self.total.saturating_add(chunk.len() as u64);
        if self.declared > 0 && self.total > self.declared {
            return Err(violation("start.declared_size", "the message is longer than that"));
        }
        self.crc32c = crc32c::crc32c_append(self.crc32c, chunk);
        Ok(())
    }

    fn end(&mut self, end: proto::LargeMessageEnd) -> Result<(), Error> {
        if end.total_size != self.total {
            let why = format!("{} bytes came", self.total);
            return Err(violation("end.total_size", &why));
        }
        if self.declared > 0 && self.total != self.declared {
            return Err(violation("start.declared_size", "the message is shorter than that"));
        }
        if end.crc32c.is_some_and(|crc32c| crc32c != self.crc32c) {
            return Err(Error::invalid("end.crc32c", Reason::ChecksumMismatch, "is not that of what came"));
        }
        self.verified = end.crc32c.is_some();
        Ok(())
    }
}

impl<M: Message> Content for Chunks<M> {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(message) = self.incoming.next(true).await? else {
            return Err(violation("end", "the stream ended without it"));
        };
        match message.part() {
            Some(Part::Chunk(chunk)) => self.chunk(&chunk).map(|()| Some(chunk)),
            Some(Part::End(end)) => self.end(end).map(|()| None),
            Some(Part::Start(_)) => Err(violation("start", "comes once, as the first message")),
            None => Err(violation("kind", "a message without any")),
        }
    }
}
