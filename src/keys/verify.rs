//! Checking signatures, in software, for every backend.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{SignInput, SignatureAlgorithm, p1363_from_der};

use super::{
    Call, Error, Keyring, Limits, known,
    sign::{Encoding, Usage, named, note},
};
use crate::{
    gate::{Permit, Work},
    model::{Action, Key, KeyId, State, Version},
};

/// What to check.
#[derive(Clone, Debug)]
pub struct Verify {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The message or digest.
    pub input: SignInput,
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

/// Whether a signature is valid.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The algorithm that was used.
    pub algorithm: SignatureAlgorithm,
    /// The version that matched, with its state; `None`: the signature is not valid.
    pub matched: Option<(u32, State)>,
}

impl Keyring {
    /// Checks a signature. A bad or malformed one is no error.
    ///
    /// # Errors
    /// There is no such key or version, or it must not verify; the algorithm or
    /// the input does not fit it; what the gate refuses.
    pub async fn verify(&self, call: &Call, request: Verify) -> Result<Verified, Error> {
        let (found, subject) = self.find(&request.key);
        let also = request.accept_compromised.then(|| (Action::VerifyCompromised, subject.clone()));
        let also = also.into_iter().collect();
        self.gate
            .admit_all(call, Action::VerifySignature, subject, also, move |permit| async move {
                verify_with(&permit, known(found)?, request).await
            })
            .await
    }
}

/// Checks a signature with a key that was looked up.
pub(super) async fn verify_with(permit: &Permit, key: Arc<Key>, request: Verify) -> Result<Verified, Error> {
    // The state before all else, as where it signs.
    let candidates = candidates(&key, request.version, request.accept_compromised)?;
    let usage = Usage::of(&key, request.algorithm, request.encoding, &request.input)?;
    let algorithm = usage.algorithm;
    note(permit, &request.input, algorithm, None);
    let signature = match (usage.encoding, key.key_type.field_bytes()) {
        (Some(Encoding::Der), Some(width)) => p1363_from_der(&request.signature, width).map(Bytes::from),
        _ => Some(request.signature),
    };
    let mut matched = None;
    for version in candidates {
        let (Some(public_key), Some(signature)) = (&version.public_key, &signature) else {
            continue;
        };
        permit.charge(Work::Verify, &key, version.protection_level)?;
        if public_key.verify(algorithm, &request.input, signature) {
            matched = Some((version.number, version.state));
            break;
        }
        // Each try costs a fraction of a millisecond; others get a turn between.
        tokio::task::yield_now().await;
    }
    permit.note(|facts| facts.version = matched.map(|(number, _)| number));
    Ok(Verified { key: Arc::clone(&key), algorithm, matched })
}

/// The versions to try, in order. With a number that one, if it may verify; with
/// 0 the primary and then older ones that may, the newest first.
pub(super) fn candidates(
    key: &Key,
    number: u32,
    accept_compromised: bool,
) -> Result<Vec<&Arc<Version>>, Error> {
    let first = named(key, number)?;
    let refusal = may_process(key, first, accept_compromised);
    if number != 0 {
        return refusal.map(|()| vec![first]);
    }
    let candidates: Vec<_> = key
        .versions
        .iter()
        .rev()
        .filter(|version| version.number <= first.number)
        .filter(|version| may_process(key, version, accept_compromised).is_ok())
        .take(Limits::VERIFY_VERSIONS)
        .collect();
    // Where none may, the primary says why.
    if candidates.is_empty() { refusal.map(|()| candidates) } else { Ok(candidates) }
}

pub(super) fn may_process(key: &Key, version: &Version, accept_compromised: bool) -> Result<(), Error> {
    match version.state {
        State::Enabled => {}
        State::Compromised if accept_compromised => {}
        state => {
            return Err(Error::State { key: key.id.clone(), version: version.number, state });
        }
    }
    if version.number < key.min_process {
        return Err(Error::BelowMinimum {
            key: key.id.clone(),
            version: version.number,
            minimum: key.min_process,
        });
    }
    Ok(())
}
