//! EncryptStream and DecryptStream.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use tokio::time::sleep_until;
use tonic::Streaming;

use super::{Service, aad::Given};
use crate::{
    keys::{Call, DecryptStream, EncryptStream, Error, GateError, Keyring, Limits},
    model::{Action, Reason},
    proto,
    rpc::{
        convert,
        incoming::Incoming,
        large::{self, Chunks, PARAMETERS},
        parse::Fields,
        stream::{Answers, Sink, answers},
    },
};

impl Service {
    pub(super) fn encrypt_all(
        &self,
        call: Call,
        messages: Streaming<proto::EncryptStreamRequest>,
    ) -> Answers<proto::EncryptStreamResponse> {
        serve(&self.keyring, call, move |keyring, call, sink| async move {
            let mut incoming = Incoming::new(messages, &keyring);
            let asked = async {
                let proto::EncryptStreamStart { parameters, declared_size } =
                    large::start(&mut incoming).await?;
                let (parsed, rest) = to_encrypt(parameters.unwrap_or_default())?;
                Ok((parsed, rest, declared_size))
            };
            let (encrypt, rest, declared_size) = match asked.await {
                Ok(asked) => asked,
                Err(error) => return Err(keyring.refuse(&call, Action::Encrypt, error).await),
            };
            let give = |kind| give(&sink, proto::EncryptStreamResponse { kind: Some(kind) });
            let chunk = |chunk| give(proto::encrypt_stream_response::Kind::Chunk(chunk));
            let chunks = Chunks::new(incoming, declared_size);
            let made = keyring.encrypt_stream(&call, encrypt, chunks, chunk).await?;
            let encryption = proto::EncryptResponse {
                ciphertext: Bytes::new(),
                ciphertext_crc32c: made.crc32c,
                key_id: made.key.id.to_string(),
                version: made.version,
                algorithm: convert::encryption(made.algorithm).into(),
                verified_plaintext_crc32c: made.content.is_verified(),
                verified_aad_crc32c: rest.verified_aad,
                protection_level: convert::protection(made.protection_level).into(),
                reference: rest.reference,
            };
            let end = proto::EncryptStreamEnd { encryption: Some(encryption), total_size: made.total };
            give(proto::encrypt_stream_response::Kind::End(end)).await
        })
    }

    pub(super) fn decrypt_all(
        &self,
        call: Call,
        messages: Streaming<proto::DecryptStreamRequest>,
    ) -> Answers<proto::DecryptStreamResponse> {
        serve(&self.keyring, call, move |keyring, call, sink| async move {
            let mut incoming = Incoming::new(messages, &keyring);
            let asked = async {
                let proto::DecryptStreamStart { parameters, declared_size } =
                    large::start(&mut incoming).await?;
                let (parsed, rest) = to_decrypt(parameters.unwrap_or_default())?;
                Ok((parsed, rest, declared_size))
            };
            let (decrypt, rest, declared_size) = match asked.await {
                Ok(asked) => asked,
                Err(error) => return Err(keyring.refuse(&call, Action::Decrypt, error).await),
            };
            let give = |kind| give(&sink, proto::DecryptStreamResponse { kind: Some(kind) });
            let chunk = |chunk| give(proto::decrypt_stream_response::Kind::Chunk(chunk));
            let chunks = Chunks::new(incoming, declared_size);
            let made = keyring.decrypt_stream(&call, decrypt, chunks, chunk).await?;
            let decryption = proto::DecryptResponse {
                plaintext: Bytes::new(),
                plaintext_crc32c: made.crc32c,
                key_id: made.key.id.to_string(),
                version: made.version,
                used_primary: made.version == made.key.primary,
                algorithm: convert::encryption(made.algorithm).into(),
                verified_ciphertext_crc32c: made.content.is_verified(),
                verified_aad_crc32c: rest.verified_aad,
                protection_level: convert::protection(made.protection_level).into(),
                reference: rest.reference,
            };
            let end = proto::DecryptStreamEnd { decryption: Some(decryption), total_size: made.total };
            give(proto::decrypt_stream_response::Kind::End(end)).await
        })
    }
}

/// What of the parameters is only given back.
struct Rest {
    verified_aad: bool,
    reference: String,
}

fn to_encrypt(request: proto::EncryptRequest) -> Result<(EncryptStream, Rest), Error> {
    let mut fields = Fields::default();
    let key = fields.required_key_id("key_id", &request.key_id);
    nothing(&mut fields, "plaintext", !request.plaintext.is_empty(), IN_CHUNKS);
    nothing(&mut fields, "plaintext_crc32c", request.plaintext_crc32c.is_some(), AT_THE_END);
    let aad = Given::from(request.aad);
    let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
    let algorithm = fields.encryption("algorithm", request.algorithm);
    fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
    let parsed =
        (|| Some(EncryptStream { key: key?, aad, algorithm: algorithm?, version: request.version }))();
    let rest = Rest { verified_aad: request.aad_crc32c.is_some(), reference: request.reference };
    Ok((fields.within(PARAMETERS).finish(parsed)?, rest))
}

fn to_decrypt(request: proto::DecryptRequest) -> Result<(DecryptStream, Rest), Error> {
    let mut fields = Fields::default();
    let key = fields.required_key_id("key_id", &request.key_id);
    nothing(&mut fields, "ciphertext", !request.ciphertext.is_empty(), IN_CHUNKS);
    nothing(&mut fields, "ciphertext_crc32c", request.ciphertext_crc32c.is_some(), AT_THE_END);
    nothing(&mut fields, "version", request.version != 0, IN_THE_CIPHERTEXT);
    nothing(&mut fields, "algorithm", request.algorithm != 0, IN_THE_CIPHERTEXT);
    let aad = Given::from(request.aad);
    let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
    fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
    let accept_compromised = request.accept_compromised;
    let parsed = (|| Some(DecryptStream { key: key?, aad, accept_compromised }))();
    let rest = Rest { verified_aad: request.aad_crc32c.is_some(), reference: request.reference };
    Ok((fields.within(PARAMETERS).finish(parsed)?, rest))
}

const IN_CHUNKS: &str = "it comes in chunks";
const AT_THE_END: &str = "it comes with the end of the stream";
const IN_THE_CIPHERTEXT: &str = "it stands in the ciphertext";

/// What does not apply to a stream.
fn nothing(fields: &mut Fields, field: &str, is_set: bool, why: &str) {
    if is_set {
        fields.fail(field, Reason::ParameterNotApplicable, why);
    }
}

async fn give<T>(sink: &Sink<T>, message: T) -> Result<(), Error> {
    Ok(sink.give(message).await?)
}

/// The answers of such a stream, until its time is over or nobody is there any more.
fn serve<T, Made>(
    keyring: &Keyring,
    call: Call,
    make: impl FnOnce(Keyring, Call, Arc<Sink<T>>) -> Made + Send + 'static,
) -> Answers<T>
where
    T: Send + 'static,
    Made: Future<Output = Result<(), Error>> + Send,
{
    call.taken.set();
    let keyring = keyring.clone();
    let patience = keyring.limits().stream_idle_timeout;
    answers(call.clone(), patience, move |sink| async move {
        let sink = Arc::new(sink);
        let deadline = call.deadline;
        tokio::select! {
            made = make(keyring, call, Arc::clone(&sink)) => made,
            () = sink.closed() => Ok(()),
            () = sleep_until(deadline.into()) => Err(GateError::Deadline.into()),
        }
    })
}
