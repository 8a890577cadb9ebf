//! How large a message may be, by its method. tonic has one limit for a whole
//! service, which would let a question about one key be as large as a message to be
//! signed, and either as large as a batch.
//!
//! The length stands before every message (five bytes: a flag and 32 bits), so one
//! that is too large is refused before anything of it is kept.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::Bounds;
use crate::model::Rpc;

/// The flag and the length before a message.
const PREFIX: usize = 5;

/// The largest message of a method, in bytes. Every RPC has its limit, or this does not
/// compile.
pub(super) const fn largest(rpc: Rpc, Bounds { payload, batch, chunk, .. }: Bounds) -> usize {
    match rpc {
        Rpc::SignMessage
        | Rpc::VerifySignature
        | Rpc::Encrypt
        | Rpc::Decrypt
        | Rpc::GenerateMac
        | Rpc::VerifyMac => payload + ENVELOPE,
        // Of a large message: its parameters, or a chunk and its frame.
        Rpc::SignStream | Rpc::VerifyStream => payload + ENVELOPE,
        Rpc::SignLargeMessage | Rpc::VerifyLargeMessage | Rpc::EncryptStream | Rpc::DecryptStream => {
            chunk + ENVELOPE
        }
        Rpc::BatchSign | Rpc::BatchVerify | Rpc::BatchEncrypt | Rpc::BatchDecrypt => batch,
        // It has associated data twice.
        Rpc::ReEncrypt => payload + 2 * ENVELOPE,
        // A public key, and what is authenticated or derived with.
        Rpc::GenerateDataKey | Rpc::DeriveSharedSecret => ENVELOPE,
        // All labels and aliases at their longest, and a description.
        Rpc::CreateKey | Rpc::BatchCreateKeys | Rpc::AdoptKey | Rpc::UpdateKey => 64 * 1024,
        // The same, and material.
        Rpc::ImportKey => 80 * 1024,
        // Many names.
        Rpc::CreateCertificateSigningRequest => 64 * 1024,
        Rpc::ListKeys | Rpc::StreamKeys | Rpc::WatchKeys | Rpc::TestPermissions => 16 * 1024,
        Rpc::GetKey
        | Rpc::GetPublicKey
        | Rpc::ListKeyVersions
        | Rpc::RotateKey
        | Rpc::EnableKey
        | Rpc::DisableKey
        | Rpc::RestoreKey
        | Rpc::MarkKeyCompromised
        | Rpc::ScheduleKeyDestruction
        | Rpc::SetPrimaryVersion
        | Rpc::CreateImportJob
        | Rpc::GetImportJob
        | Rpc::ListBackends
        | Rpc::GetBackend
        | Rpc::GetServerInfo
        | Rpc::GenerateRandom
        | Rpc::HealthCheck
        | Rpc::HealthWatch
        | Rpc::Reflect
        | Rpc::ReflectAlpha => 4 * 1024,
    }
}

/// Room for what stands around a payload: ids, a reference, a signature to check.
const ENVELOPE: usize = 20 * 1024;

/// A body whose messages have at most `most` bytes each.
pub(super) struct Bounded<B> {
    body: B,
    most: usize,
    prefix: [u8; PREFIX],
    /// How much of the prefix of the next message has come.
    known: usize,
    /// How much of the present message is to come.
    left: usize,
    /// A message was too large.
    refused: bool,
}

impl<B> Bounded<B> {
    pub(super) const fn new(body: B, most: usize) -> Self {
        Self { body, most, prefix: [0; PREFIX], known: 0, left: 0, refused: false }
    }

    /// How much of `data` is of messages that are small enough; `None`: all of it.
    fn fitting(&mut self, data: &[u8]) -> Option<usize> {
        let (mut rest, mut begun) = (data, 0);
        while !rest.is_empty() {
            if self.left > 0 {
                let part = self.left.min(rest.len());
                self.left -= part;
                rest.advance(part);
                continue;
            }
            if self.known == 0 {
                begun = data.len() - rest.len();
            }
            let (Some(free), [first, ..]) = (self.prefix.get_mut(self.known), rest) else { return Some(0) };
            *free = *first;
            rest.advance(1);
            self.known += 1;
            if self.known == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.known = 0;
                if self.left > self.most {
                    return Some(begun);
                }
            }
        }
        None
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // `refusal` gives it the details that every error has.
        let too_large = || Poll::Ready(Some(Err(Status::out_of_range("too large").into())));
        if self.refused {
            return too_large();
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let Some(frame) = frame.transpose().map_err(Into::into)? else { return Poll::Ready(None) };
        let Some(fitting) = frame.data_ref().and_then(|data| self.fitting(data)) else {
            return Poll::Ready(Some(Ok(frame)));
        };
        self.refused = true;
        match frame.into_data() {
            // Of a stream, what came before is taken.
            Ok(data) if fitting > 0 => Poll::Ready(Some(Ok(Frame::data(data.slice(..fitting))))),
            _ => too_large(),
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.refused && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(bytes: u32) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(bytes.to_be_bytes());
        message.resize(PREFIX + bytes as usize, 7);
        message
    }

    #[test]
    fn each_message_is_held_to_the_limit_however_it_is_cut() {
        let stream = [message(10), message(0), message(9)].concat();
        for size in 1..=stream.len() {
            let mut body = Bounded::new((), 10);
            assert!(stream.chunks(size).all(|chunk| body.fitting(chunk).is_none()), "in chunks of {size}");
        }
    }

    #[test]
    fn a_length_that_is_too_large_is_refused_as_soon_as_it_is_known() {
        for before in [vec![], message(10)] {
            let mut body = Bounded::new((), 10);
            assert_eq!(body.fitting(&before), None);
            let announced = message(11);
            assert_eq!(body.fitting(&announced[..PREFIX - 1]), None);
            assert_eq!(body.fitting(&announced[PREFIX - 1..PREFIX]), Some(0));
            // What stands before it in the same piece is taken.
            let mut body = Bounded::new((), 10);
            assert_eq!(body.fitting(&[&before, &announced[..PREFIX]].concat()), Some(before.len()));
        }
    }

    #[test]
    fn no_method_takes_more_than_a_signature_needs() {
        let bounds = Bounds {
            longest: Duration::ZERO,
            stream: Duration::ZERO,
            payload: 64 * 1024,
            batch: 4 << 20,
            chunk: 256 * 1024,
        };
        for rpc in Rpc::ALL {
            let most = match rpc.name() {
                name if name.contains("/Batch") => bounds.batch,
                name if name.ends_with("LargeMessage") || name.ends_with("cryptStream") => {
                    bounds.chunk + ENVELOPE
                }
                _ => 64 * 1024 + 2 * ENVELOPE,
            };
            assert!(largest(*rpc, bounds) <= most, "{rpc:?}");
        }
    }
}
