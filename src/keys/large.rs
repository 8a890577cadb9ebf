//! Signing messages of any length, and checking their signatures.
//!
//! A message comes in parts and is hashed as it comes, so that it takes no more memory than
//! a part of it. An algorithm that needs the message whole gets it whole, up to the length
//! that any call may have.
//!
//! **Invariant:** a message may take long to come, so whether the caller may, and whether
//! the key does, is decided when it begins and once more when it has ended.

use std::{future::Future, sync::Arc, time::SystemTime};

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use skms_backend::{Hash, SignInput, SignatureAlgorithm};

use super::{
    Call, Error, Keyring, Sign, Signed, Verified, Verify, known,
    sign::{Encoding, Usage, may_sign, urgency},
    verify::candidates,
};
use crate::{
    audit::InputKind,
    gate::{self, Gate, Permit},
    model::{Action, Key, KeyId},
};

/// A message that comes in parts.
pub trait Content: Send + 'static {
    /// The next part; `None` where the message has come to its end, and only there.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}

/// With what to sign a large message.
#[derive(Clone, Debug)]
pub struct SignLarge {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The version; 0: the primary.
    pub version: u32,
    /// The encoding of an ECDSA signature; `None`: DER.
    pub encoding: Option<Encoding>,
}

/// Which signature of a large message to check, and with what.
#[derive(Clone, Debug)]
pub struct VerifyLarge {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The signature.
    pub signature: Bytes,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<SignatureAlgorithm>,
    /// The version; 0: the primary, then older ones.
    pub version: u32,
    /// The encoding of an ECDSA signature; `None`: DER.
    pub encoding: Option<Encoding>,
    /// Whether compromised versions are tried too.
    pub accept_compromised: bool,
}

/// What came of a large message.
#[derive(Clone, Debug)]
pub struct Large<T, C> {
    /// What was asked for.
    pub outcome: T,
    /// What stands for the message, where it was hashed as it came.
    pub digest: Option<(Hash, Bytes)>,
    /// The message, which has come to its end.
    pub content: C,
}

impl Keyring {
    /// Signs a message that comes in parts.
    ///
    /// # Errors
    /// As [`Self::sign`]; what is wrong with a part; the algorithm needs a message whole that
    /// is too long for that.
    pub async fn sign_large<C: Content>(
        &self,
        call: &Call,
        request: SignLarge,
        mut content: C,
    ) -> Result<Large<Signed, C>, Error> {
        let (found, subject) = self.find(&request.key);
        let also = urgency(call, &subject);
        let (keyring, asked) = (self.clone(), call.clone());
        self.gate
            .admit_all(call, Action::SignMessage, subject, also, move |permit| async move {
                let SignLarge { key: name, algorithm, version, encoding } = request;
                let key = known(found)?;
                let signs = may_sign(&key, version, SystemTime::now())?;
                let algorithm = usage(&key, algorithm, encoding)?.algorithm;
                let capabilities = permit.capabilities(&signs.backend);
                let support = capabilities.and_then(|offered| offered.sign(key.key_type, algorithm));
                let hash = algorithm.hash().filter(|_| support.is_none_or(|support| support.digest));
                let (input, bytes) = keyring.whole(&mut content, algorithm, hash).await?;
                let digest = digest_of(&input);
                let key = keyring.still(&asked, &permit, &[Action::SignMessage], &key)?;
                let sign = Sign { key: name, input, algorithm: Some(algorithm), version, encoding };
                let signed = keyring.sign_with(&permit, key, sign).await;
                note(&permit, bytes);
                Ok(Large { outcome: signed?, digest, content })
            })
            .await
    }

    /// Checks the signature of a message that comes in parts. A bad or malformed one is no
    /// error.
    ///
    /// # Errors
    /// As [`Self::verify`]; what is wrong with a part; the algorithm needs a message whole
    /// that is too long for that.
    pub async fn verify_large<C: Content>(
        &self,
        call: &Call,
        request: VerifyLarge,
        mut content: C,
    ) -> Result<Large<Verified, C>, Error> {
        let (found, subject) = self.find(&request.key);
        let also = request.accept_compromised.then(|| (Action::VerifyCompromised, subject.clone()));
        let also: Vec<_> = also.into_iter().collect();
        let (keyring, asked) = (self.clone(), call.clone());
        self.gate
            .admit_all(call, Action::VerifySignature, subject, also, move |permit| async move {
                let VerifyLarge { key: name, signature, algorithm, version, encoding, accept_compromised } =
                    request;
                let key = known(found)?;
                candidates(&key, version, accept_compromised)?;
                let algorithm = usage(&key, algorithm, encoding)?.algorithm;
                let (input, bytes) = keyring.whole(&mut content, algorithm, algorithm.hash()).await?;
                let digest = digest_of(&input);
                let actions = [Action::VerifySignature, Action::VerifyCompromised];
                let actions = if accept_compromised { &actions[..] } else { &actions[..1] };
                let key = keyring.still(&asked, &permit, actions, &key)?;
                let algorithm = Some(algorithm);
                let verify =
                    Verify { key: name, input, signature, algorithm, version, encoding, accept_compromised };
                let verified = super::verify::verify_with(&permit, key, verify).await;
                note(&permit, bytes);
                Ok(Large { outcome: verified?, digest, content })
            })
            .await
    }

    /// The message, or its digest, and how long it was.
    async fn whole<C: Content>(
        &self,
        content: &mut C,
        algorithm: SignatureAlgorithm,
        hash: Option<Hash>,
    ) -> Result<(SignInput, usize), Error> {
        let mut bytes = 0;
        let Some(hash) = hash else {
            let (most, mut message) = (self.limits.message_bytes, BytesMut::new());
            while let Some(part) = content.next().await? {
                bytes += part.len();
                if bytes > most {
                    return Err(Error::NotStreamed { algorithm, most });
                }
                message.extend_from_slice(&part);
            }
            return Ok((SignInput::Message(message.freeze()), bytes));
        };
        let mut context = digest::Context::new(hash.algorithm());
        while let Some(part) = content.next().await? {
            bytes += part.len();
            context.update(&part);
        }
        let value = Bytes::copy_from_slice(context.finish().as_ref());
        Ok((SignInput::Digest { hash, value }, bytes))
    }

    /// The key as it is now, if the caller may still do all this with it.
    pub(super) fn still(
        &self,
        call: &Call,
        permit: &Permit,
        actions: &[Action],
        key: &Arc<Key>,
    ) -> Result<Arc<Key>, Error> {
        Gate::stands(call)?;
        let now = self.catalog.lookup(&key.id);
        let key = now.ok_or_else(|| Error::KeyNotFound { name: key.id.clone() })?;
        let may = actions.iter().all(|action| permit.may(*action, &key));
        if may { Ok(key) } else { Err(gate::Error::Denied.into()) }
    }
}

/// How the key is used, whatever the message.
fn usage(
    key: &Key,
    algorithm: Option<SignatureAlgorithm>,
    encoding: Option<Encoding>,
) -> Result<Usage, Error> {
    Usage::of(key, algorithm, encoding, &SignInput::Message(Bytes::new()))
}

fn digest_of(input: &SignInput) -> Option<(Hash, Bytes)> {
    match input {
        SignInput::Digest { hash, value } => Some((*hash, value.clone())),
        SignInput::Message(_) => None,
    }
}

/// What is on record is the message, however it came to the device.
fn note(permit: &Permit, bytes: usize) {
    permit.note(|facts| {
        facts.input = Some(InputKind::Message);
        facts.input_bytes = Some(bytes);
    });
}
