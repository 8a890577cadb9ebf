//! The calls of `skms.v1.CryptoService`.

use super::{Client, Error};
use crate::proto;

impl Client {
    /// Encrypts.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn encrypt(&self, request: proto::EncryptRequest) -> Result<proto::EncryptResponse, Error> {
        self.call(self.crypto().encrypt(request)).await
    }

    /// Decrypts.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn decrypt(&self, request: proto::DecryptRequest) -> Result<proto::DecryptResponse, Error> {
        self.call(self.crypto().decrypt(request)).await
    }

    /// Encrypts many plaintexts. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_encrypt(
        &self,
        request: proto::BatchEncryptRequest,
    ) -> Result<proto::BatchEncryptResponse, Error> {
        self.call(self.crypto().batch_encrypt(request)).await
    }

    /// Decrypts many ciphertexts. What fails is an answer of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn batch_decrypt(
        &self,
        request: proto::BatchDecryptRequest,
    ) -> Result<proto::BatchDecryptResponse, Error> {
        self.call(self.crypto().batch_decrypt(request)).await
    }

    /// Encrypts anew, without seeing the plaintext.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn reencrypt(
        &self,
        request: proto::ReEncryptRequest,
    ) -> Result<proto::ReEncryptResponse, Error> {
        self.call(self.crypto().re_encrypt(request)).await
    }

    /// Makes a data key.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_data_key(
        &self,
        request: proto::GenerateDataKeyRequest,
    ) -> Result<proto::GenerateDataKeyResponse, Error> {
        self.call(self.crypto().generate_data_key(request)).await
    }

    /// Gets random bytes.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_random(
        &self,
        request: proto::GenerateRandomRequest,
    ) -> Result<proto::GenerateRandomResponse, Error> {
        self.call(self.crypto().generate_random(request)).await
    }

    /// Makes a message authentication code.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn generate_mac(
        &self,
        request: proto::GenerateMacRequest,
    ) -> Result<proto::GenerateMacResponse, Error> {
        self.call(self.crypto().generate_mac(request)).await
    }

    /// Checks a message authentication code; a bad one is an answer, not an error.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn verify_mac(
        &self,
        request: proto::VerifyMacRequest,
    ) -> Result<proto::VerifyMacResponse, Error> {
        self.call(self.crypto().verify_mac(request)).await
    }

    /// Agrees on a secret.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn derive_shared_secret(
        &self,
        request: proto::DeriveSharedSecretRequest,
    ) -> Result<proto::DeriveSharedSecretResponse, Error> {
        self.call(self.crypto().derive_shared_secret(request)).await
    }
}
