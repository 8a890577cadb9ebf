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
pub(super) const fn largest(rpc: Rpc, Bounds { payload, batch, .. }: Bounds) -> usize {
    match rpc {
        Rpc::SignMessage
        | Rpc::VerifySignature
        | Rpc::Encrypt
        | Rpc::Decrypt
        | Rpc::GenerateMac
        | Rpc::VerifyMac => payload + ENVELOPE,
        Rpc::BatchSign | Rpc::BatchVerify | Rpc::BatchEncrypt | Rpc::BatchDecrypt => batch,
        // It has associated data twice.
        Rpc::ReEncrypt => payload + 2 * ENVELOPE,
        // A public key, and what is authenticated or derived with.
        Rpc::GenerateDataKey | Rpc::DeriveSharedSecret => ENVELOPE,
        // All labels and aliases at their longest, and a description.
        Rpc::CreateKey | Rpc::AdoptKey | Rpc::UpdateKey => 64 * 1024,
        // The same, and material.
        Rpc::ImportKey => 80 * 1024,
        // Many names.
        Rpc::CreateCertificateSigningRequest => 64 * 1024,
        Rpc::ListKeys | Rpc::TestPermissions => 16 * 1024,
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
}

impl<B> Bounded<B> {
    pub(super) const fn new(body: B, most: usize) -> Self {
        Self { body, most, prefix: [0; PREFIX], known: 0, left: 0 }
    }

    /// Whether every message that begins in `data` is small enough.
    fn fits(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            if self.left > 0 {
                let part = self.left.min(data.len());
                self.left -= part;
                data.advance(part);
                continue;
            }
            let (Some(free), [first, ..]) = (self.prefix.get_mut(self.known), data) else { return false };
            *free = *first;
            data.advance(1);
            self.known += 1;
            if self.known == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.known = 0;
                if self.left > self.most {
                    return false;
                }
            }
        }
        true
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
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            match frame.data_ref() {
                // `refusal` gives it the details that every error has.
                Some(data) if !self.fits(data) => Err(Status::out_of_range("too large").into()),
                _ => Ok(frame),
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
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
            assert!(stream.chunks(size).all(|chunk| body.fits(chunk)), "in chunks of {size}");
        }
    }

    #[test]
    fn a_length_that_is_too_large_is_refused_as_soon_as_it_is_known() {
        for before in [vec![], message(10)] {
            let mut body = Bounded::new((), 10);
            assert!(body.fits(&before));
            let announced = message(11);
            assert!(body.fits(&announced[..PREFIX - 1]));
            assert!(!body.fits(&announced[PREFIX - 1..PREFIX]));
        }
    }

    #[test]
    fn no_method_takes_more_than_a_signature_needs() {
        let bounds = Bounds { longest: Duration::ZERO, payload: 64 * 1024, batch: 4 << 20 };
        for rpc in Rpc::ALL {
            let most = if rpc.name().contains("/Batch") { bounds.batch } else { 64 * 1024 + 2 * ENVELOPE };
            assert!(largest(*rpc, bounds) <= most, "{rpc:?}");
        }
    }
}
