//! What is in a backup, and what is not: the keys that devices keep to themselves.

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::{catalog::Snapshot, model::State};

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of skms that made it.
    pub made_by: String,
    /// How many keys there are.
    pub keys: usize,
    /// How many versions have their material in it, encrypted under the master key of their
    /// backend or wrapped by its TPM, neither of which is in it.
    pub sealed_versions: usize,
    /// The versions whose material is in a device, and therefore not in it.
    pub device_versions: Vec<DeviceVersion>,
}

/// A version of a key that lives in a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceVersion {
    /// The key.
    pub key_id: String,
    /// The number of the version.
    pub version: u32,
    /// Its state.
    pub state: String,
    /// The backend with the device.
    pub backend: String,
    /// The tag under which the device knows it, in hexadecimal digits (`CKA_ID`).
    pub tag: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo, DER), in hexadecimal digits.
    pub public_key_sha256: Option<String>,
    /// What tells a secret key from every other, in hexadecimal digits.
    pub check_value: Option<String>,
}

impl Manifest {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut manifest = Self {
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            keys: snapshot.keys.len(),
            sealed_versions: 0,
            device_versions: Vec::new(),
        };
        let versions =
            snapshot.keys.iter().flat_map(|key| key.versions.iter().map(move |version| (key, version)));
        for (key, version) in versions {
            let Some(material) = &version.key else { continue };
            if !has_material(version.state) {
                continue;
            }
            if !material.blob.is_empty() {
                manifest.sealed_versions += 1;
                continue;
            }
            manifest.device_versions.push(DeviceVersion {
                key_id: key.id.to_string(),
                version: version.number,
                state: version.state.name().to_owned(),
                backend: version.backend.to_string(),
                tag: material.tag.to_string(),
                public_key_sha256: version
                    .public_key
                    .as_ref()
                    .map(|key| hex::encode(digest(&SHA256, key.spki_der().as_ref()))),
                check_value: version.check_value.map(|value| hex::encode(value.0)),
            });
        }
        manifest
    }
}

/// Whether there is anything that could be lost.
const fn has_material(state: State) -> bool {
    match state {
        State::Enabled | State::Disabled | State::Compromised | State::DestroyScheduled => true,
        State::PendingGeneration
        | State::PendingImport
        | State::Destroyed
        | State::GenerationFailed
        | State::ImportFailed => false,
    }
}
