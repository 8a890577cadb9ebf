//! SignMessage and VerifySignature.

use skms_backend::Priority;

use super::{Input, Service};
use crate::{
    keys::{Call, Error, Limits, Sign, Verify},
    model::Reason,
    proto,
    rpc::{convert, parse::Fields},
};

impl Service {
    pub(super) async fn sign(
        &self,
        mut call: Call,
        request: proto::SignRequest,
    ) -> Result<proto::SignResponse, Error> {
        use proto::sign_request::Input as P;
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let input = request.input.map(|input| match input {
            P::Message(message) => Input::Message(message),
            P::Digest(digest) => Input::Digest(digest),
            P::ExternalMu(_) => Input::ExternalMu,
        });
        let input = self.input(&mut fields, input, request.input_crc32c);
        let algorithm = fields.algorithm("algorithm", request.algorithm);
        let encoding = fields.encoding("encoding", request.encoding);
        let priority = priority(&mut fields, request.priority);
        fields.no_context(&request.context);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            let (key, input) = (key?, input?);
            let sign =
                Sign { key, input, algorithm: algorithm?, version: request.version, encoding: encoding? };
            Some((sign, priority?))
        })();
        let (sign, priority) = fields.finish(parsed)?;
        call.priority = priority;
        let signed = self.keyring.sign(&call, sign).await?;
        Ok(proto::SignResponse {
            signature_crc32c: crc32c::crc32c(&signed.signature),
            signature: signed.signature,
            key_id: signed.key.id.to_string(),
            version: signed.version,
            algorithm: convert::algorithm(signed.algorithm).into(),
            encoding: convert::encoding(signed.encoding).into(),
            verified_input_crc32c: request.input_crc32c.is_some(),
            protection_level: convert::protection(signed.protection_level).into(),
            reference: request.reference,
        })
    }

    pub(super) async fn verify(
        &self,
        call: &Call,
        request: proto::VerifyRequest,
    ) -> Result<proto::VerifyResponse, Error> {
        use proto::verify_request::Input as P;
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &request.key_id);
        let input = request.input.map(|input| match input {
            P::Message(message) => Input::Message(message),
            P::Digest(digest) => Input::Digest(digest),
            P::ExternalMu(_) => Input::ExternalMu,
        });
        let input = self.input(&mut fields, input, request.input_crc32c);
        let algorithm = fields.algorithm("algorithm", request.algorithm);
        let encoding = fields.encoding("encoding", request.encoding);
        if request.signature.is_empty() {
            fields.fail("signature", Reason::FieldRequired, "the signature to check");
        }
        fields.at_most("signature", request.signature.len(), Limits::SIGNATURE_BYTES);
        fields.checksum("signature_crc32c", request.signature_crc32c, &request.signature);
        fields.no_context(&request.context);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            Some(Verify {
                key: key?,
                input: input?,
                signature: request.signature,
                algorithm: algorithm?,
                version: request.version,
                encoding: encoding?,
                accept_compromised: request.accept_compromised,
            })
        })();
        let verified = self.keyring.verify(call, fields.finish(parsed)?).await?;
        let valid = verified.matched.is_some();
        let (version, version_state) = match verified.matched {
            Some((version, state)) => (version, convert::state(state)),
            None => (0, proto::KeyState::Unspecified),
        };
        Ok(proto::VerifyResponse {
            valid,
            version,
            key_id: verified.key.id.to_string(),
            algorithm: convert::algorithm(verified.algorithm).into(),
            version_state: version_state.into(),
            verified_input_crc32c: request.input_crc32c.is_some(),
            verified_signature_crc32c: request.signature_crc32c.is_some(),
            verified_valid_integrity: valid,
            reference: request.reference,
        })
    }
}

fn priority(fields: &mut Fields, number: i32) -> Option<Priority> {
    match fields.known("priority", number)? {
        proto::Priority::Unspecified | proto::Priority::Normal => Some(Priority::Normal),
        proto::Priority::Low => Some(Priority::Low),
        proto::Priority::High => {
            let why = "needs a permission that cannot be given yet";
            fields.fail("priority", Reason::FieldInvalid, why);
            None
        }
    }
}
