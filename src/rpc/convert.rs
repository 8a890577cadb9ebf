//! From the nouns of the gateway to the messages of the protocol.

use std::{num::NonZeroU64, time::SystemTime};

use bytes::Bytes;
use skms_backend::{EncryptionAlgorithm, Hash, ProtectionLevel, SignatureAlgorithm};

use crate::{
    keys::{Availability, Encoding, Shown},
    model::{Key, Origin, Purpose, State, Version},
    proto,
};

/// How much of a key to show.
#[derive(Clone, Copy)]
pub(super) struct View {
    pub(super) full: bool,
    /// One version in place of the primary; 0: the primary.
    pub(super) version: u32,
}

pub(super) fn key(shown: &Shown, view: View) -> proto::KeyResponse {
    let key = &shown.key;
    let version = key.version(view.version);
    let public_key = version.and_then(|version| version.public_key.as_ref());
    proto::KeyResponse {
        id: key.id.to_string(),
        public_key: public_key.map(skms_backend::PublicKey::to_pem).unwrap_or_default(),
        metadata: Some(proto::KeyMetadata {
            key_type: key.key_type.name().to_owned(),
            labels: key.labels.clone(),
            state: state(key.state()).into(),
            primary_version: key.primary,
            latest_version: key.latest(),
            min_protect_version: key.min_protect,
            min_process_version: key.min_process,
            etag: key.etag(),
            create_time: Some(key.created.into()),
            update_time: Some(key.updated.into()),
            destroy_time: key.destroys().map(Into::into),
            params: Some(params(key)),
            allowed_operations: key.purpose.operations().iter().map(|&name| name.to_owned()).collect(),
            versions: versions(shown, view),
            availability: availability(shown.availability).into(),
            public_key_sha256: public_key
                .map(|public_key| public_key.sha256().to_vec())
                .unwrap_or_default()
                .into(),
            owner: key.owner.clone(),
            tenant: key.tenant.clone().unwrap_or_default(),
        }),
    }
}

fn versions(shown: &Shown, view: View) -> Vec<proto::KeyVersion> {
    let Shown { key, attestation, .. } = shown;
    if !view.full {
        return Vec::new();
    }
    key.versions
        .iter()
        .filter(|version| view.version == 0 || version.number == view.version)
        .map(|shown| {
            let told = attestation.as_ref().filter(|(number, _)| *number == shown.number);
            let attestation = told.map(|(_, told)| proto::Attestation {
                format: told.format.to_owned(),
                statement: told.statement.clone(),
                cert_chain_der: told.certificates.clone(),
            });
            proto::KeyVersion { attestation, ..version(shown, key.max_operations) }
        })
        .collect()
}

/// A version of a key whose versions may do so many operations each.
pub(super) fn version(version: &Version, most: Option<NonZeroU64>) -> proto::KeyVersion {
    proto::KeyVersion {
        version: version.number,
        state: state(version.state).into(),
        protection_level: protection(version.protection_level).into(),
        backend: version.backend.to_string(),
        origin: match version.origin {
            Origin::Generated => proto::KeyOrigin::Generated,
            Origin::Imported => proto::KeyOrigin::Imported,
            Origin::Discovered => proto::KeyOrigin::Discovered,
        }
        .into(),
        public_key: version.public_key.as_ref().map(skms_backend::PublicKey::to_pem).unwrap_or_default(),
        create_time: Some(version.created.into()),
        generate_time: version.generated.map(Into::into),
        destroy_time: version.destroys.map(Into::into),
        destroy_event_time: version.destroyed.map(Into::into),
        operation_count: version.operations,
        operation_limit: most.map_or(0, NonZeroU64::get),
        failure_reason: String::new(),
        attestation: None,
    }
}

fn params(key: &Key) -> proto::KeyParams {
    proto::KeyParams {
        purpose: purpose(key.purpose).into(),
        signature_algorithms: key
            .signature_algorithms
            .iter()
            .map(|&chosen| algorithm(chosen).into())
            .collect(),
        encryption_algorithms: key
            .encryption_algorithms
            .iter()
            .map(|&chosen| encryption(chosen).into())
            .collect(),
        // Where its creator set no floor, what the key really has.
        protection_level: key
            .protection_floor
            .or_else(|| Some(key.version(0).or_else(|| key.versions.last())?.protection_level))
            .map_or(proto::ProtectionLevel::Unspecified, protection)
            .into(),
        backend: key.backend.to_string(),
        rotation_period: key.rotation_period.and_then(|period| prost_types::Duration::try_from(period).ok()),
        next_rotation_time: key.next_rotation.map(Into::into),
        destroy_scheduled_duration: prost_types::Duration::try_from(key.destroy_after).ok(),
        export_policy: proto::ExportPolicy::Never.into(),
        import_only: key.import_only,
        not_before_time: key.not_before.map(Into::into),
        expire_time: key.expires.map(Into::into),
        max_operations_per_version: key.max_operations.map_or(0, NonZeroU64::get),
        aliases: key.aliases.iter().map(ToString::to_string).collect(),
        description: key.description.clone(),
    }
}

pub(super) const fn purpose(purpose: Purpose) -> proto::KeyPurpose {
    match purpose {
        Purpose::SignVerify => proto::KeyPurpose::SignVerify,
        Purpose::EncryptDecrypt => proto::KeyPurpose::EncryptDecrypt,
        Purpose::Mac => proto::KeyPurpose::Mac,
        Purpose::KeyAgreement => proto::KeyPurpose::KeyAgreement,
    }
}

pub(super) const fn state(state: State) -> proto::KeyState {
    match state {
        State::PendingGeneration => proto::KeyState::PendingGeneration,
        State::PendingImport => proto::KeyState::PendingImport,
        State::Enabled => proto::KeyState::Enabled,
        State::Disabled => proto::KeyState::Disabled,
        State::Compromised => proto::KeyState::Compromised,
        State::DestroyScheduled => proto::KeyState::DestroyScheduled,
        State::Destroyed => proto::KeyState::Destroyed,
        State::GenerationFailed => proto::KeyState::GenerationFailed,
        State::ImportFailed => proto::KeyState::ImportFailed,
    }
}

pub(super) const fn protection(level: ProtectionLevel) -> proto::ProtectionLevel {
    match level {
        ProtectionLevel::Software => proto::ProtectionLevel::Software,
        ProtectionLevel::Tpm => proto::ProtectionLevel::Tpm,
        ProtectionLevel::Hsm => proto::ProtectionLevel::Hsm,
    }
}

pub(super) const fn availability(availability: Option<Availability>) -> proto::BackendAvailability {
    match availability {
        None => proto::BackendAvailability::Unspecified,
        Some(Availability::Available) => proto::BackendAvailability::Available,
        Some(Availability::Degraded) => proto::BackendAvailability::Degraded,
        Some(Availability::Unavailable) => proto::BackendAvailability::Unavailable,
    }
}

pub(super) const fn encoding(encoding: Option<Encoding>) -> proto::SignatureEncoding {
    match encoding {
        None => proto::SignatureEncoding::Unspecified,
        Some(Encoding::Der) => proto::SignatureEncoding::Der,
        Some(Encoding::P1363) => proto::SignatureEncoding::P1363,
    }
}

/// What stands for a message.
pub(super) fn digest((hash, value): (Hash, Bytes)) -> proto::Digest {
    let hash = match hash {
        Hash::Sha256 => proto::HashAlgorithm::Sha256,
        Hash::Sha384 => proto::HashAlgorithm::Sha384,
        Hash::Sha512 => proto::HashAlgorithm::Sha512,
    };
    proto::Digest { hash: hash.into(), value }
}

pub(super) const fn algorithm(algorithm: SignatureAlgorithm) -> proto::SignatureAlgorithm {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => proto::SignatureAlgorithm::EcdsaP256Sha256,
        SignatureAlgorithm::EcdsaP384Sha384 => proto::SignatureAlgorithm::EcdsaP384Sha384,
        SignatureAlgorithm::EcdsaP521Sha512 => proto::SignatureAlgorithm::EcdsaP521Sha512,
        SignatureAlgorithm::EcdsaSecp256k1Sha256 => proto::SignatureAlgorithm::EcdsaSecp256k1Sha256,
        SignatureAlgorithm::RsaPssSha256 => proto::SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384 => proto::SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512 => proto::SignatureAlgorithm::RsaPssSha512,
        SignatureAlgorithm::RsaPkcs1Sha256 => proto::SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPkcs1Sha384 => proto::SignatureAlgorithm::RsaPkcs1Sha384,
        SignatureAlgorithm::RsaPkcs1Sha512 => proto::SignatureAlgorithm::RsaPkcs1Sha512,
        SignatureAlgorithm::Ed25519 => proto::SignatureAlgorithm::Ed25519,
        SignatureAlgorithm::MlDsa44 => proto::SignatureAlgorithm::MlDsa44,
        SignatureAlgorithm::MlDsa65 => proto::SignatureAlgorithm::MlDsa65,
        SignatureAlgorithm::MlDsa87 => proto::SignatureAlgorithm::MlDsa87,
    }
}

pub(super) const fn encryption(algorithm: EncryptionAlgorithm) -> proto::EncryptionAlgorithm {
    match algorithm {
        EncryptionAlgorithm::Aes128Gcm => proto::EncryptionAlgorithm::Aes128Gcm,
        EncryptionAlgorithm::Aes256Gcm => proto::EncryptionAlgorithm::Aes256Gcm,
        EncryptionAlgorithm::RsaOaepSha1 => proto::EncryptionAlgorithm::RsaOaepSha1,
        EncryptionAlgorithm::RsaOaepSha256 => proto::EncryptionAlgorithm::RsaOaepSha256,
        EncryptionAlgorithm::RsaOaepSha384 => proto::EncryptionAlgorithm::RsaOaepSha384,
        EncryptionAlgorithm::RsaOaepSha512 => proto::EncryptionAlgorithm::RsaOaepSha512,
    }
}

/// A time, if it is known.
pub(super) fn timestamp(time: Option<SystemTime>) -> Option<prost_types::Timestamp> {
    time.map(Into::into)
}
