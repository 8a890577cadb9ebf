//! The service `CryptoService`.

mod aad;
mod cipher;
mod secrets;
mod streams;

use tonic::{Request, Response, Status, Streaming};

use super::{
    batch::{Batch, Together},
    key_management::{closed, opened},
    stream::Answers,
};
use crate::{
    keys::{Call, Keyring},
    model::Action,
    proto::{self, crypto_service_server::CryptoService},
};

/// The service, over the use cases.
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

#[tonic::async_trait]
impl CryptoService for Service {
    async fn encrypt(
        &self,
        request: Request<proto::EncryptRequest>,
    ) -> Result<Response<proto::EncryptResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.encrypt(&call, request).await)
    }

    async fn decrypt(
        &self,
        request: Request<proto::DecryptRequest>,
    ) -> Result<Response<proto::DecryptResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.decrypt(&call, request).await)
    }

    async fn batch_encrypt(
        &self,
        request: Request<proto::BatchEncryptRequest>,
    ) -> Result<Response<proto::BatchEncryptResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.batch_encrypt(&call, request).await)
    }

    async fn batch_decrypt(
        &self,
        request: Request<proto::BatchDecryptRequest>,
    ) -> Result<Response<proto::BatchDecryptResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.batch_decrypt(&call, request).await)
    }

    type EncryptStreamStream = Answers<proto::EncryptStreamResponse>;

    async fn encrypt_stream(
        &self,
        request: Request<Streaming<proto::EncryptStreamRequest>>,
    ) -> Result<Response<Self::EncryptStreamStream>, Status> {
        let (call, messages) = opened(request)?;
        Ok(Response::new(self.encrypt_all(call, messages)))
    }

    type DecryptStreamStream = Answers<proto::DecryptStreamResponse>;

    async fn decrypt_stream(
        &self,
        request: Request<Streaming<proto::DecryptStreamRequest>>,
    ) -> Result<Response<Self::DecryptStreamStream>, Status> {
        let (call, messages) = opened(request)?;
        Ok(Response::new(self.decrypt_all(call, messages)))
    }

    async fn re_encrypt(
        &self,
        request: Request<proto::ReEncryptRequest>,
    ) -> Result<Response<proto::ReEncryptResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.reencrypt(&call, request).await)
    }

    async fn generate_data_key(
        &self,
        request: Request<proto::GenerateDataKeyRequest>,
    ) -> Result<Response<proto::GenerateDataKeyResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.data_key(&call, request).await)
    }

    async fn generate_random(
        &self,
        request: Request<proto::GenerateRandomRequest>,
    ) -> Result<Response<proto::GenerateRandomResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.random(&call, &request).await)
    }

    async fn generate_mac(
        &self,
        request: Request<proto::GenerateMacRequest>,
    ) -> Result<Response<proto::GenerateMacResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.generate_mac(&call, request).await)
    }

    async fn verify_mac(
        &self,
        request: Request<proto::VerifyMacRequest>,
    ) -> Result<Response<proto::VerifyMacResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.verify_mac(&call, request).await)
    }

    async fn derive_shared_secret(
        &self,
        request: Request<proto::DeriveSharedSecretRequest>,
    ) -> Result<Response<proto::DeriveSharedSecretResponse>, Status> {
        let (call, request) = opened(request)?;
        closed(&call, self.derive(&call, request).await)
    }
}
