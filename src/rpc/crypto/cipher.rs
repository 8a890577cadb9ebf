//! Encrypt, Decrypt and ReEncrypt.

use bytes::Bytes;

use super::{
    Service,
    aad::{Given, Names},
};
use crate::{
    keys::{Call, Decrypt, ENVELOPE_OVERHEAD, Encrypt, Error, Limits, ReEncrypt},
    model::Reason,
    proto,
    rpc::{convert, parse::Fields},
};

impl Service {
    pub(super) async fn encrypt(
        &self,
        call: &Call,
        request: proto::EncryptRequest,
    ) -> Result<proto::EncryptResponse, Error> {
        use proto::encrypt_request::Aad as P;
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.bounded(&mut fields, "plaintext", &request.plaintext, 0);
        fields.checksum("plaintext_crc32c", request.plaintext_crc32c, &request.plaintext);
        let aad = match request.aad {
            None => Given::Nothing,
            Some(P::AdditionalAuthenticatedData(bytes)) => Given::Bytes(bytes),
            Some(P::Context(context)) => Given::Context(context),
        };
        let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
        let algorithm = fields.encryption("algorithm", request.algorithm);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            Some(Encrypt {
                key: key?,
                plaintext: request.plaintext,
                aad,
                algorithm: algorithm?,
                version: request.version,
            })
        })();
        let made = self.keyring.encrypt(call, fields.finish(parsed)?).await?;
        Ok(proto::EncryptResponse {
            ciphertext_crc32c: crc32c::crc32c(&made.ciphertext),
            ciphertext: made.ciphertext,
            key_id: made.key.id.to_string(),
            version: made.version,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_plaintext_crc32c: request.plaintext_crc32c.is_some(),
            verified_aad_crc32c: request.aad_crc32c.is_some(),
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }

    pub(super) async fn decrypt(
        &self,
        call: &Call,
        request: proto::DecryptRequest,
    ) -> Result<proto::DecryptResponse, Error> {
        use proto::decrypt_request::Aad as P;
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        self.ciphertext(&mut fields, &request.ciphertext, request.ciphertext_crc32c);
        let aad = match request.aad {
            None => Given::Nothing,
            Some(P::AdditionalAuthenticatedData(bytes)) => Given::Bytes(bytes),
            Some(P::Context(context)) => Given::Context(context),
        };
        let aad = aad.with_checksum(&mut fields, request.aad_crc32c);
        let algorithm = fields.encryption("algorithm", request.algorithm);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            Some(Decrypt {
                key: key?,
                ciphertext: request.ciphertext,
                aad,
                algorithm: algorithm?,
                version: request.version,
                accept_compromised: request.accept_compromised,
            })
        })();
        let made = self.keyring.decrypt(call, fields.finish(parsed)?).await?;
        Ok(proto::DecryptResponse {
            plaintext_crc32c: crc32c::crc32c(made.plaintext.expose()),
            plaintext: Bytes::copy_from_slice(made.plaintext.expose()),
            key_id: made.key.id.to_string(),
            version: made.version,
            used_primary: made.version == made.key.primary,
            algorithm: convert::encryption(made.algorithm).into(),
            verified_ciphertext_crc32c: request.ciphertext_crc32c.is_some(),
            verified_aad_crc32c: request.aad_crc32c.is_some(),
            protection_level: convert::protection(made.protection_level).into(),
            reference: request.reference,
        })
    }

    pub(super) async fn reencrypt(
        &self,
        call: &Call,
        request: proto::ReEncryptRequest,
    ) -> Result<proto::ReEncryptResponse, Error> {
        use proto::re_encrypt_request::{DestinationAad, SourceAad};
        let mut fields = Fields::default();
        self.ciphertext(&mut fields, &request.ciphertext, request.ciphertext_crc32c);
        let source = fields.required_key_id("source_key_id", &request.source_key_id);
        let destination = fields.required_key_id("destination_key_id", &request.destination_key_id);
        let source_aad = match request.source_aad {
            None => Given::Nothing,
            Some(SourceAad::SourceAdditionalAuthenticatedData(bytes)) => Given::Bytes(bytes),
            Some(SourceAad::SourceContext(context)) => Given::Context(context),
        };
        let names = Names { bytes: "source_additional_authenticated_data", context: "source_context" };
        let source_aad = source_aad.parse(&mut fields, names);
        let destination_aad = match request.destination_aad {
            None => Given::Nothing,
            Some(DestinationAad::DestinationAdditionalAuthenticatedData(bytes)) => Given::Bytes(bytes),
            Some(DestinationAad::DestinationContext(context)) => Given::Context(context),
        };
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
