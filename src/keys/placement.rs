//! Which backend holds a new key.
//!
//! Capabilities decide, never availability: a backend that is down is an error,
//! and no key ever lands on a weaker backend because a better one was away.

use skms_backend::{KeyType, ProtectionLevel, SignatureAlgorithm};

use super::{BackendInfo, Error};
use crate::model::{BackendName, Reason};

/// What a new key is to be like.
pub(super) struct Wanted<'a> {
    pub(super) key_type: KeyType,
    /// Empty: whatever the backend offers.
    pub(super) algorithms: &'a [SignatureAlgorithm],
    pub(super) floor: Option<ProtectionLevel>,
    pub(super) backend: Option<&'a BackendName>,
}

/// Where it goes, and what it can be used with there.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) backend: BackendName,
    pub(super) protection_level: ProtectionLevel,
    pub(super) algorithms: Vec<SignatureAlgorithm>,
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
        let can: Vec<_> = support.sign.iter().map(|sign| sign.algorithm).collect();
        if !wanted.algorithms.iter().all(|algorithm| can.contains(algorithm)) {
            continue;
        }
        if wanted.floor.is_some_and(|floor| capabilities.protection_level < floor) {
            too_weak = true;
            continue;
        }
        let algorithms = if wanted.algorithms.is_empty() { can } else { wanted.algorithms.to_vec() };
        return Ok(Place {
            backend: info.name().clone(),
            protection_level: capabilities.protection_level,
            algorithms,
        });
    }
    if !exists {
        return Err(Error::BackendNotFound);
    }
    if let (true, Some(floor)) = (too_weak, wanted.floor) {
        return Err(Error::ProtectionUnsatisfiable { key_type: wanted.key_type, floor });
    }
    if offered.contains(&wanted.key_type) {
        return Err(Error::invalid(
            "params.signature_algorithms",
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
