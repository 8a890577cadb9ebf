//! The calls of `skms.v1.CryptoService`.

use super::{Client, Error, ask, retry};
use crate::proto;

impl Client {
    /// Encrypts.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn encrypt(&self, request: proto::EncryptRequest) -> Result<proto::EncryptResponse, Error> {
        ask!(self.crypto().encrypt(request))
    }

    /// Decrypts.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn decrypt(&self, request: proto::DecryptRequest) -> Result<proto::DecryptResponse, Error> {
        ask!(self.crypto().decrypt(request))
    }

    /// Encrypts many plaintexts. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_encrypt(
        &self,
        request: proto::BatchEncryptRequest,
    ) -> Result<proto::BatchEncryptResponse, Error> {
        ask!(self.crypto().batch_encrypt(request))
    }

    /// Decrypts many ciphertexts. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_decrypt(
        &self,
        request: proto::BatchDecryptRequest,
    ) -> Result<proto::BatchDecryptResponse, Error> {
        ask!(self.crypto().batch_decrypt(request))
    }

    /// Encrypts anew, without seeing the plaintext.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn reencrypt(
        &self,
        request: proto::ReEncryptRequest,
    ) -> Result<proto::ReEncryptResponse, Error> {
        ask!(self.crypto().re_encrypt(request))
    }

    /// Makes a data key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_data_key(
        &self,
        request: proto::GenerateDataKeyRequest,
    ) -> Result<proto::GenerateDataKeyResponse, Error> {
        ask!(self.crypto().generate_data_key(request))
    }

    /// Gets random bytes.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_random(
        &self,
        request: proto::GenerateRandomRequest,
    ) -> Result<proto::GenerateRandomResponse, Error> {
        ask!(self.crypto().generate_random(request))
    }

    /// Makes a message authentication code.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_mac(
        &self,
        request: proto::GenerateMacRequest,
    ) -> Result<proto::GenerateMacResponse, Error> {
        ask!(self.crypto().generate_mac(request))
    }

    /// Checks a message authentication code; a bad one is an answer, not an error.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn verify_mac(
        &self,
        request: proto::VerifyMacRequest,
    ) -> Result<proto::VerifyMacResponse, Error> {
        ask!(self.crypto().verify_mac(request))
    }

    /// Agrees on a secret.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn derive_shared_secret(
        &self,
        request: proto::DeriveSharedSecretRequest,
    ) -> Result<proto::DeriveSharedSecretResponse, Error> {
        ask!(self.crypto().derive_shared_secret(request))
    }
}
