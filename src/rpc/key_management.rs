//! The service `KeyManagement`.

mod adopt;
mod amend;
mod csr;
mod import;
mod keys;
mod lists;
mod public_key;
mod signatures;
mod streams;
mod watch;

use tonic::{Request, Response, Status, Streaming};

use super::{
    batch::{Batch, Together},
    parse::Fields,
    status,
    stream::Answers,
};
use crate::{
    keys::{Call, Error, Keyring},
    model::{Action, Reason},
    proto::{self, key_management_server::KeyManagement},
};

/// The service, over the use cases.
#[derive(Clone)]
pub(super) struct Service {
    keyring: Keyring,
}

impl Service {
    pub(super) const fn new(keyring: Keyring) -> Self {
        Self { keyring }
    }

    fn batch<'a>(&'a self, call: &'a Call, action: Action, together: Together) -> Batch<'a> {
        Batch { keyring: self.keyring.together(), call, action, together }
    }
}

/// The call that a request belongs to, and the request.
pub(super) fn opened<T>(request: Request<T>) -> Result<(Call, T), Status> {
    let (_, extensions, message) = request.into_parts();
    let Some(call) = extensions.get::<Call>() else {
        return Err(status::refusal(Reason::Internal, "the call was not received properly", ""));
    };
    Ok((call.clone(), message))
}

/// The answer, or the status of the error.
pub(super) fn closed<T>(call: &Call, outcome: Result<T, Error>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|error| status::of(&error, &call.request_id))
}

#[tonic::async_trait]
impl KeyManagement for Service {
    async fn create_key(
        &self,
        request: Request<proto::CreateKeyRequest>,
    ) -> Result<Response<proto::KeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.create(&call, request).await)
    }

    async fn adopt_key(
        &self,
        request: Request<proto::AdoptKeyRequest>,
    ) -> Result<Response<proto::AdoptKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.adopt(&call, request).await)
    }

    async fn get_key(
        &self,
        request: Request<proto::GetKeyRequest>,
    ) -> Result<Response<proto::KeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.get(&call, request).await)
    }

    async fn list_keys(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.list(&call, &request).await)
    }

    async fn list_key_versions(
        &self,
        request: Request<proto::ListKeyVersionsRequest>,
    ) -> Result<Response<proto::ListKeyVersionsResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.list_versions(&call, &request).await)
    }

    async fn get_public_key(
        &self,
        request: Request<proto::GetPublicKeyRequest>,
    ) -> Result<Response<proto::GetPublicKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.public_key(&call, &request).await)
    }

    async fn rotate_key(
        &self,
        request: Request<proto::RotateKeyRequest>,
    ) -> Result<Response<proto::KeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.rotate(&call, request).await)
    }

    async fn update_key(
        &self,
        request: Request<proto::UpdateKeyRequest>,
    ) -> Result<Response<proto::UpdateKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.update(&call, request).await)
    }

    async fn enable_key(
        &self,
        request: Request<proto::EnableKeyRequest>,
    ) -> Result<Response<proto::EnableKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.enable(&call, request).await)
    }

    async fn disable_key(
        &self,
        request: Request<proto::DisableKeyRequest>,
    ) -> Result<Response<proto::DisableKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.disable(&call, request).await)
    }

    async fn restore_key(
        &self,
        request: Request<proto::RestoreKeyRequest>,
    ) -> Result<Response<proto::RestoreKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.restore(&call, request).await)
    }

    async fn mark_key_compromised(
        &self,
        request: Request<proto::MarkKeyCompromisedRequest>,
    ) -> Result<Response<proto::MarkKeyCompromisedResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.mark_compromised(&call, request).await)
    }

    async fn schedule_key_destruction(
        &self,
        request: Request<proto::ScheduleKeyDestructionRequest>,
    ) -> Result<Response<proto::ScheduleKeyDestructionResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.schedule_destruction(&call, request).await)
    }

    async fn set_primary_version(
        &self,
        request: Request<proto::SetPrimaryVersionRequest>,
    ) -> Result<Response<proto::SetPrimaryVersionResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.set_primary(&call, request).await)
    }

    async fn sign_message(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        let (call, request) = opened(request)?;
        let id = std::sync::Arc::clone(&call.request_id);
        self.sign(call, request).await.map(Response::new).map_err(|error| status::of(&error, &id))
    }

    async fn verify_signature(
        &self,
        request: Request<proto::VerifyRequest>,
    ) -> Result<Response<proto::VerifyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.verify(&call, request).await)
    }

    async fn batch_sign(
        &self,
        request: Request<proto::BatchSignRequest>,
    ) -> Result<Response<proto::BatchSignResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.batch_sign(&call, request).await)
    }

    async fn batch_verify(
        &self,
        request: Request<proto::BatchVerifyRequest>,
    ) -> Result<Response<proto::BatchVerifyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.batch_verify(&call, request).await)
    }

    type SignStreamStream = Answers<proto::SignStreamResponse>;

    async fn sign_stream(
        &self,
        request: Request<Streaming<proto::SignStreamRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        let (call, messages) = opened(request)?;
        Ok(Response::new(self.sign_each(call, messages)))
    }

    type VerifyStreamStream = Answers<proto::VerifyStreamResponse>;

    async fn verify_stream(
        &self,
        request: Request<Streaming<proto::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        let (call, messages) = opened(request)?;
        Ok(Response::new(self.verify_each(call, messages)))
    }

    async fn sign_large_message(
        &self,
        request: Request<Streaming<proto::SignLargeMessageRequest>>,
    ) -> Result<Response<proto::SignLargeMessageResponse>, Status> {
        let (call, messages) = opened(request)?;
        closed(&call, self.sign_large(&call, messages).await)
    }

    async fn verify_large_message(
        &self,
        request: Request<Streaming<proto::VerifyLargeMessageRequest>>,
    ) -> Result<Response<proto::VerifyLargeMessageResponse>, Status> {
        let (call, messages) = opened(request)?;
        closed(&call, self.verify_large(&call, messages).await)
    }

    async fn batch_create_keys(
        &self,
        request: Request<Streaming<proto::BatchCreateKeysRequest>>,
    ) -> Result<Response<proto::BatchCreateKeysResponse>, Status> {
        let (call, messages) = opened(request)?;
        closed(&call, self.create_each(&call, messages).await)
    }

    type StreamKeysStream = Answers<proto::StreamKeysResponse>;

    async fn stream_keys(
        &self,
        request: Request<proto::StreamKeysRequest>,
    ) -> Result<Response<Self::StreamKeysStream>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.list_all(&call, &request))
    }

    type WatchKeysStream = Answers<proto::WatchKeysResponse>;

    async fn watch_keys(
        &self,
        request: Request<proto::WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.follow(&call, request))
    }

    async fn create_import_job(
        &self,
        request: Request<proto::CreateImportJobRequest>,
    ) -> Result<Response<proto::CreateImportJobResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.create_job(&call, request).await)
    }

    async fn get_import_job(
        &self,
        request: Request<proto::GetImportJobRequest>,
    ) -> Result<Response<proto::GetImportJobResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.job(&call, &request).await)
    }

    async fn import_key(
        &self,
        request: Request<proto::ImportKeyRequest>,
    ) -> Result<Response<proto::ImportKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.import(&call, request).await)
    }

    async fn create_certificate_signing_request(
        &self,
        request: Request<proto::CreateCertificateSigningRequestRequest>,
    ) -> Result<Response<proto::CreateCertificateSigningRequestResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.csr(&call, &request).await)
    }
}

/// The input of a signature or verification, whichever of its three forms it has.
enum Input {
    Message(bytes::Bytes),
    Digest(proto::Digest),
    ExternalMu,
}

impl Service {
    /// The input, parsed and held against its checksum.
    fn input(
        &self,
        fields: &mut Fields,
        input: Option<Input>,
        crc32c: Option<u32>,
    ) -> Option<skms_backend::SignInput> {
        match input {
            None => {
                fields.fail("input", Reason::FieldRequired, "set `message` or `digest`");
                None
            }
            Some(Input::Message(message)) => {
                fields.checksum("input_crc32c", crc32c, &message);
                fields.message(message, self.keyring.limits())
            }
            Some(Input::Digest(digest)) => {
                fields.checksum("input_crc32c", crc32c, &digest.value);
                fields.digest(digest)
            }
            Some(Input::ExternalMu) => {
                let why = "only ML-DSA takes an external μ";
                fields.fail("external_mu", Reason::ParameterNotApplicable, why);
                None
            }
        }
    }
}
