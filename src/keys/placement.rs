//! Which backend holds a new key.
//!
//! Capabilities decide, never availability: a backend that is down is an error,
//! and no key ever lands on a weaker backend because a better one was away.

use skms_backend::{EncryptionAlgorithm, KeyType, KeyTypeSupport, ProtectionLevel, SignatureAlgorithm};

use super::{BackendInfo, Error};
use crate::model::{BackendName, Origin, Purpose, Reason};

/// What a new key is to be like.
pub(super) struct Wanted<'a> {
    pub(super) key_type: KeyType,
    pub(super) purpose: Purpose,
    /// Empty: whatever the backend offers.
    pub(super) signatures: &'a [SignatureAlgorithm],
    /// Empty: whatever the backend offers.
    pub(super) encryption: &'a [EncryptionAlgorithm],
    pub(super) floor: Option<ProtectionLevel>,
    pub(super) backend: Option<&'a BackendName>,
    /// Whether its backend must make it, or take it over.
    pub(super) origin: Origin,
}

/// Where it goes, and what it can be used with there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) backend: BackendName,
    pub(super) protection_level: ProtectionLevel,
    pub(super) signatures: Vec<SignatureAlgorithm>,
    pub(super) encryption: Vec<EncryptionAlgorithm>,
}

/// What of a key type is offered for a purpose: `None` where it is not, with all that
/// was asked for.
fn offered_for(
    support: &KeyTypeSupport,
    wanted: &Wanted<'_>,
) -> Option<(Vec<SignatureAlgorithm>, Vec<EncryptionAlgorithm>)> {
    match wanted.purpose {
        Purpose::SignVerify => {
            let can: Vec<_> = support.sign.iter().map(|sign| sign.algorithm).collect();
            Some((those(&can, wanted.signatures)?, Vec::new()))
        }
        Purpose::EncryptDecrypt => {
            let can: Vec<_> = support.encrypt.iter().map(|encrypt| encrypt.algorithm).collect();
            let mut algorithms = those(&can, wanted.encryption)?;
            // Nobody is given SHA-1 who did not ask for it, where there is anything else.
            let is_last_resort =
                |algorithm: &EncryptionAlgorithm| *algorithm == EncryptionAlgorithm::RsaOaepSha1;
            if wanted.encryption.is_empty() && !algorithms.iter().all(is_last_resort) {
                algorithms.retain(|algorithm| !is_last_resort(algorithm));
            }
            Some((Vec::new(), algorithms))
        }
        Purpose::Mac => support.mac.then(Default::default),
        Purpose::KeyAgreement => support.agree.then(Default::default),
    }
}

/// What is wanted, if all of it can be had; everything where nothing is named.
fn those<T: Copy + PartialEq>(can: &[T], wanted: &[T]) -> Option<Vec<T>> {
    let all = !can.is_empty() && wanted.iter().all(|algorithm| can.contains(algorithm));
    all.then(|| if wanted.is_empty() { can.to_vec() } else { wanted.to_vec() })
}

/// The first backend, in placement order, that offers what is wanted.
pub(super) fn choose<'a>(
    backends: impl Iterator<Item = &'a BackendInfo>,
    wanted: &Wanted<'_>,
) -> Result<Place, Error> {
    let mut offered = Vec::new();
    let mut too_weak = false;
    let mut exists = false;
    for info in backends {
        let capabilities = info.capabilities();
        if wanted.backend.is_some_and(|name| name != info.name()) {
            continue;
        }
        exists = true;
        offered.extend(capabilities.key_types.iter().map(|offered| offered.key_type));
        let Some(support) = capabilities.key_type(wanted.key_type) else { continue };
        if wanted.origin == Origin::Imported && !support.import {
            continue;
        }
        let Some((signatures, encryption)) = offered_for(support, wanted) else { continue };
        let protection_level = capabilities.protection_of(wanted.key_type);
        if wanted.floor.is_some_and(|floor| protection_level < floor) {
            too_weak = true;
            continue;
        }
        return Ok(Place { backend: info.name().clone(), protection_level, signatures, encryption });
    }
    if !exists {
        return Err(Error::BackendNotFound);
    }
    if let (true, Some(floor)) = (too_weak, wanted.floor) {
        return Err(Error::ProtectionUnsatisfiable { key_type: wanted.key_type, floor });
    }
    if offered.contains(&wanted.key_type) {
        if wanted.origin == Origin::Imported {
            let why = "no backend takes over such keys from elsewhere; GetBackend lists what each offers";
            return Err(Error::invalid("key_type", Reason::UnsupportedKeyType, why));
        }
        let field = match wanted.purpose {
            Purpose::SignVerify if !wanted.signatures.is_empty() => "params.signature_algorithms",
            Purpose::EncryptDecrypt if !wanted.encryption.is_empty() => "params.encryption_algorithms",
            purpose => {
                let why = format!(
                    "no backend offers {} keys for {}; GetBackend lists what each offers",
                    wanted.key_type,
                    purpose.name()
                );
                return Err(Error::invalid("params.purpose", Reason::FieldInvalid, why));
            }
        };
        return Err(Error::invalid(
            field,
            Reason::AlgorithmNotAllowed,
            "no backend offers all of these algorithms together; GetBackend lists what each offers",
        ));
    }
    offered.sort_unstable();
    offered.dedup();
    let names: Vec<_> = offered.into_iter().map(KeyType::name).collect();
    Err(Error::invalid(
        "key_type",
        Reason::UnsupportedKeyType,
        format!("not offered by the backends; supported are {}", names.join(", ")),
    ))
}
