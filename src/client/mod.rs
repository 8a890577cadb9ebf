//! The client of the gateway, for the command line and the tests: one
//! connection, the token of one caller, and errors that are already decoded.
//!
//! A [`Client`] is cheap to clone and may be used from many tasks at once: all
//! clones share one HTTP/2 connection, which is opened again when it breaks.
//!
//! **Invariant:** nothing is retried here. Only the caller knows whether its
//! call may be repeated (`request_id`).
//!
//! **Invariant:** a token leaves only over TLS, over a Unix socket or to this
//! very machine, unless the configuration says `danger_plaintext_token`; and
//! it is never part of a message or of a `Debug` output.

mod cipher;
mod config;
mod connect;
mod crypto;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod streams;
#[cfg(test)]
mod tests;
mod token;

use std::future::Future;

use tonic::{Response, Status, service::interceptor::InterceptedService, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use self::token::CallOptions;
pub use self::{
    config::{ClientConfig, Endpoint, EndpointError, IdentityFiles},
    error::{Error, Failure, FieldViolation},
    streams::{
        Answers, Asking, Ended, Items, Keys, SignStream, Signatures, Verifications, VerifyStream, Watch,
    },
    token::{Token, TokenError},
};
use crate::proto::{
    self, crypto_service_client::CryptoServiceClient, key_management_client::KeyManagementClient,
    system_service_client::SystemServiceClient,
};

/// What every call travels through: the connection, with token and deadline added.
pub type Transport = InterceptedService<Channel, CallOptions>;

/// A connection with a gateway, in the name of one caller.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    options: CallOptions,
    max_send_bytes: usize,
    max_receive_bytes: usize,
}

impl Client {
    /// Connects, within the connect timeout.
    ///
    /// # Errors
    /// A CA or token file that cannot be used; a gateway that cannot be reached
    /// or, over TLS, is not the one it claims to be.
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let token = config.token_file.as_deref().map(Token::from_file).transpose()?;
        if token.is_some() && !config.danger_plaintext_token && config.endpoint.is_exposed() {
            return Err(Error::PlaintextToken { endpoint: config.endpoint });
        }
        let channel = connect::channel(&config).await?;
        Ok(Self {
            channel,
            options: CallOptions::new(token, config.call_timeout),
            max_send_bytes: config.max_send_bytes,
            max_receive_bytes: config.max_receive_bytes,
        })
    }

    /// The same connection in the name of another caller.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.options = CallOptions::new(Some(token), self.options.timeout());
        self
    }

    /// The generated client of `skms.v1.KeyManagement`, for what has no method here.
    #[must_use]
    pub fn key_management(&self) -> KeyManagementClient<Transport> {
        KeyManagementClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `skms.v1.CryptoService`.
    #[must_use]
    pub fn crypto(&self) -> CryptoServiceClient<Transport> {
        CryptoServiceClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `skms.v1.SystemService`.
    #[must_use]
    pub fn system(&self) -> SystemServiceClient<Transport> {
        SystemServiceClient::new(self.transport())
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The generated client of `grpc.health.v1.Health`.
    #[must_use]
    pub fn health_checks(&self) -> HealthClient<Transport> {
        HealthClient::new(self.transport())
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn create_key(&self, request: proto::CreateKeyRequest) -> Result<proto::KeyResponse, Error> {
        self.call(self.key_management().create_key(request)).await
    }

    /// Takes over a key that is on a device already.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn adopt_key(&self, request: proto::AdoptKeyRequest) -> Result<proto::AdoptKeyResponse, Error> {
        self.call(self.key_management().adopt_key(request)).await
    }

    /// Shows a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn get_key(&self, request: proto::GetKeyRequest) -> Result<proto::KeyResponse, Error> {
        self.call(self.key_management().get_key(request)).await
    }

    /// Lists one page of keys.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_keys(&self, request: proto::ListKeysRequest) -> Result<proto::ListKeysResponse, Error> {
        self.call(self.key_management().list_keys(request)).await
    }

    /// Lists one page of the versions of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_key_versions(
        &self,
        request: proto::ListKeyVersionsRequest,
    ) -> Result<proto::ListKeyVersionsResponse, Error> {
        self.call(self.key_management().list_key_versions(request)).await
    }

    /// Asks for the public key of a version.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn public_key(
        &self,
        request: proto::GetPublicKeyRequest,
    ) -> Result<proto::GetPublicKeyResponse, Error> {
        self.call(self.key_management().get_public_key(request)).await
    }

    /// Makes a new version of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn rotate_key(&self, request: proto::RotateKeyRequest) -> Result<proto::KeyResponse, Error> {
        self.call(self.key_management().rotate_key(request)).await
    }

    /// Changes what is said of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn update_key(&self, request: proto::UpdateKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().update_key(request)).await?.key.unwrap_or_default())
    }

    /// Takes versions of a key into use.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn enable_key(&self, request: proto::EnableKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().enable_key(request)).await?.key.unwrap_or_default())
    }

    /// Takes versions of a key out of use.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn disable_key(&self, request: proto::DisableKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().disable_key(request)).await?.key.unwrap_or_default())
    }

    /// Calls the destruction of versions of a key off.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn restore_key(&self, request: proto::RestoreKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().restore_key(request)).await?.key.unwrap_or_default())
    }

    /// Says that others know versions of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn mark_key_compromised(
        &self,
        request: proto::MarkKeyCompromisedRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().mark_key_compromised(request)).await?.key.unwrap_or_default())
    }

    /// Has versions of a key destroyed, later.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn schedule_key_destruction(
        &self,
        request: proto::ScheduleKeyDestructionRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().schedule_key_destruction(request)).await?.key.unwrap_or_default())
    }

    /// Makes another version the primary.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn set_primary_version(
        &self,
        request: proto::SetPrimaryVersionRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().set_primary_version(request)).await?.key.unwrap_or_default())
    }

    /// Signs a message or a digest.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn sign(&self, request: proto::SignRequest) -> Result<proto::SignResponse, Error> {
        self.call(self.key_management().sign_message(request)).await
    }

    /// Signs many messages or digests. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_sign(
        &self,
        request: proto::BatchSignRequest,
    ) -> Result<proto::BatchSignResponse, Error> {
        self.call(self.key_management().batch_sign(request)).await
    }

    /// Checks many signatures. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_verify(
        &self,
        request: proto::BatchVerifyRequest,
    ) -> Result<proto::BatchVerifyResponse, Error> {
        self.call(self.key_management().batch_verify(request)).await
    }

    /// Checks a signature; a bad one is an answer, not an error.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn verify(&self, request: proto::VerifyRequest) -> Result<proto::VerifyResponse, Error> {
        self.call(self.key_management().verify_signature(request)).await
    }

    /// Makes an import job.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn create_import_job(
        &self,
        request: proto::CreateImportJobRequest,
    ) -> Result<proto::ImportJob, Error> {
        let answer = self.call(self.key_management().create_import_job(request)).await?;
        Ok(answer.import_job.unwrap_or_default())
    }

    /// Shows an import job of this caller.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn import_job(&self, id: &str) -> Result<proto::ImportJob, Error> {
        let request = proto::GetImportJobRequest { import_job_id: id.to_owned() };
        let answer = self.call(self.key_management().get_import_job(request)).await?;
        Ok(answer.import_job.unwrap_or_default())
    }

    /// Makes a key, or a new version of one, of material that was made elsewhere.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn import_key(&self, request: proto::ImportKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(self.call(self.key_management().import_key(request)).await?.key.unwrap_or_default())
    }

    /// Has a key sign a request for a certificate of itself.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn certificate_request(
        &self,
        request: proto::CreateCertificateSigningRequestRequest,
    ) -> Result<proto::CreateCertificateSigningRequestResponse, Error> {
        self.call(self.key_management().create_certificate_signing_request(request)).await
    }

    /// Lists the backends in placement order.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_backends(&self) -> Result<Vec<proto::Backend>, Error> {
        Ok(self.call(self.system().list_backends(proto::ListBackendsRequest {})).await?.backends)
    }

    /// Shows one backend.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn get_backend(&self, name: &str) -> Result<proto::Backend, Error> {
        let request = proto::GetBackendRequest { name: name.to_owned() };
        let answer = self.call(self.system().get_backend(request)).await?;
        Ok(answer.backend.unwrap_or_default())
    }

    /// Says what this caller may do: to the key of this id, or to the gateway where it
    /// is empty.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn test_permissions(
        &self,
        request: proto::TestPermissionsRequest,
    ) -> Result<Vec<proto::Permission>, Error> {
        Ok(self.call(self.system().test_permissions(request)).await?.permissions)
    }

    /// Shows the version and the limits of the gateway.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn server_info(&self) -> Result<proto::GetServerInfoResponse, Error> {
        self.call(self.system().get_server_info(proto::GetServerInfoRequest {})).await
    }

    /// Asks whether a service is served; the empty name means the whole gateway.
    ///
    /// # Errors
    /// Not found for a name that the gateway does not know.
    pub async fn health(&self, service: &str) -> Result<ServingStatus, Error> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self.call(async { self.health_checks().check(request).await }).await?;
        Ok(answer.status())
    }

    fn transport(&self) -> Transport {
        InterceptedService::new(self.channel.clone(), self.options.clone())
    }

    /// Bounds the whole call, its answer included: the deadline of the generated
    /// client ends with the headers of the answer.
    async fn call<T>(&self, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        let timeout = self.options.timeout();
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Failure::decode(&status, timeout).into()),
            Err(_elapsed) => Err(Failure::late(timeout).into()),
        }
    }
}
