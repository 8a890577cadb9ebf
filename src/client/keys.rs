//! The calls of `skms.v1.KeyManagement`.

use super::{Client, Error, ask, retry};
use crate::proto;

impl Client {
    /// Makes a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn create_key(&self, request: proto::CreateKeyRequest) -> Result<proto::KeyResponse, Error> {
        ask!(self.key_management().create_key(named request))
    }

    /// Takes over a key that is on a device already.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn adopt_key(&self, request: proto::AdoptKeyRequest) -> Result<proto::AdoptKeyResponse, Error> {
        ask!(self.key_management().adopt_key(named request))
    }

    /// Shows a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn get_key(&self, request: proto::GetKeyRequest) -> Result<proto::KeyResponse, Error> {
        ask!(self.key_management().get_key(request))
    }

    /// Lists one page of keys.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_keys(&self, request: proto::ListKeysRequest) -> Result<proto::ListKeysResponse, Error> {
        ask!(self.key_management().list_keys(request))
    }

    /// Lists one page of the versions of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn list_key_versions(
        &self,
        request: proto::ListKeyVersionsRequest,
    ) -> Result<proto::ListKeyVersionsResponse, Error> {
        ask!(self.key_management().list_key_versions(request))
    }

    /// Asks for the public key of a version.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn public_key(
        &self,
        request: proto::GetPublicKeyRequest,
    ) -> Result<proto::GetPublicKeyResponse, Error> {
        ask!(self.key_management().get_public_key(request))
    }

    /// Makes a new version of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn rotate_key(&self, request: proto::RotateKeyRequest) -> Result<proto::KeyResponse, Error> {
        ask!(self.key_management().rotate_key(named request))
    }

    /// Changes what is said of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn update_key(&self, request: proto::UpdateKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().update_key(named request))?.key.unwrap_or_default())
    }

    /// Takes versions of a key into use.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn enable_key(&self, request: proto::EnableKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().enable_key(named request))?.key.unwrap_or_default())
    }

    /// Takes versions of a key out of use.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn disable_key(&self, request: proto::DisableKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().disable_key(named request))?.key.unwrap_or_default())
    }

    /// Calls the destruction of versions of a key off.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn restore_key(&self, request: proto::RestoreKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().restore_key(named request))?.key.unwrap_or_default())
    }

    /// Says that others know versions of a key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn mark_key_compromised(
        &self,
        request: proto::MarkKeyCompromisedRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().mark_key_compromised(named request))?.key.unwrap_or_default())
    }

    /// Has versions of a key destroyed, later.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn schedule_key_destruction(
        &self,
        request: proto::ScheduleKeyDestructionRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().schedule_key_destruction(named request))?.key.unwrap_or_default())
    }

    /// Makes another version the primary.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn set_primary_version(
        &self,
        request: proto::SetPrimaryVersionRequest,
    ) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().set_primary_version(named request))?.key.unwrap_or_default())
    }

    /// Signs a message or a digest.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn sign(&self, request: proto::SignRequest) -> Result<proto::SignResponse, Error> {
        ask!(self.key_management().sign_message(request))
    }

    /// Signs many messages or digests. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_sign(
        &self,
        request: proto::BatchSignRequest,
    ) -> Result<proto::BatchSignResponse, Error> {
        ask!(self.key_management().batch_sign(request))
    }

    /// Checks many signatures. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_verify(
        &self,
        request: proto::BatchVerifyRequest,
    ) -> Result<proto::BatchVerifyResponse, Error> {
        ask!(self.key_management().batch_verify(request))
    }

    /// Checks a signature; a bad one is an answer, not an error.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn verify(&self, request: proto::VerifyRequest) -> Result<proto::VerifyResponse, Error> {
        ask!(self.key_management().verify_signature(request))
    }

    /// Makes an import job.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn create_import_job(
        &self,
        request: proto::CreateImportJobRequest,
    ) -> Result<proto::ImportJob, Error> {
        let answer = ask!(self.key_management().create_import_job(named request))?;
        Ok(answer.import_job.unwrap_or_default())
    }

    /// Shows an import job of this caller.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn import_job(&self, id: &str) -> Result<proto::ImportJob, Error> {
        let request = proto::GetImportJobRequest { import_job_id: id.to_owned() };
        let answer = ask!(self.key_management().get_import_job(request))?;
        Ok(answer.import_job.unwrap_or_default())
    }

    /// Makes a key, or a new version of one, of material that was made elsewhere.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn import_key(&self, request: proto::ImportKeyRequest) -> Result<proto::KeyResponse, Error> {
        Ok(ask!(self.key_management().import_key(named request))?.key.unwrap_or_default())
    }

    /// Has a key sign a request for a certificate of itself.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn certificate_request(
        &self,
        request: proto::CreateCertificateSigningRequestRequest,
    ) -> Result<proto::CreateCertificateSigningRequestResponse, Error> {
        ask!(self.key_management().create_certificate_signing_request(request))
    }
}
