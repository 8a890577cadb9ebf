//! What comes or goes in streams: many signatures, large messages, many keys.

use futures_util::{StreamExt as _, stream::FuturesOrdered};
use tonic::Streaming;

use super::{
    Service,
    signatures::{priority, signature, verdict},
};
use crate::{
    keys::{Call, Error, Large, Limits, SignLarge, VerifyLarge},
    model::{Action, Reason, Rpc},
    proto,
    rpc::{
        convert,
        incoming::Incoming,
        large::{self, Chunks, PARAMETERS},
        parse::Fields,
        status,
        stream::{Answers, Exchange, closing, violation},
    },
};

/// How many keys of one stream are made at once: a small part of the queue of a device.
const IN_FLIGHT: usize = 16;

impl Service {
    pub(super) fn sign_each(
        &self,
        call: Call,
        messages: Streaming<proto::SignStreamRequest>,
    ) -> Answers<proto::SignStreamResponse> {
        let exchange = self.exchange(call, Action::SignMessage, Rpc::SignMessage);
        let service = self.clone();
        exchange.serve(messages, move |item| service.to_sign(item))
    }

    pub(super) fn verify_each(
        &self,
        call: Call,
        messages: Streaming<proto::VerifyStreamRequest>,
    ) -> Answers<proto::VerifyStreamResponse> {
        let exchange = self.exchange(call, Action::VerifySignature, Rpc::VerifySignature);
        let service = self.clone();
        exchange.serve(messages, move |item| service.to_verify(item))
    }

    fn exchange(&self, call: Call, action: Action, rpc: Rpc) -> Exchange {
        Exchange { keyring: self.keyring.clone(), call, action, rpc }
    }

    pub(super) async fn sign_large(
        &self,
        call: &Call,
        messages: Streaming<proto::SignLargeMessageRequest>,
    ) -> Result<proto::SignLargeMessageResponse, Error> {
        let mut incoming = Incoming::new(messages, &self.keyring);
        let proto::SignLargeMessageStart { parameters, declared_size } = large::start(&mut incoming).await?;
        let parameters = parameters.unwrap_or_default();
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &parameters.key_id);
        let algorithm = fields.algorithm("algorithm", parameters.algorithm);
        let encoding = fields.encoding("encoding", parameters.encoding);
        let priority = priority(&mut fields, parameters.priority);
        fields.no_context(&parameters.context);
        no_input(&mut fields, parameters.input.is_some(), parameters.input_crc32c);
        fields.at_most("reference", parameters.reference.len(), Limits::REFERENCE_BYTES);
        let version = parameters.version;
        let parsed = (|| {
            let sign = SignLarge { key: key?, algorithm: algorithm?, version, encoding: encoding? };
            Some((sign, priority?))
        })();
        let (sign, priority) = fields.within(PARAMETERS).finish(parsed)?;
        let call = Call { priority, ..call.clone() };
        let chunks = Chunks::new(incoming, declared_size);
        let Large { outcome, digest, content } = self.keyring.sign_large(&call, sign, chunks).await?;
        Ok(proto::SignLargeMessageResponse {
            signature: Some(signature(outcome, content.is_verified(), parameters.reference)),
            digest: digest.map(convert::digest),
        })
    }

    pub(super) async fn verify_large(
        &self,
        call: &Call,
        messages: Streaming<proto::VerifyLargeMessageRequest>,
    ) -> Result<proto::VerifyLargeMessageResponse, Error> {
        let mut incoming = Incoming::new(messages, &self.keyring);
        let proto::VerifyLargeMessageStart { parameters, declared_size } =
            large::start(&mut incoming).await?;
        let parameters = parameters.unwrap_or_default();
        let mut fields = Fields::default();
        let key = fields.required_key_id("key_id", &parameters.key_id);
        let algorithm = fields.algorithm("algorithm", parameters.algorithm);
        let encoding = fields.encoding("encoding", parameters.encoding);
        fields.signature(&parameters.signature, parameters.signature_crc32c);
        fields.no_context(&parameters.context);
        no_input(&mut fields, parameters.input.is_some(), parameters.input_crc32c);
        fields.at_most("reference", parameters.reference.len(), Limits::REFERENCE_BYTES);
        let verified_signature = parameters.signature_crc32c.is_some();
        let parsed = (|| {
            Some(VerifyLarge {
                key: key?,
                signature: parameters.signature,
                algorithm: algorithm?,
                version: parameters.version,
                encoding: encoding?,
                accept_compromised: parameters.accept_compromised,
            })
        })();
        let verify = fields.within(PARAMETERS).finish(parsed)?;
        let chunks = Chunks::new(incoming, declared_size);
        let Large { outcome, digest, content } = self.keyring.verify_large(call, verify, chunks).await?;
        let (verified, reference) = (content.is_verified(), parameters.reference);
        Ok(proto::VerifyLargeMessageResponse {
            verification: Some(verdict(&outcome, verified, verified_signature, reference)),
            digest: digest.map(convert::digest),
        })
    }

    pub(super) async fn create_each(
        &self,
        call: &Call,
        messages: Streaming<proto::BatchCreateKeysRequest>,
    ) -> Result<proto::BatchCreateKeysResponse, Error> {
        let mut incoming = Incoming::new(messages, &self.keyring);
        let most = self.keyring.limits().batch_items;
        let (mut running, mut results) = (FuturesOrdered::new(), Vec::new());
        let (mut number, mut ended) = (0_u32, None);
        loop {
            let (at_work, is_idle) = (running.len(), running.is_empty());
            tokio::select! {
                biased;
                Some(result) = running.next(), if !is_idle => results.push(result),
                () = self.keyring.stopping().cancelled(), if ended.is_none() => ended = Some(Err(closing())),
                message = incoming.next(is_idle), if ended.is_none() && at_work < IN_FLIGHT => {
                    match message {
                        Ok(None) => ended = Some(Ok(())),
                        Err(error) => ended = Some(Err(error)),
                        Ok(Some(_)) if results.len() + at_work >= most => {
                            let why = format!("more than the limit of {most} keys; the first {most} are done");
                            ended = Some(Err(violation("key", &why)));
                        }
                        Ok(Some(item)) => {
                            running.push_back(self.create_one(call, number, item));
                            number = number.saturating_add(1);
                        }
                    }
                }
                else => break,
            }
        }
        // What was made is not undone by what came after it.
        ended.unwrap_or(Ok(()))?;
        let created = results.iter().filter(|result| is_made(result)).count();
        let [created, failed] =
            [created, results.len() - created].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        Ok(proto::BatchCreateKeysResponse { results, created, failed })
    }

    async fn create_one(
        &self,
        call: &Call,
        number: u32,
        item: proto::BatchCreateKeysRequest,
    ) -> proto::BatchCreateKeysResult {
        let call = Call { item: Some(number), ..call.clone() };
        let proto::BatchCreateKeysRequest { key, reference } = item;
        let checked = (|| {
            self.keyring.charge_item(&call, Rpc::CreateKey, number)?;
            let mut fields = Fields::default();
            fields.at_most("reference", reference.len(), Limits::REFERENCE_BYTES);
            if key.is_none() {
                fields.fail("key", Reason::FieldRequired, "the key to make");
            }
            self.to_create(fields.finish(key)?)
        })();
        let outcome = match checked {
            Ok(create) => self.created(&call, create).await,
            Err(error) => Err(self.keyring.refuse(&call, Action::CreateKey, error).await),
        };
        let result = match outcome {
            Ok(key) => proto::batch_create_keys_result::Result::Key(Box::new(key)),
            Err(error) => {
                proto::batch_create_keys_result::Result::Error(status::of_item(&error, &call.request_id))
            }
        };
        proto::BatchCreateKeysResult { result: Some(result), reference }
    }
}

/// The message comes in chunks.
fn no_input(fields: &mut Fields, has_input: bool, crc32c: Option<u32>) {
    if has_input {
        fields.fail("input", Reason::ParameterNotApplicable, "the message comes in chunks");
    }
    if crc32c.is_some() {
        let why = "the checksum of the message comes with its end";
        fields.fail("input_crc32c", Reason::ParameterNotApplicable, why);
    }
}

fn is_made(result: &proto::BatchCreateKeysResult) -> bool {
    matches!(result.result, Some(proto::batch_create_keys_result::Result::Key(_)))
}
