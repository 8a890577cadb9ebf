//! Keys and their versions.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cli::{names::name, payload::base64, text::rfc3339},
    proto::{
        Attestation, BackendAvailability, EncryptionAlgorithm, ExportPolicy, KeyMetadata, KeyOrigin,
        KeyParams, KeyPurpose, KeyResponse, KeyState, KeyVersion, ProtectionLevel, SignatureAlgorithm,
    },
};

/// A key.
#[derive(Serialize)]
pub(in crate::cli) struct KeyView {
    id: String,
    public_key: String,
    metadata: Option<MetadataView>,
}

#[derive(Serialize)]
struct MetadataView {
    key_type: String,
    labels: BTreeMap<String, String>,
    state: String,
    primary_version: u32,
    latest_version: u32,
    min_protect_version: u32,
    min_process_version: u32,
    etag: String,
    create_time: Option<String>,
    update_time: Option<String>,
    destroy_time: Option<String>,
    params: Option<ParamsView>,
    allowed_operations: Vec<String>,
    versions: Vec<VersionView>,
    availability: String,
    public_key_sha256: String,
    owner: String,
    tenant: String,
}

#[derive(Serialize)]
struct ParamsView {
    purpose: String,
    signature_algorithms: Vec<String>,
    encryption_algorithms: Vec<String>,
    protection_level: String,
    backend: String,
    rotation_period: Option<String>,
    next_rotation_time: Option<String>,
    destroy_scheduled_duration: Option<String>,
    export_policy: String,
    import_only: bool,
    not_before_time: Option<String>,
    expire_time: Option<String>,
    max_operations_per_version: u64,
    aliases: Vec<String>,
    description: String,
}

/// A version of a key.
#[derive(Serialize)]
pub(in crate::cli) struct VersionView {
    version: u32,
    state: String,
    protection_level: String,
    backend: String,
    origin: String,
    public_key: String,
    create_time: Option<String>,
    generate_time: Option<String>,
    destroy_time: Option<String>,
    destroy_event_time: Option<String>,
    operation_count: u64,
    operation_limit: u64,
    failure_reason: String,
    attestation: Option<AttestationView>,
}

#[derive(Serialize)]
struct AttestationView {
    format: String,
    statement: String,
    cert_chain_der: Vec<String>,
}

impl From<KeyResponse> for KeyView {
    fn from(key: KeyResponse) -> Self {
        let KeyResponse { id, public_key, metadata } = key;
        Self { id, public_key, metadata: metadata.map(Into::into) }
    }
}

impl From<KeyMetadata> for MetadataView {
    fn from(metadata: KeyMetadata) -> Self {
        let KeyMetadata {
            key_type,
            labels,
            state,
            primary_version,
            latest_version,
            min_protect_version,
            min_process_version,
            etag,
            create_time,
            update_time,
            destroy_time,
            params,
            allowed_operations,
            versions,
            availability,
            public_key_sha256,
            owner,
            tenant,
        } = metadata;
        Self {
            key_type,
            labels,
            state: name::<KeyState>(state),
            primary_version,
            latest_version,
            min_protect_version,
            min_process_version,
            etag,
            create_time: rfc3339(create_time.as_ref()),
            update_time: rfc3339(update_time.as_ref()),
            destroy_time: rfc3339(destroy_time.as_ref()),
            params: params.map(Into::into),
            allowed_operations,
            versions: versions.into_iter().map(Into::into).collect(),
            availability: name::<BackendAvailability>(availability),
            public_key_sha256: base64(&public_key_sha256),
            owner,
            tenant,
        }
    }
}

impl From<KeyParams> for ParamsView {
    fn from(params: KeyParams) -> Self {
        let KeyParams {
            purpose,
            signature_algorithms,
            encryption_algorithms,
            protection_level,
            backend,
            rotation_period,
            next_rotation_time,
            destroy_scheduled_duration,
            export_policy,
            import_only,
            not_before_time,
            expire_time,
            max_operations_per_version,
            aliases,
            description,
        } = params;
        Self {
            purpose: name::<KeyPurpose>(purpose),
            signature_algorithms: signature_algorithms.into_iter().map(name::<SignatureAlgorithm>).collect(),
            encryption_algorithms: encryption_algorithms
                .into_iter()
                .map(name::<EncryptionAlgorithm>)
                .collect(),
            protection_level: name::<ProtectionLevel>(protection_level),
            backend,
            rotation_period: rotation_period.map(|duration| duration.to_string()),
            next_rotation_time: rfc3339(next_rotation_time.as_ref()),
            destroy_scheduled_duration: destroy_scheduled_duration.map(|duration| duration.to_string()),
            export_policy: name::<ExportPolicy>(export_policy),
            import_only,
            not_before_time: rfc3339(not_before_time.as_ref()),
            expire_time: rfc3339(expire_time.as_ref()),
            max_operations_per_version,
            aliases,
            description,
        }
    }
}

impl From<KeyVersion> for VersionView {
    fn from(version: KeyVersion) -> Self {
        let KeyVersion {
            version: number,
            state,
            protection_level,
            backend,
            origin,
            public_key,
            create_time,
            generate_time,
            destroy_time,
            destroy_event_time,
            operation_count,
            operation_limit,
            failure_reason,
            attestation,
        } = version;
        Self {
            version: number,
            state: name::<KeyState>(state),
            protection_level: name::<ProtectionLevel>(protection_level),
            backend,
            origin: name::<KeyOrigin>(origin),
            public_key,
            create_time: rfc3339(create_time.as_ref()),
            generate_time: rfc3339(generate_time.as_ref()),
            destroy_time: rfc3339(destroy_time.as_ref()),
            destroy_event_time: rfc3339(destroy_event_time.as_ref()),
            operation_count,
            operation_limit,
            failure_reason,
            attestation: attestation.map(Into::into),
        }
    }
}

impl From<Attestation> for AttestationView {
    fn from(attestation: Attestation) -> Self {
        let Attestation { format, statement, cert_chain_der } = attestation;
        let cert_chain_der = cert_chain_der.iter().map(|certificate| base64(certificate)).collect();
        Self { format, statement: base64(&statement), cert_chain_der }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::fake;

    #[test]
    fn a_key_has_this_shape() {
        let mut key = fake::key("payroll");
        let version = KeyVersion {
            version: 1,
            attestation: Some(Attestation {
                format: "tpm".into(),
                statement: bytes::Bytes::from_static(b"\xff"),
                cert_chain_der: vec![bytes::Bytes::from_static(b"\0")],
            }),
            ..Default::default()
        };
        key.metadata.as_mut().unwrap().versions.push(version);
        let expected = json!({
            "id": "payroll",
            "public_key": "-----BEGIN PUBLIC KEY-----\n",
            "metadata": {
                "key_type": "ec-p256",
                "labels": { "env": "test" },
                "state": "enabled",
                "primary_version": 1,
                "latest_version": 2,
                "min_protect_version": 0,
                "min_process_version": 0,
                "etag": "",
                "create_time": "2026-01-01T00:00:00.500Z",
                "update_time": null,
                "destroy_time": null,
                "params": {
                    "purpose": "unspecified",
                    "signature_algorithms": ["ecdsa-p256-sha256"],
                    "encryption_algorithms": [],
                    "protection_level": "hsm",
                    "backend": "softhsm",
                    "rotation_period": null,
                    "next_rotation_time": null,
                    "destroy_scheduled_duration": null,
                    "export_policy": "unspecified",
                    "import_only": false,
                    "not_before_time": null,
                    "expire_time": null,
                    "max_operations_per_version": 0,
                    "aliases": [],
                    "description": "",
                },
                "allowed_operations": [],
                "versions": [{
                    "version": 1,
                    "state": "unspecified",
                    "protection_level": "unspecified",
                    "backend": "",
                    "origin": "unspecified",
                    "public_key": "",
                    "create_time": null,
                    "generate_time": null,
                    "destroy_time": null,
                    "destroy_event_time": null,
                    "operation_count": 0,
                    "operation_limit": 0,
                    "failure_reason": "",
                    "attestation": { "format": "tpm", "statement": "/w==", "cert_chain_der": ["AA=="] },
                }],
                "availability": "unspecified",
                "public_key_sha256": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
                "owner": "",
                "tenant": "",
            },
        });
        assert_eq!(serde_json::to_value(KeyView::from(key)).unwrap(), expected);
    }
}
