//! Backends.

use serde::Serialize;

use crate::{
    cli::{names::name, text::rfc3339},
    proto::{
        Backend, BackendAvailability, DeviceIdentity, EncryptionAlgorithm, KeyTypeSupport, Pool,
        ProtectionLevel, SignatureAlgorithm, SignatureAlgorithmSupport,
    },
};

/// A backend.
#[derive(Serialize)]
pub(in crate::cli) struct BackendView {
    name: String,
    identity: Option<IdentityView>,
    protection_level: String,
    availability: String,
    probe_time: Option<String>,
    probe_duration: Option<String>,
    key_types: Vec<KeyTypeView>,
    pool: Option<PoolView>,
}

#[derive(Serialize)]
struct IdentityView {
    kind: String,
    manufacturer: String,
    model: String,
    serial: String,
    label: String,
    firmware: String,
    library: String,
}

#[derive(Serialize)]
struct KeyTypeView {
    key_type: String,
    signature_algorithms: Vec<AlgorithmView>,
    encryption_algorithms: Vec<String>,
    mac: bool,
    key_agreement: bool,
    import: bool,
    protection_level: String,
}

#[derive(Serialize)]
struct AlgorithmView {
    algorithm: String,
    digest: bool,
}

#[derive(Serialize)]
struct PoolView {
    contexts: u32,
    busy: u32,
    failed: u32,
    queued: u32,
    queue_capacity: u32,
    quarantined: u32,
}

impl From<Backend> for BackendView {
    fn from(backend: Backend) -> Self {
        let Backend {
            name: id,
            identity,
            protection_level,
            availability,
            probe_time,
            probe_duration,
            key_types,
            pool,
        } = backend;
        Self {
            name: id,
            identity: identity.map(Into::into),
            protection_level: name::<ProtectionLevel>(protection_level),
            availability: name::<BackendAvailability>(availability),
            probe_time: rfc3339(probe_time.as_ref()),
            probe_duration: probe_duration.map(|duration| duration.to_string()),
            key_types: key_types.into_iter().map(Into::into).collect(),
            pool: pool.map(Into::into),
        }
    }
}

impl From<DeviceIdentity> for IdentityView {
    fn from(identity: DeviceIdentity) -> Self {
        let DeviceIdentity { kind, manufacturer, model, serial, label, firmware, library } = identity;
        Self { kind, manufacturer, model, serial, label, firmware, library }
    }
}

impl From<KeyTypeSupport> for KeyTypeView {
    fn from(support: KeyTypeSupport) -> Self {
        let KeyTypeSupport {
            key_type,
            signature_algorithms,
            encryption_algorithms,
            mac,
            key_agreement,
            import,
            protection_level,
        } = support;
        Self {
            key_type,
            signature_algorithms: signature_algorithms.into_iter().map(Into::into).collect(),
            encryption_algorithms: encryption_algorithms
                .into_iter()
                .map(name::<EncryptionAlgorithm>)
                .collect(),
            mac,
            key_agreement,
            import,
            protection_level: name::<ProtectionLevel>(protection_level),
        }
    }
}

impl From<SignatureAlgorithmSupport> for AlgorithmView {
    fn from(support: SignatureAlgorithmSupport) -> Self {
        let SignatureAlgorithmSupport { algorithm, digest } = support;
        Self { algorithm: name::<SignatureAlgorithm>(algorithm), digest }
    }
}

impl From<Pool> for PoolView {
    fn from(pool: Pool) -> Self {
        let Pool { contexts, busy, failed, queued, queue_capacity, quarantined } = pool;
        Self { contexts, busy, failed, queued, queue_capacity, quarantined }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::fake;

    #[test]
    fn a_backend_has_this_shape() {
        let expected = json!({
            "name": "softhsm",
            "identity": {
                "kind": "pkcs11", "manufacturer": "", "model": "", "serial": "", "label": "token",
                "firmware": "", "library": "",
            },
            "protection_level": "hsm",
            "availability": "degraded",
            "probe_time": null,
            "probe_duration": null,
            "key_types": [{
                "key_type": "ec-p256",
                "signature_algorithms": [{ "algorithm": "ecdsa-p256-sha256", "digest": true }],
                "encryption_algorithms": [],
                "mac": false,
                "key_agreement": false,
                "import": false,
                "protection_level": "unspecified",
            }],
            "pool": { "contexts": 8, "busy": 3, "failed": 1, "queued": 0, "queue_capacity": 64, "quarantined": 2 },
        });
        assert_eq!(serde_json::to_value(BackendView::from(fake::backend())).unwrap(), expected);
    }
}
