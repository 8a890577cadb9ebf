//! SignMessage and VerifySignature, and batches of them.

use skms_backend::Priority;

use super::{Input, Service};
use crate::{
    keys::{Call, Error, Keyring, Limits, Sign, Signed, Verified, Verify},
    model::{Action, KeyId},
    proto,
    rpc::{
        batch::{Asked, Together},
        convert,
        parse::Fields,
    },
};

impl Service {
    pub(super) async fn sign(
        &self,
        call: Call,
        request: proto::SignRequest,
    ) -> Result<proto::SignResponse, Error> {
        self.to_sign(request)?.answer(&self.keyring, call).await
    }

    pub(super) async fn batch_sign(
        &self,
        call: &Call,
        request: proto::BatchSignRequest,
    ) -> Result<proto::BatchSignResponse, Error> {
        let proto::BatchSignRequest { requests, all_or_nothing } = request;
        let batch = self.batch(call, Action::SignMessage, all_or_nothing.into());
        let results = batch.each(requests, |item| self.to_sign(item)).await?;
        Ok(proto::BatchSignResponse { results })
    }

    /// What is asked for, if its form is right.
    pub(super) fn to_sign(&self, request: proto::SignRequest) -> Result<ToSign, Error> {
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
            let verified_input = request.input_crc32c.is_some();
            Some(ToSign { sign, priority: priority?, verified_input, reference: request.reference })
        })();
        fields.finish(parsed)
    }

    pub(super) async fn verify(
        &self,
        call: &Call,
        request: proto::VerifyRequest,
    ) -> Result<proto::VerifyResponse, Error> {
        self.to_verify(request)?.answer(&self.keyring, call.clone()).await
    }

    pub(super) async fn batch_verify(
        &self,
        call: &Call,
        request: proto::BatchVerifyRequest,
    ) -> Result<proto::BatchVerifyResponse, Error> {
        let proto::BatchVerifyRequest { requests } = request;
        let batch = self.batch(call, Action::VerifySignature, Together::EachByItself);
        let results = batch.each(requests, |item| self.to_verify(item)).await?;
        Ok(proto::BatchVerifyResponse { results })
    }

    pub(super) fn to_verify(&self, request: proto::VerifyRequest) -> Result<ToVerify, Error> {
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
        fields.signature(&request.signature, request.signature_crc32c);
        fields.no_context(&request.context);
        fields.at_most("reference", request.reference.len(), Limits::REFERENCE_BYTES);
        let parsed = (|| {
            let verify = Verify {
                key: key?,
                input: input?,
                signature: request.signature,
                algorithm: algorithm?,
                version: request.version,
                encoding: encoding?,
                accept_compromised: request.accept_compromised,
            };
            Some(ToVerify {
                verify,
                verified_input: request.input_crc32c.is_some(),
                verified_signature: request.signature_crc32c.is_some(),
                reference: request.reference,
            })
        })();
        fields.finish(parsed)
    }
}

/// A request for a signature whose form is right.
pub(super) struct ToSign {
    sign: Sign,
    priority: Priority,
    verified_input: bool,
    reference: String,
}

/// A question about a signature whose form is right.
pub(super) struct ToVerify {
    verify: Verify,
    verified_input: bool,
    verified_signature: bool,
    reference: String,
}

impl Asked for ToSign {
    type Answer = proto::SignResponse;

    fn key(&self) -> &KeyId {
        &self.sign.key
    }

    fn also(&self) -> Option<Action> {
        (self.priority == Priority::High).then_some(Action::RaisePriority)
    }

    async fn answer(self, keyring: &Keyring, mut call: Call) -> Result<proto::SignResponse, Error> {
        let Self { sign, priority, verified_input, reference } = self;
        call.priority = priority;
        let signed = keyring.sign(&call, sign).await?;
        Ok(signature(signed, verified_input, reference))
    }
}

impl Asked for ToVerify {
    type Answer = proto::VerifyResponse;

    fn key(&self) -> &KeyId {
        &self.verify.key
    }

    async fn answer(self, keyring: &Keyring, call: Call) -> Result<proto::VerifyResponse, Error> {
        let Self { verify, verified_input, verified_signature, reference } = self;
        let verified = keyring.verify(&call, verify).await?;
        Ok(verdict(&verified, verified_input, verified_signature, reference))
    }
}

/// A signature, as it is answered.
pub(super) fn signature(signed: Signed, verified_input: bool, reference: String) -> proto::SignResponse {
    proto::SignResponse {
        signature_crc32c: crc32c::crc32c(&signed.signature),
        signature: signed.signature,
        key_id: signed.key.id.to_string(),
        version: signed.version,
        algorithm: convert::algorithm(signed.algorithm).into(),
        encoding: convert::encoding(signed.encoding).into(),
        verified_input_crc32c: verified_input,
        protection_level: convert::protection(signed.protection_level).into(),
        reference,
    }
}

/// What was found out about a signature, as it is answered.
pub(super) fn verdict(
    verified: &Verified,
    verified_input: bool,
    verified_signature: bool,
    reference: String,
) -> proto::VerifyResponse {
    let valid = verified.matched.is_some();
    let (version, version_state) = match verified.matched {
        Some((version, state)) => (version, convert::state(state)),
        None => (0, proto::KeyState::Unspecified),
    };
    proto::VerifyResponse {
        valid,
        version,
        key_id: verified.key.id.to_string(),
        algorithm: convert::algorithm(verified.algorithm).into(),
        version_state: version_state.into(),
        verified_input_crc32c: verified_input,
        verified_signature_crc32c: verified_signature,
        verified_valid_integrity: valid,
        reference,
    }
}

pub(super) fn priority(fields: &mut Fields, number: i32) -> Option<Priority> {
    match fields.known("priority", number)? {
        proto::Priority::Unspecified | proto::Priority::Normal => Some(Priority::Normal),
        proto::Priority::Low => Some(Priority::Low),
        // The gate asks whether the caller may.
        proto::Priority::High => Some(Priority::High),
    }
}
