//! Encrypting and decrypting what is too long for one message, from a reader to a writer.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tonic::{Streaming, service::interceptor::InterceptedService};

use super::{
    Client, Error, Failure, Transport,
    streams::{Part, parts},
};
use crate::proto::{
    self, crypto_service_client::CryptoServiceClient, decrypt_stream_request as to_decrypt,
    decrypt_stream_response as decrypted, encrypt_stream_request as to_encrypt,
    encrypt_stream_response as encrypted,
};

impl Client {
    /// Encrypts a plaintext of any length, as it is read, to `output`. `parameters` have no
    /// plaintext. The output is complete when this returns.
    ///
    /// # Errors
    /// The plaintext cannot be read, or the ciphertext not be written; it came damaged; or as
    /// the gateway answers.
    pub async fn encrypt_stream(
        &self,
        parameters: proto::EncryptRequest,
        plaintext: impl AsyncRead + Send + Unpin + 'static,
        output: &mut (impl AsyncWrite + Unpin),
    ) -> Result<proto::EncryptStreamEnd, Error> {
        let start = proto::EncryptStreamStart { parameters: Some(parameters), declared_size: 0 };
        let first = proto::EncryptStreamRequest { kind: Some(to_encrypt::Kind::Start(start)) };
        let (asked, mut broken) = parts(plaintext, first, |part| proto::EncryptStreamRequest {
            kind: Some(match part {
                Part::Chunk(chunk) => to_encrypt::Kind::Chunk(chunk),
                Part::End(end) => to_encrypt::Kind::End(end),
            }),
        });
        let opened = self.call(self.cipher().encrypt_stream(asked)).await;
        let came = |response: proto::EncryptStreamResponse| match response.kind {
            Some(encrypted::Kind::Chunk(chunk)) => Came::Chunk(chunk),
            Some(encrypted::Kind::End(end)) => Came::End(end),
            None => Came::Nothing,
        };
        let written = self.written(opened, output, came).await;
        // That it could not be read comes before what the gateway made of that.
        if let Ok(source) = broken.try_recv() {
            return Err(Error::Message { source });
        }
        let (end, total, crc32c) = written?;
        let told = end.encryption.as_ref().map(|encryption| encryption.ciphertext_crc32c);
        if (end.total_size, told) == (total, Some(crc32c)) { Ok(end) } else { Err(Error::Damaged) }
    }

    /// Decrypts what [`Self::encrypt_stream`] made, as it is read, to `output`. `parameters`
    /// have no ciphertext. What is written is the whole plaintext only if this returns without
    /// an error.
    ///
    /// # Errors
    /// As [`Self::encrypt_stream`].
    pub async fn decrypt_stream(
        &self,
        parameters: proto::DecryptRequest,
        ciphertext: impl AsyncRead + Send + Unpin + 'static,
        output: &mut (impl AsyncWrite + Unpin),
    ) -> Result<proto::DecryptStreamEnd, Error> {
        let start = proto::DecryptStreamStart { parameters: Some(parameters), declared_size: 0 };
        let first = proto::DecryptStreamRequest { kind: Some(to_decrypt::Kind::Start(start)) };
        let (asked, mut broken) = parts(ciphertext, first, |part| proto::DecryptStreamRequest {
            kind: Some(match part {
                Part::Chunk(chunk) => to_decrypt::Kind::Chunk(chunk),
                Part::End(end) => to_decrypt::Kind::End(end),
            }),
        });
        let opened = self.call(self.cipher().decrypt_stream(asked)).await;
        let came = |response: proto::DecryptStreamResponse| match response.kind {
            Some(decrypted::Kind::Chunk(chunk)) => Came::Chunk(chunk),
            Some(decrypted::Kind::End(end)) => Came::End(end),
            None => Came::Nothing,
        };
        let written = self.written(opened, output, came).await;
        // That it could not be read comes before what the gateway made of that.
        if let Ok(source) = broken.try_recv() {
            return Err(Error::Message { source });
        }
        let (end, total, crc32c) = written?;
        let told = end.decryption.as_ref().map(|decryption| decryption.plaintext_crc32c);
        if (end.total_size, told) == (total, Some(crc32c)) { Ok(end) } else { Err(Error::Damaged) }
    }

    /// Writes every chunk, and gives the end, how much there was before it, and its CRC32C.
    async fn written<T, E>(
        &self,
        opened: Result<Streaming<T>, Error>,
        output: &mut (impl AsyncWrite + Unpin),
        came: impl Fn(T) -> Came<E>,
    ) -> Result<(E, u64, u32), Error> {
        let (mut responses, timeout) = (opened?, self.options.timeout());
        let (mut total, mut crc32c, mut end) = (0, 0, None);
        loop {
            let message = responses.message().await;
            let Some(message) = message.map_err(|status| Failure::decode(&status, timeout))? else {
                let end = end.ok_or(Error::Damaged)?;
                output.flush().await.map_err(|source| Error::Output { source })?;
                return Ok((end, total, crc32c));
            };
            match came(message) {
                Came::Chunk(chunk) if end.is_none() => {
                    total += chunk.len() as u64;
                    crc32c = crc32c::crc32c_append(crc32c, &chunk);
                    output.write_all(&chunk).await.map_err(|source| Error::Output { source })?;
                }
                Came::End(told) if end.is_none() => end = Some(told),
                Came::Chunk(_) | Came::End(_) | Came::Nothing => return Err(Error::Damaged),
            }
        }
    }

    fn cipher(&self) -> CryptoServiceClient<Transport> {
        let transport = InterceptedService::new(self.pool.clone(), self.options.clone().unbounded());
        CryptoServiceClient::new(transport)
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }
}

/// A message of the gateway.
enum Came<E> {
    Chunk(Bytes),
    End(E),
    Nothing,
}
