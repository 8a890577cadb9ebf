//! Encryption and the like, by hand: a ciphertext is the version, what was
//! authenticated and the plaintext, with a colon between; a code is `mac:` and the
//! message. The key `rotated` has two versions, and every other one.

use bytes::Bytes;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Answers, Never};
use crate::proto::{self, crypto_service_server::CryptoService};

/// The primary version.
fn primary(key: &str) -> u32 {
    if key == "rotated" { 2 } else { 1 }
}

fn damage(key: &str) -> u32 {
    u32::from(key == "damaged")
}

fn beside(bytes: Option<&Bytes>, context: Option<&proto::EncryptionContext>) -> String {
    let mut entries: Vec<_> = context.into_iter().flat_map(|context| &context.entries).collect();
    entries.sort();
    let entries: Vec<_> = entries.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    bytes.map_or_else(|| entries.join(","), hex::encode)
}

macro_rules! aad {
    ($aad:expr, $bytes:path, $context:path) => {
        match &$aad {
            None => beside(None, None),
            Some($bytes(bytes)) => beside(Some(bytes), None),
            Some($context(context)) => beside(None, Some(context)),
        }
    };
}

fn sealed(version: u32, aad: &str, plaintext: &[u8]) -> Bytes {
    [format!("{version}:{aad}:").as_bytes(), plaintext].concat().into()
}

fn opened(ciphertext: &[u8], aad: &str) -> Result<(u32, Bytes), Status> {
    let mut parts = ciphertext.splitn(3, |byte| *byte == b':');
    let mut part = || parts.next().unwrap_or_default();
    let (version, beside, plaintext) = (part(), part(), part());
    match std::str::from_utf8(version).ok().and_then(|version| version.parse().ok()) {
        Some(version) if beside == aad.as_bytes() => Ok((version, Bytes::copy_from_slice(plaintext))),
        _ => {
            let details =
                ErrorDetails::with_error_info("DECRYPTION_FAILED", "skms", [("a".into(), "b".into())]);
            Err(Status::with_error_details(Code::InvalidArgument, "it cannot be decrypted", details))
        }
    }
}

/// The same as `sent`, where it is the checksum.
fn verified(sent: Option<u32>, bytes: &[u8]) -> bool {
    sent == Some(crc32c::crc32c(bytes))
}

#[tonic::async_trait]
impl CryptoService for Answers {
    /// No command makes batches.
    type EncryptStreamStream = Never<proto::EncryptStreamResponse>;

    async fn encrypt_stream(
        &self,
        _: Request<Streaming<proto::EncryptStreamRequest>>,
    ) -> Result<Response<Self::EncryptStreamStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    type DecryptStreamStream = Never<proto::DecryptStreamResponse>;

    async fn decrypt_stream(
        &self,
        _: Request<Streaming<proto::DecryptStreamRequest>>,
    ) -> Result<Response<Self::DecryptStreamStream>, Status> {
        Err(Status::unimplemented("no streams"))
    }

    async fn batch_encrypt(
        &self,
        _: Request<proto::BatchEncryptRequest>,
    ) -> Result<Response<proto::BatchEncryptResponse>, Status> {
        Err(Status::unimplemented("no batches"))
    }

    async fn batch_decrypt(
        &self,
        _: Request<proto::BatchDecryptRequest>,
    ) -> Result<Response<proto::BatchDecryptResponse>, Status> {
        Err(Status::unimplemented("no batches"))
    }

    async fn encrypt(
        &self,
        request: Request<proto::EncryptRequest>,
    ) -> Result<Response<proto::EncryptResponse>, Status> {
        use proto::encrypt_request::Aad;
        let request = self.admit(request, |request| &request.key_id).await?;
        let aad = aad!(request.aad, Aad::AdditionalAuthenticatedData, Aad::Context);
        let version = if request.version == 0 { primary(&request.key_id) } else { request.version };
        let ciphertext = sealed(version, &aad, &request.plaintext);
        Ok(Response::new(proto::EncryptResponse {
            ciphertext_crc32c: crc32c::crc32c(&ciphertext) ^ damage(&request.key_id),
            ciphertext,
            version,
            algorithm: proto::EncryptionAlgorithm::Aes256Gcm.into(),
            verified_plaintext_crc32c: verified(request.plaintext_crc32c, &request.plaintext),
            verified_aad_crc32c: request.aad_crc32c.is_some() && request.key_id != "careless",
            protection_level: proto::ProtectionLevel::Hsm.into(),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }

    async fn decrypt(
        &self,
        request: Request<proto::DecryptRequest>,
    ) -> Result<Response<proto::DecryptResponse>, Status> {
        use proto::decrypt_request::Aad;
        let request = self.admit(request, |request| &request.key_id).await?;
        let aad = aad!(request.aad, Aad::AdditionalAuthenticatedData, Aad::Context);
        let (version, plaintext) = opened(&request.ciphertext, &aad)?;
        Ok(Response::new(proto::DecryptResponse {
            plaintext_crc32c: crc32c::crc32c(&plaintext) ^ damage(&request.key_id),
            plaintext,
            version,
            used_primary: version == primary(&request.key_id),
            algorithm: proto::EncryptionAlgorithm::Aes256Gcm.into(),
            verified_ciphertext_crc32c: verified(request.ciphertext_crc32c, &request.ciphertext),
            verified_aad_crc32c: request.aad_crc32c.is_some() && request.key_id != "careless",
            protection_level: proto::ProtectionLevel::Hsm.into(),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }

    async fn re_encrypt(
        &self,
        request: Request<proto::ReEncryptRequest>,
    ) -> Result<Response<proto::ReEncryptResponse>, Status> {
        use proto::re_encrypt_request::{DestinationAad, SourceAad};
        let request = self.admit(request, |request| &request.destination_key_id).await?;
        let source =
            aad!(request.source_aad, SourceAad::SourceAdditionalAuthenticatedData, SourceAad::SourceContext);
        let destination = aad!(
            request.destination_aad,
            DestinationAad::DestinationAdditionalAuthenticatedData,
            DestinationAad::DestinationContext
        );
        let (source_version, plaintext) = opened(&request.ciphertext, &source)?;
        let destination_version = primary(&request.destination_key_id);
        let ciphertext = sealed(destination_version, &destination, &plaintext);
        Ok(Response::new(proto::ReEncryptResponse {
            ciphertext_crc32c: crc32c::crc32c(&ciphertext) ^ damage(&request.destination_key_id),
            ciphertext,
            source_key_id: request.source_key_id,
            source_version,
            destination_key_id: request.destination_key_id,
            destination_version,
            algorithm: proto::EncryptionAlgorithm::Aes256Gcm.into(),
            verified_ciphertext_crc32c: verified(request.ciphertext_crc32c, &request.ciphertext),
            protection_level: proto::ProtectionLevel::Hsm.into(),
            reference: request.reference,
        }))
    }

    /// The data key is as many `k` as were asked for; 32, where a type was.
    async fn generate_data_key(
        &self,
        request: Request<proto::GenerateDataKeyRequest>,
    ) -> Result<Response<proto::GenerateDataKeyResponse>, Status> {
        use proto::generate_data_key_request::{Aad, Size};
        let request = self.admit(request, |request| &request.key_id).await?;
        let aad = aad!(request.aad, Aad::AdditionalAuthenticatedData, Aad::Context);
        let length = match request.size {
            Some(Size::LengthBytes(length)) => length.try_into().unwrap(),
            _ => 32,
        };
        let (key, mode) = (vec![b'k'; length], request.plaintext_mode());
        let shown = if mode == proto::PlaintextMode::Include { &key[..] } else { b"" };
        let ciphertext = sealed(1, &aad, &key);
        Ok(Response::new(proto::GenerateDataKeyResponse {
            ciphertext_crc32c: crc32c::crc32c(&ciphertext),
            ciphertext,
            plaintext: Bytes::copy_from_slice(shown),
            wrapped_plaintext: request.recipient_public_key,
            version: 1,
            algorithm: proto::EncryptionAlgorithm::Aes256Gcm.into(),
            plaintext_crc32c: crc32c::crc32c(shown) ^ damage(&request.key_id),
            verified_aad_crc32c: request.aad_crc32c.is_some() && request.key_id != "careless",
            protection_level: proto::ProtectionLevel::Hsm.into(),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }

    /// The bytes are 0xff; the backend `damaged` miscounts.
    async fn generate_random(
        &self,
        request: Request<proto::GenerateRandomRequest>,
    ) -> Result<Response<proto::GenerateRandomResponse>, Status> {
        let request = self.admit(request, |request| &request.backend).await?;
        let length = request.length_bytes - damage(&request.backend);
        let data = Bytes::from(vec![0xff; length.try_into().unwrap()]);
        Ok(Response::new(proto::GenerateRandomResponse {
            data_crc32c: crc32c::crc32c(&data),
            data,
            backend: if request.backend.is_empty() { "softhsm".into() } else { request.backend },
            protection_level: proto::ProtectionLevel::Hsm.into(),
        }))
    }

    async fn generate_mac(
        &self,
        request: Request<proto::GenerateMacRequest>,
    ) -> Result<Response<proto::GenerateMacResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let mac = Bytes::from([b"mac:", &request.message[..]].concat());
        Ok(Response::new(proto::GenerateMacResponse {
            mac_crc32c: crc32c::crc32c(&mac) ^ damage(&request.key_id),
            mac,
            version: 1,
            verified_message_crc32c: verified(request.message_crc32c, &request.message),
            protection_level: proto::ProtectionLevel::Hsm.into(),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }

    async fn verify_mac(
        &self,
        request: Request<proto::VerifyMacRequest>,
    ) -> Result<Response<proto::VerifyMacResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let valid = request.mac == [b"mac:", &request.message[..]].concat();
        Ok(Response::new(proto::VerifyMacResponse {
            valid,
            version: u32::from(valid),
            version_state: proto::KeyState::Enabled.into(),
            verified_message_crc32c: verified(request.message_crc32c, &request.message),
            verified_mac_crc32c: verified(request.mac_crc32c, &request.mac),
            verified_valid_integrity: valid != (request.key_id == "damaged"),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }

    /// The secret is the beginning of the public key, or all of it.
    async fn derive_shared_secret(
        &self,
        request: Request<proto::DeriveSharedSecretRequest>,
    ) -> Result<Response<proto::DeriveSharedSecretResponse>, Status> {
        let request = self.admit(request, |request| &request.key_id).await?;
        let secret = match request.hkdf {
            Some(hkdf) => {
                let length = usize::try_from(hkdf.length_bytes).unwrap();
                request.peer_public_key.slice(..length)
            }
            None => request.peer_public_key,
        };
        Ok(Response::new(proto::DeriveSharedSecretResponse {
            secret_crc32c: crc32c::crc32c(&secret) ^ damage(&request.key_id),
            secret,
            version: 1,
            protection_level: proto::ProtectionLevel::Software.into(),
            key_id: request.key_id,
            reference: request.reference,
        }))
    }
}
