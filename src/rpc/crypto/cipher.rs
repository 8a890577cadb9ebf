//! Encrypt and Decrypt, batches of them, and ReEncrypt.

use super::{
    Service,
    aad::{Given, Names},
};
use crate::{
    keys::{Call, Decrypt, ENVELOPE_OVERHEAD, Encrypt, Error, Keyring, Limits, ReEncrypt},
    model::{Action, KeyId, Reason},
    proto,
    rpc::{
        batch::{Asked, Together},
        convert,
        parse::Fields,
    },
};

impl Service {
    pub(super) async fn encrypt(
        &self,
        call: &Call,
        request: proto::EncryptRequest,
    ) -> Result<proto::EncryptResponse, Error> {
        self.to_encrypt(request)?.answer(&self.keyring, call.clone()).await
    }

    pub(super) async fn batch_encrypt(
        &self,
        call: &Call,
        request: proto::BatchEncryptRequest,
    ) -> Result<proto::BatchEncryptResponse, Error> {
        let proto::BatchEncryptRequest { requests, all_or_nothing } = request;
        let batch = self.batch(call, Action::Encrypt, all_or_nothing.into());
        let results = batch.each(requests, |item| self.to_encrypt(item)).await?;
        Ok(proto::BatchEncryptResponse { results })
    }

    fn to_encrypt(&self, request: proto::EncryptRequest) -> Result<ToEncrypt, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.bounded(&mut fields, "plaintext", &request.plaintext, 0);
        fields.checksum("plaintext_crc32c", request.plaintext_crc32c, &request.plaintext);
        let aad = Given::from(request.aad);
        let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
        let algorithm = fields.encryption("algorithm", request.algorithm);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            let encrypt = Encrypt {
                key: key?,
                plaintext: request.plaintext,
                aad,
                algorithm: algorithm?,
                version: request.version,
            };
            Some(ToEncrypt {
                encrypt,
                verified_plaintext: request.plaintext_crc32c.is_some(),
                verified_aad: request.aad_crc32c.is_some(),
                reference: request.reference,
            })
        })();
        fields.finish(parsed)
    }

    pub(super) async fn decrypt(
        &self,
        call: &Call,
        request: proto::DecryptRequest,
    ) -> Result<proto::DecryptResponse, Error> {
        self.to_decrypt(request)?.answer(&self.keyring, call.clone()).await
    }

    pub(super) async fn batch_decrypt(
        &self,
        call: &Call,
        request: proto::BatchDecryptRequest,
    ) -> Result<proto::BatchDecryptResponse, Error> {
        let proto::BatchDecryptRequest { requests } = request;
        let batch = self.batch(call, Action::Decrypt, Together::EachByItself);
        let results = batch.each(requests, |item| self.to_decrypt(item)).await?;
        Ok(proto::BatchDecryptResponse { results })
    }

    fn to_decrypt(&self, request: proto::DecryptRequest) -> Result<ToDecrypt, Error> {
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.ciphertext(&mut fields, &request.ciphertext, request.ciphertext_crc32c);
        let aad = Given::from(request.aad);
        let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
        let algorithm = fields.encryption("algorithm", request.algorithm);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            let decrypt = Decrypt {
                key: key?,
                ciphertext: request.ciphertext,
                aad,
                algorithm: algorithm?,
                version: request.version,
                accept_compromised: request.accept_compromised,
            };
            Some(ToDecrypt {
                decrypt,
                verified_ciphertext: request.ciphertext_crc32c.is_some(),
                verified_aad: request.aad_crc32c.is_some(),
                reference: request.reference,
            })
        })();
        fields.finish(parsed)
    }

    pub(super) async fn reencrypt(
        &self,
        call: &Call,
        request: proto::ReEncryptRequest,
    ) -> Result<proto::ReEncryptResponse, Error> {
        let mut fields = Fields::default();
        self.ciphertext(&mut fields, &request.ciphertext, request.ciphertext_crc32c);
        let source = fields.required_key_id("source_key_id", &request.source_key_id);
        let destination = fields.required_key_id("destination_key_id", &request.destination_key_id);
        let source_aad = Given::from(request.source_aad);
        let names = Names { bytes: "source_additional_authenticated_data", context: "source_context" };
        let source_aad = source_aad.parse(&mut fields, names);
        let destination_aad = Given::from(request.destination_aad);
        let names =
            Names { bytes: "destination_additional_authenticated_data", context: "destination_context" };
        let destination_aad = destination_aad.parse(&mut fields, names);
        let source_algorithm = fields.encryption("source_algorithm", request.source_algorithm);
        let destination_algorithm = fields.encryption("destination_algorithm", request.destination_algorithm);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            Some(ReEncrypt {
                ciphertext: request.ciphertext,
                source: source?,
                source_aad,
                source_version: request.source_version,
                source_algorithm: source_algorithm?,
                accept_compromised: request.accept_compromised,
                destination: destination?,
                destination_aad,
                destination_algorithm: destination_algorithm?,
            })
        })();
        let made = self.keyring.reencrypt(call, fields.finish(parsed)?).await?;
        Ok(proto::ReEncryptResponse {
            ciphertext_crc32c: crc32c::crc32c(&made.ciphertext),
            ciphertext: made.ciphertext,
            source_key_id: made.source.id.to_string(),
            source_version: made.source_version,
            destination_key_id: made.destination.id.to_string(),
            destination_version: made.destination_version,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_ciphertext_crc32c: request.ciphertext_crc32c.is_some(),
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }

    /// Refuses what is longer than the longest message, and `more`.
    pub(super) fn bounded(&self, fields: &mut Fields, field: &str, bytes: &[u8], more: usize) {
        fields.payload(field, bytes.len(), self.keyring.limits().message_bytes + more);
    }

    fn ciphertext(&self, fields: &mut Fields, ciphertext: &[u8], sent: Option<u32>) {
        if ciphertext.is_empty() {
            fields.fail("ciphertext", Reason::FieldRequired, "what is to be decrypted");
        }
        self.bounded(fields, "ciphertext", ciphertext, ENVELOPE_OVERHEAD);
        fields.checksum("ciphertext_crc32c", sent, ciphertext);
    }
}

/// A plaintext that is asked for in the right form.
struct ToEncrypt {
    encrypt: Encrypt,
    verified_plaintext: bool,
    verified_aad: bool,
    reference: String,
}

/// The same of a ciphertext.
struct ToDecrypt {
    decrypt: Decrypt,
    verified_ciphertext: bool,
    verified_aad: bool,
    reference: String,
}

impl Asked for ToEncrypt {
    type Answer = proto::EncryptResponse;

    fn key(&self) -> &KeyId {
        &self.encrypt.key
    }

    async fn answer(self, keyring: &Keyring, call: Call) -> Result<proto::EncryptResponse, Error> {
        let Self { encrypt, verified_plaintext, verified_aad, reference } = self;
        let made = keyring.encrypt(&call, encrypt).await?;
        Ok(proto::EncryptResponse {
            ciphertext_crc32c: crc32c::crc32c(&made.ciphertext),
            ciphertext: made.ciphertext,
            key_id: made.key.id.to_string(),
            version: made.version,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_plaintext_crc32c: verified_plaintext,
            verified_aad_crc32c: verified_aad,
            protection_level: convert::protection(made.protection_level).into(),
            reference,
        })
    }
}

impl Asked for ToDecrypt {
    type Answer = proto::DecryptResponse;

    fn key(&self) -> &KeyId {
        &self.decrypt.key
    }

    async fn answer(self, keyring: &Keyring, call: Call) -> Result<proto::DecryptResponse, Error> {
        let Self { decrypt, verified_ciphertext, verified_aad, reference } = self;
        let made = keyring.decrypt(&call, decrypt).await?;
        Ok(proto::DecryptResponse {
            plaintext_crc32c: crc32c::crc32c(made.plaintext.expose()),
            plaintext: made.plaintext.into_bytes(),
            key_id: made.key.id.to_string(),
            version: made.version,
            used_primary: made.version == made.key.primary,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_ciphertext_crc32c: verified_ciphertext,
            verified_aad_crc32c: verified_aad,
            protection_level: convert::protection(made.protection_level).into(),
            reference,
        })
    }
}
