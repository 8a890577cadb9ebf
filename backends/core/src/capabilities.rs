//! What a device can do, as data read from the device.

use serde::{Deserialize, Serialize};

use crate::{EncryptionAlgorithm, KeyType, Salting, SignatureAlgorithm};

/// Where a private key lives, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtectionLevel {
    /// In the memory of the gateway, encrypted at rest.
    Software,
    /// In a TPM 2.0.
    Tpm,
    /// In a hardware security module.
    Hsm,
}

impl ProtectionLevel {
    /// The name in configuration files and listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::Tpm => "tpm",
            Self::Hsm => "hsm",
        }
    }
}

/// What a backend offers. The conformance suite demands that everything listed
/// here works and that everything else is refused as unsupported.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Where keys of this backend live.
    pub protection_level: ProtectionLevel,
    /// What stands behind the backend.
    pub identity: DeviceIdentity,
    /// The key types that can be made, in the order of [`KeyType::ALL`].
    pub key_types: Vec<KeyTypeSupport>,
    /// Those of them whose keys the device only keeps: while they are used they are in the
    /// memory of the gateway, and so are protected as those of software are.
    pub kept_only: Vec<KeyType>,
    /// The longest message that one call may carry where the device hashes, in bytes.
    pub max_message_bytes: usize,
    /// The longest input of a message authentication code, in bytes.
    pub max_mac_bytes: usize,
    /// How many random bytes the device gives in one call; 0: it gives none.
    pub max_random_bytes: usize,
}

impl Capabilities {
    /// What is offered for a key type, if it can be made at all.
    #[must_use]
    pub fn key_type(&self, key_type: KeyType) -> Option<&KeyTypeSupport> {
        self.key_types.iter().find(|offered| offered.key_type == key_type)
    }

    /// Where keys of a type live while they are used.
    #[must_use]
    pub fn protection_of(&self, key_type: KeyType) -> ProtectionLevel {
        if self.kept_only.contains(&key_type) { ProtectionLevel::Software } else { self.protection_level }
    }

    /// What is offered for signing with a key of a type, if anything.
    #[must_use]
    pub fn sign(&self, key_type: KeyType, algorithm: SignatureAlgorithm) -> Option<&SignSupport> {
        self.key_type(key_type)?.sign.iter().find(|offered| offered.algorithm == algorithm)
    }

    /// What is offered for encrypting with a key of a type, if anything.
    #[must_use]
    pub fn encrypt(&self, key_type: KeyType, algorithm: EncryptionAlgorithm) -> Option<&EncryptSupport> {
        self.key_type(key_type)?.encrypt.iter().find(|offered| offered.algorithm == algorithm)
    }
}

/// What a device offers for one key type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTypeSupport {
    /// The key type.
    pub key_type: KeyType,
    /// The signature algorithms, the preferred one first.
    pub sign: Vec<SignSupport>,
    /// The encryption algorithms, the preferred one first.
    pub encrypt: Vec<EncryptSupport>,
    /// Whether such keys make message authentication codes (HMAC).
    pub mac: bool,
    /// Whether such keys agree on secrets.
    pub agree: bool,
    /// Whether the device takes material of this type that was made elsewhere.
    pub import: bool,
}

impl KeyTypeSupport {
    /// A key type that is offered for nothing yet.
    #[must_use]
    pub const fn new(key_type: KeyType) -> Self {
        Self { key_type, sign: Vec::new(), encrypt: Vec::new(), mac: false, agree: false, import: false }
    }
}

/// What a device offers for one signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignSupport {
    /// The algorithm.
    pub algorithm: SignatureAlgorithm,
    /// Whether a digest can be signed; `false` where only whole messages can.
    pub digest: bool,
}

/// What a device offers for one encryption algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptSupport {
    /// The algorithm.
    pub algorithm: EncryptionAlgorithm,
    /// What a salt is to it; `None` where there is no salt (RSAES-OAEP).
    pub salting: Option<Salting>,
}

/// What stands behind a backend, for operators and auditors. Empty where the
/// device does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// The kind of backend: `pkcs11`, `tpm` or `software`.
    pub kind: String,
    /// The maker of the device.
    pub manufacturer: String,
    /// The model of the device.
    pub model: String,
    /// The serial number of the device or token.
    pub serial: String,
    /// The label of the token.
    pub label: String,
    /// The firmware version of the device.
    pub firmware: String,
    /// The library through which the device is reached, with its version.
    pub library: String,
}
