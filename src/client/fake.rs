//! A gateway for tests: the real transport, answers made by hand.
//!
//! Keys behave as they are called: `missing`, `denied`, `broken` (fields at
//! fault), `slow` (never answers), `busy`, `flaky` and `leaving` (every other call), `away`
//! and `damaged` (checksums that do not match); every other key exists. The token `expired`
//! is no good. A signature is
//! `signed:` and the input.

mod crypto;
mod server;
mod system;

use std::{collections::HashMap, future, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) use self::server::Fake;
use crate::proto::{self, KeyMetadata, KeyResponse, key_management_server::KeyManagement};

/// A stream that is never opened.
type Never<T> = futures_util::stream::Pending<Result<T, Status>>;

#[derive(Clone)]
struct Answers {
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

impl Answers {
    async fn admit<T>(&self, request: Request<T>, key: impl Fn(&T) -> &str) -> Result<T, Status> {
        let (metadata, _, message) = request.into_parts();
        let token = metadata.get("authorization").map(|token| token.to_str().unwrap().to_owned());
        let token = token.as_deref();
        let calls = {
            let mut seen = self.seen.lock();
            seen.push(metadata);
            seen.len()
        };
        if token == Some("Bearer expired") {
            let details = ErrorDetails::with_error_info("TOKEN_EXPIRED", "skms", HashMap::new());
            return Err(Status::with_error_details(Code::Unauthenticated, "the token has expired", details));
        }
        let (code, reason, sentence) = match key(&message) {
            "missing" => (Code::NotFound, "KEY_NOT_FOUND", "no such key"),
            "denied" => (Code::PermissionDenied, "KEY_ACCESS_DENIED", "not allowed"),
            "broken" => (Code::InvalidArgument, "FIELD_INVALID", "the request is not valid"),
            "busy" if calls % 2 == 1 => (Code::ResourceExhausted, "RATE_LIMITED", "too many calls"),
            "flaky" if calls % 2 == 1 => (Code::Unavailable, "BACKEND_UNAVAILABLE", "not now"),
            "leaving" if calls % 2 == 1 => (Code::Unavailable, "SHUTTING_DOWN", "not any more"),
            "away" => (Code::Unavailable, "BACKEND_UNAVAILABLE", "not now"),
            "slow" => return future::pending().await,
            _ => return Ok(message),
        };
        let about = HashMap::from([("keyId".to_owned(), key(&message).to_owned())]);
        let mut details = ErrorDetails::with_error_info(reason, "skms", about);
        details.set_request_info("req-1", "");
        if code == Code::Unavailable {
            details.set_retry_info(Some(Duration::from_millis(5)));
        }
        if code == Code::ResourceExhausted {
            details.set_retry_info(Some(Duration::from_millis(1)));
        }
        if code == Code::InvalidArgument {
            details.add_bad_request_violation("key_id", "has a bad \u{1b}[31mcharacter");
        }
        Err(Status::with_error_details(code, sentence, details))
    }
}

/// A CA, and a certificate of it for `localhost` with its key, as PEM.
pub(crate) fn pki() -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (ca_pem, leaf.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

pub(crate) fn key(id: &str) -> KeyResponse {
    let metadata = KeyMetadata {
        key_type: "ec-p256".into(),
        labels: [("env".to_owned(), "test".to_owned())].into(),
        state: proto::KeyState::Enabled.into(),
        primary_version: 1,
        latest_version: 2,
        create_time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 500_000_000 }),
        params: Some(proto::KeyParams {
            backend: "softhsm".into(),
            protection_level: proto::ProtectionLevel::Hsm.into(),
            signature_algorithms: vec![proto::SignatureAlgorithm::EcdsaP256Sha256.into()],
            ..Default::default()
        }),
        public_key_sha256: Bytes::from_static(&[0xab; 32]),
        ..Default::default()
    };
    KeyResponse { id: id.into(), public_key: "-----BEGIN PUBLIC KEY-----\n".into(), metadata: Some(metadata) }
}

pub(crate) fn backend() -> proto::Backend {
    let algorithm = proto::SignatureAlgorithm::EcdsaP256Sha256.into();
    proto::Backend {
        name: "softhsm".into(),
        identity: Some(proto::DeviceIdentity {
            kind: "pkcs11".into(),
            label: "token".into(),
            ..Default::default()
        }),
        protection_level: proto::ProtectionLevel::Hsm.into(),
        availability: proto::BackendAvailability::Degraded.into(),
        key_types: vec![proto::KeyTypeSupport {
            key_type: "ec-p256".into(),
            signature_algorithms: vec![proto::SignatureAlgorithmSupport { algorithm, digest: true }],
            ..Default::default()
        }],
        pool: Some(proto::Pool {
            contexts: 8,
            busy: 3,
            failed: 1,
            queued: 0,
            queue_capacity: 64,
            quarantined: 2,
        }),
        ..Default::default()
    }
}

fn signature(input: &[u8]) -> Bytes {
    [b"signed:", input].concat().into()
}

#[tonic::async_trait]
impl KeyManagement for Answers {
    async fn create_key(
        &self,
        request: Request<proto::CreateKeyRequest>,
    ) -> Result<Response<KeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(key(if request.key_id.is_empty() { "made" } else { &request.key_id })))
    }

    async fn adopt_key(
        &self,
        request: Request<proto::AdoptKeyRequest>,
    ) -> Result<Response<proto::AdoptKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let custody = proto::Custody { sensitive: Some(true), extractable: Some(true), ..Default::default() };
        let key = key(if request.key_id.is_empty() { "adopted" } else { &request.key_id });
        Ok(Response::new(proto::AdoptKeyResponse { key: Some(key), custody: Some(custody) }))
    }

    async fn get_key(&self, request: Request<proto::GetKeyRequest>) -> Result<Response<KeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(key(&request.key_id)))
    }

    /// Seven keys; the token is the number of the next.
    async fn list_keys(
        &self,
        request: Request<proto::ListKeysRequest>,
    ) -> Result<Response<proto::ListKeysResponse>, Status> {
        let request = self.admit(request, |_| "").await?;
        let first: i32 = request.page_token.parse().unwrap_or_default();
        let next = (first + if request.page_size == 0 { 3 } else { request.page_size }).min(7);
        Ok(Response::new(proto::ListKeysResponse {
            keys: (first..next).map(|index| key(&format!("key-{index}"))).collect(),
            next_page_token: if next < 7 { next.to_string() } else { String::new() },
            unreachable: vec!["tpm".into()],
        }))
    }

    /// Three versions; the token is the number of the next.
    async fn list_key_versions(
        &self,
        request: Request<proto::ListKeyVersionsRequest>,
    ) -> Result<Response<proto::ListKeyVersionsResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let version = request.page_token.parse().unwrap_or(3);
        let next = version - 1;
        Ok(Response::new(proto::ListKeyVersionsResponse {
            versions: vec![proto::KeyVersion {
                version,
                state: proto::KeyState::Enabled.into(),
                backend: "softhsm".into(),
                ..Default::default()
            }],
            next_page_token: if next > 0 { next.to_string() } else { String::new() },
        }))
    }

    /// The public key is `public:` and its format.
    async fn get_public_key(
        &self,
        request: Request<proto::GetPublicKeyRequest>,
    ) -> Result<Response<proto::GetPublicKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let public_key = Bytes::from(format!("public:{}", request.format));
        let damage = u32::from(request.key_id == "damaged");
        Ok(Response::new(proto::GetPublicKeyResponse {
            key_id: request.key_id,
            version: request.version.max(1),
            key_type: "ec-p256".into(),
            format: request.format,
            public_key_crc32c: crc32c::crc32c(&public_key) ^ damage,
            public_key,
            public_key_sha256: Bytes::from_static(&[0xab; 32]),
            signature_algorithms: vec![proto::SignatureAlgorithm::EcdsaP256Sha256.into()],
            encryption_algorithms: Vec::new(),
            version_state: proto::KeyState::Enabled.into(),
        }))
    }

    async fn rotate_key(
        &self,
        request: Request<proto::RotateKeyRequest>,
    ) -> Result<Response<KeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(key(&request.key_id)))
    }

    async fn update_key(
        &self,
        request: Request<proto::UpdateKeyRequest>,
    ) -> Result<Response<proto::UpdateKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::UpdateKeyResponse { key: Some(key(&request.key_id)) }))
    }

    async fn enable_key(
        &self,
        request: Request<proto::EnableKeyRequest>,
    ) -> Result<Response<proto::EnableKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::EnableKeyResponse { key: Some(key(&request.key_id)) }))
    }

    async fn disable_key(
        &self,
        request: Request<proto::DisableKeyRequest>,
    ) -> Result<Response<proto::DisableKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::DisableKeyResponse { key: Some(key(&request.key_id)) }))
    }

    async fn restore_key(
        &self,
        request: Request<proto::RestoreKeyRequest>,
    ) -> Result<Response<proto::RestoreKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::RestoreKeyResponse { key: Some(key(&request.key_id)) }))
    }

    async fn mark_key_compromised(
        &self,
        request: Request<proto::MarkKeyCompromisedRequest>,
    ) -> Result<Response<proto::MarkKeyCompromisedResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::MarkKeyCompromisedResponse { key: Some(key(&request.key_id)) }))
    }

    async fn schedule_key_destruction(
        &self,
        request: Request<proto::ScheduleKeyDestructionRequest>,
    ) -> Result<Response<proto::ScheduleKeyDestructionResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::ScheduleKeyDestructionResponse { key: Some(key(&request.key_id)) }))
    }

    async fn set_primary_version(
        &self,
        request: Request<proto::SetPrimaryVersionRequest>,
    ) -> Result<Response<proto::SetPrimaryVersionResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::SetPrimaryVersionResponse { key: Some(key(&request.key_id)) }))
    }

    /// There are no jobs: nothing could be wrapped under a key that is made up.
    async fn create_import_job(
        &self,
        _: Request<proto::CreateImportJobRequest>,
    ) -> Result<Response<proto::CreateImportJobResponse>, Status> {
        Err(Status::unimplemented("no jobs"))
    }

    async fn get_import_job(
        &self,
        _: Request<proto::GetImportJobRequest>,
    ) -> Result<Response<proto::GetImportJobResponse>, Status> {
        Err(Status::unimplemented("no jobs"))
    }

    async fn import_key(
        &self,
        request: Request<proto::ImportKeyRequest>,
    ) -> Result<Response<proto::ImportKeyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::ImportKeyResponse { key: Some(key(&request.key_id)) }))
    }

    async fn create_certificate_signing_request(
        &self,
        request: Request<proto::CreateCertificateSigningRequestRequest>,
    ) -> Result<Response<proto::CreateCertificateSigningRequestResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        Ok(Response::new(proto::CreateCertificateSigningRequestResponse {
            pem: format!("request of {}\n", request.subject),
            der: Bytes::from_static(b"request"),
            key_id: request.key_id,
            version: 1,
            algorithm: proto::SignatureAlgorithm::EcdsaP256Sha256.into(),
        }))
    }

    /// No command makes batches.
    async fn batch_sign(
        &self,
        _: Request<proto::BatchSignRequest>,
    ) -> Result<Response<proto::BatchSignResponse>, Status> {
        Err(Status::unimplemented("no batches"))
    }

    async fn batch_verify(
        &self,
        _: Request<proto::BatchVerifyRequest>,
    ) -> Result<Response<proto::BatchVerifyResponse>, Status> {
        Err(Status::unimplemented("no batches"))
    }

    type SignStreamStream = Never<proto::SignStreamResponse>;

    async fn sign_stream(
        &self,
        _: Request<Streaming<proto::SignStreamRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    type VerifyStreamStream = Never<proto::VerifyStreamResponse>;

    async fn verify_stream(
        &self,
        _: Request<Streaming<proto::VerifyStreamRequest>>,
    ) -> Result<Response<Self::VerifyStreamStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    async fn sign_large_message(
        &self,
        _: Request<Streaming<proto::SignLargeMessageRequest>>,
    ) -> Result<Response<proto::SignLargeMessageResponse>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    async fn verify_large_message(
        &self,
        _: Request<Streaming<proto::VerifyLargeMessageRequest>>,
    ) -> Result<Response<proto::VerifyLargeMessageResponse>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    async fn batch_create_keys(
        &self,
        _: Request<Streaming<proto::BatchCreateKeysRequest>>,
    ) -> Result<Response<proto::BatchCreateKeysResponse>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    type StreamKeysStream = Never<proto::StreamKeysResponse>;

    async fn stream_keys(
        &self,
        _: Request<proto::StreamKeysRequest>,
    ) -> Result<Response<Self::StreamKeysStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    type WatchKeysStream = Never<proto::WatchKeysResponse>;

    async fn watch_keys(
        &self,
        _: Request<proto::WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    async fn sign_message(
        &self,
        request: Request<proto::SignRequest>,
    ) -> Result<Response<proto::SignResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let input = match request.input {
            Some(proto::sign_request::Input::Message(message)) => message,
            Some(proto::sign_request::Input::Digest(digest)) => digest.value,
            _ => return Err(Status::invalid_argument("no input")),
        };
        let damage = u32::from(request.key_id == "damaged");
        let signature = signature(&input);
        Ok(Response::new(proto::SignResponse {
            signature_crc32c: crc32c::crc32c(&signature) ^ damage,
            signature,
            key_id: request.key_id,
            version: 1,
            algorithm: proto::SignatureAlgorithm::EcdsaP256Sha256.into(),
            encoding: proto::SignatureEncoding::Der.into(),
            verified_input_crc32c: request.input_crc32c == Some(crc32c::crc32c(&input)),
            protection_level: proto::ProtectionLevel::Hsm.into(),
            reference: request.reference,
        }))
    }

    async fn verify_signature(
        &self,
        request: Request<proto::VerifyRequest>,
    ) -> Result<Response<proto::VerifyResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let input = match request.input {
            Some(proto::verify_request::Input::Message(message)) => message,
            Some(proto::verify_request::Input::Digest(digest)) => digest.value,
            _ => return Err(Status::invalid_argument("no input")),
        };
        let valid = request.signature == signature(&input);
        Ok(Response::new(proto::VerifyResponse {
            valid,
            version: u32::from(valid),
            algorithm: proto::SignatureAlgorithm::EcdsaP256Sha256.into(),
            version_state: proto::KeyState::Enabled.into(),
            verified_input_crc32c: request.input_crc32c == Some(crc32c::crc32c(&input)),
            verified_signature_crc32c: request.signature_crc32c == Some(crc32c::crc32c(&request.signature)),
            verified_valid_integrity: valid != (request.key_id == "damaged"),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }
}
