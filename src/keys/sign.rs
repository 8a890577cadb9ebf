//! Signing.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use skms_backend::{
    Class, Operation, Priority, ProtectionLevel, SignInput, SignatureAlgorithm, der_from_p1363,
};

use super::{Call, Error, Keyring, Violation, crypto::only, known};
use crate::{
    audit::InputKind,
    gate::{Permit, Subject, Work},
    model::{Action, Key, KeyId, Purpose, Reason, State, Version},
};

/// The encoding of an ECDSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `ECDSA-Sig-Value`, RFC 3279 §2.2.3.
    Der,
    /// r‖s of fixed width, IEEE P1363.
    P1363,
}

/// What to sign, and with what.
#[derive(Clone, Debug)]
pub struct Sign {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The message or digest.
    pub input: SignInput,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The version; 0: the primary.
    pub version: u32,
    /// The encoding of an ECDSA signature; `None`: DER.
    pub encoding: Option<Encoding>,
}

/// A signature, and what made it.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that signed.
    pub version: u32,
    /// The algorithm that was used.
    pub algorithm: SignatureAlgorithm,
    /// The encoding; `None` where there is only one.
    pub encoding: Option<Encoding>,
    /// Where the private key lives.
    pub protection_level: ProtectionLevel,
    /// The bare signature.
    pub signature: Bytes,
}

impl Keyring {
    /// Signs.
    ///
    /// # Errors
    /// There is no such key or version, or it must not sign; the algorithm or
    /// the input does not fit it; the device failed; what the gate refuses.
    pub async fn sign(&self, call: &Call, request: Sign) -> Result<Signed, Error> {
        let (found, subject) = self.find(&request.key);
        let also = urgency(call, &subject);
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::SignMessage, subject, also, move |permit| async move {
                keyring.sign_with(&permit, known(found)?, request).await
            })
            .await
    }

    /// Signs with a key that was looked up.
    pub(super) async fn sign_with(
        &self,
        permit: &Permit,
        key: Arc<Key>,
        request: Sign,
    ) -> Result<Signed, Error> {
        let version = may_sign(&key, request.version, SystemTime::now())?;
        let usage = Usage::of(&key, request.algorithm, request.encoding, &request.input)?;
        note(permit, &request.input, usage.algorithm, Some(version));
        offered(permit, version, usage.algorithm, &request.input)?;
        let (Some(device), Some(key_ref)) = (permit.device(&version.backend), &version.key) else {
            return Err(Error::BackendGone { backend: version.backend.clone() });
        };
        self.protects(permit, Work::Sign, &key, version).await?;
        let ctx = permit.context(self.limits.operation_timeout);
        let sign = async |input| {
            let ask = |inputs| device.sign(key_ref, usage.algorithm, inputs, &ctx);
            match &self.joints {
                Some(joints) => {
                    let of = (key_ref.tag, usage.algorithm, &ctx);
                    joints.sign.ask(Operation::Sign, of, input, ask).await
                }
                None => only(ask(vec![input]).await, Operation::Sign),
            }
        };
        let mut answer = sign(request.input.clone()).await;
        // A signature may be made twice, and the context that lost its
        // session, login or handle is gone by now.
        if let Err(error) = &answer
            && matches!(error.class(), Class::Session | Class::Login | Class::Handle)
        {
            answer = sign(request.input).await;
        }
        let backend = || version.backend.clone();
        let signature = answer.map_err(|source| Error::Backend { backend: backend(), source })?.0;
        Ok(Signed {
            version: version.number,
            protection_level: version.protection_level,
            algorithm: usage.algorithm,
            encoding: usage.encoding,
            signature: usage.encode(signature)?,
            key,
        })
    }
}

/// How a key is used in one call.
pub(super) struct Usage {
    pub(super) algorithm: SignatureAlgorithm,
    /// `None` for all but ECDSA.
    pub(super) encoding: Option<Encoding>,
}

/// Refuses a key that is for something else.
pub(super) fn is_for(key: &Key, wanted: Purpose) -> Result<(), Error> {
    if key.purpose == wanted {
        return Ok(());
    }
    Err(Error::OtherPurpose { key: key.id.clone(), purpose: key.purpose, wanted })
}

impl Usage {
    /// The algorithm and encoding that were asked for, if the key allows them
    /// and they fit the input.
    pub(super) fn of(
        key: &Key,
        algorithm: Option<SignatureAlgorithm>,
        encoding: Option<Encoding>,
        input: &SignInput,
    ) -> Result<Self, Error> {
        is_for(key, Purpose::SignVerify)?;
        let allowed = &key.signature_algorithms;
        let algorithm = match algorithm {
            Some(algorithm) if allowed.contains(&algorithm) => algorithm,
            Some(_) => {
                let names: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
                let names = names.join(", ");
                return Err(Error::invalid(
                    "algorithm",
                    Reason::AlgorithmNotAllowed,
                    format!("not one of this key's algorithms: {names}"),
                ));
            }
            None => *allowed.first().ok_or(Error::Internal { what: "the key has no algorithm" })?,
        };
        if let SignInput::Digest { hash, .. } = input {
            match algorithm.hash() {
                Some(expected) if expected == *hash => {}
                Some(expected) => {
                    return Err(Error::invalid(
                        "digest.hash",
                        Reason::FieldInvalid,
                        format!("{algorithm} takes a digest of {expected}"),
                    ));
                }
                None => {
                    return Err(Error::invalid(
                        "digest",
                        Reason::ParameterNotApplicable,
                        format!("{algorithm} takes the message and no digest of it"),
                    ));
                }
            }
        }
        let encoding = match (algorithm.is_ecdsa(), encoding) {
            (true, encoding) => Some(encoding.unwrap_or(Encoding::Der)),
            (false, None) => None,
            (false, Some(_)) => {
                return Err(Error::invalid(
                    "encoding",
                    Reason::ParameterNotApplicable,
                    format!("only ECDSA signatures have a choice of encodings, not those of {algorithm}"),
                ));
            }
        };
        Ok(Self { algorithm, encoding })
    }

    fn encode(&self, signature: Bytes) -> Result<Bytes, Error> {
        match self.encoding {
            Some(Encoding::Der) => der_from_p1363(&signature)
                .map(Bytes::from)
                .ok_or(Error::Internal { what: "the backend gave a malformed signature" }),
            Some(Encoding::P1363) | None => Ok(signature),
        }
    }
}

/// The version that is to sign, if it may at this time.
pub(super) fn may_sign(key: &Key, number: u32, now: SystemTime) -> Result<&Arc<Version>, Error> {
    let version = named(key, number)?;
    if version.state != State::Enabled {
        return Err(Error::State { key: key.id.clone(), version: version.number, state: version.state });
    }
    if version.number < key.min_protect {
        return Err(Error::BelowMinimum {
            key: key.id.clone(),
            version: version.number,
            minimum: key.min_protect,
        });
    }
    if key.not_before.is_some_and(|not_before| now < not_before) {
        return Err(Error::NotYetValid { key: key.id.clone() });
    }
    if key.expires.is_some_and(|expires| now >= expires) {
        return Err(Error::Expired { key: key.id.clone() });
    }
    Ok(version)
}

/// A version by its number, 0 being the primary. A key without a primary is
/// still being made.
pub(super) fn named(key: &Key, number: u32) -> Result<&Arc<Version>, Error> {
    key.version(number).ok_or_else(|| match (number, key.versions.last()) {
        (0, Some(version)) => {
            Error::State { key: key.id.clone(), version: version.number, state: version.state }
        }
        _ => Error::VersionNotFound { key: key.id.clone(), version: number },
    })
}

pub(super) fn note(
    permit: &Permit,
    input: &SignInput,
    algorithm: SignatureAlgorithm,
    version: Option<&Version>,
) {
    permit.note(|facts| {
        facts.algorithm = Some(algorithm.name());
        facts.version = version.map(|version| version.number);
        facts.backend = version.map(|version| version.backend.clone());
        let (kind, bytes) = match input {
            SignInput::Message(message) => (InputKind::Message, message.len()),
            SignInput::Digest { value, .. } => (InputKind::Digest, value.len()),
        };
        facts.input = Some(kind);
        facts.input_bytes = Some(bytes);
    });
}

/// Whether the backend signs this; asked before it is, so that what a device
/// does not offer never reaches it.
fn offered(
    permit: &Permit,
    version: &Version,
    algorithm: SignatureAlgorithm,
    input: &SignInput,
) -> Result<(), Error> {
    let backend = &version.backend;
    let capabilities =
        permit.capabilities(backend).ok_or_else(|| Error::BackendGone { backend: backend.clone() })?;
    let key_type = version.key.as_ref().map(|key| key.key_type);
    let support = key_type.and_then(|key_type| capabilities.sign(key_type, algorithm));
    let what = match (support, input) {
        (None, _) => format!("signing with {algorithm}"),
        (Some(support), SignInput::Digest { .. }) if !support.digest => {
            format!("signing a digest with {algorithm}; it takes messages only")
        }
        // What the device takes whole must fit into one of its calls.
        (Some(support), SignInput::Message(message))
            if (algorithm.hash().is_none() || !support.digest)
                && message.len() > capabilities.max_message_bytes =>
        {
            let limit = capabilities.max_message_bytes;
            let why = format!("the backend takes at most {limit} bytes of a message for {algorithm}");
            let violation = Violation::new("message", Reason::PayloadTooLarge, why);
            let violations = vec![violation.about("maxBytes", limit)];
            return Err(Error::Invalid { violations });
        }
        (Some(_), _) => return Ok(()),
    };
    Err(Error::NotOffered { backend: backend.clone(), what })
}
/// What is asked besides, where a signature is wanted before what others ask for.
pub(super) fn urgency(call: &Call, subject: &Subject) -> Vec<(Action, Subject)> {
    let is_urgent = call.priority == Priority::High;
    is_urgent.then(|| (Action::RaisePriority, subject.clone())).into_iter().collect()
}
