//! A key and its versions, as the catalog keeps them.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use skms_backend::{
    CheckValue, EncryptionAlgorithm, KeyRef, KeySpec, KeyType, ProtectionLevel, PublicKey,
    SignatureAlgorithm, Usage,
};
use uuid::Uuid;

use super::{BackendName, KeyId, State};

/// The user's labels.
pub type Labels = BTreeMap<String, String>;

/// What a key is for. One per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Signing and verifying.
    SignVerify,
    /// Encrypting and decrypting.
    EncryptDecrypt,
    /// Message authentication codes.
    Mac,
    /// Agreeing on secrets with the owners of other keys.
    KeyAgreement,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 4] = [Self::SignVerify, Self::EncryptDecrypt, Self::Mac, Self::KeyAgreement];

    /// The name in filters and the catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignVerify => "sign-verify",
            Self::EncryptDecrypt => "encrypt-decrypt",
            Self::Mac => "mac",
            Self::KeyAgreement => "key-agreement",
        }
    }

    /// What a key of this type is for when nobody says.
    #[must_use]
    pub const fn of(key_type: KeyType) -> Self {
        match key_type {
            KeyType::Aes128 | KeyType::Aes256 => Self::EncryptDecrypt,
            KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => Self::Mac,
            KeyType::X25519 => Self::KeyAgreement,
            _ => Self::SignVerify,
        }
    }

    /// Whether a key of this type can be for it at all.
    #[must_use]
    pub fn fits(self, key_type: KeyType) -> bool {
        match self {
            Self::SignVerify => SignatureAlgorithm::of(key_type).next().is_some(),
            Self::EncryptDecrypt => EncryptionAlgorithm::of(key_type).next().is_some(),
            Self::Mac => key_type.mac_hash().is_some(),
            Self::KeyAgreement => key_type.agrees(),
        }
    }

    /// The purpose of a key that is used so.
    #[must_use]
    pub const fn behind(usage: &Usage) -> Self {
        match usage {
            Usage::Sign(_) => Self::SignVerify,
            Usage::Encrypt(_) => Self::EncryptDecrypt,
            Usage::Mac => Self::Mac,
            Usage::Agree => Self::KeyAgreement,
        }
    }

    /// What a caller can do with such a key.
    #[must_use]
    pub const fn operations(self) -> &'static [&'static str] {
        match self {
            Self::SignVerify => &["sign", "verify"],
            Self::EncryptDecrypt => &["encrypt", "decrypt"],
            Self::Mac => &["mac", "verify-mac"],
            Self::KeyAgreement => &["derive"],
        }
    }
}

/// How the material of a version came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Made by the backend that holds it.
    Generated,
    /// Made elsewhere, and given to the backend.
    Imported,
    /// On the device before the gateway knew it, and taken over.
    Discovered,
}

/// A key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The id, never used twice.
    pub id: KeyId,
    /// The same as a number, which stands in every ciphertext.
    #[serde(default)]
    pub uid: Uuid,
    /// The material of every version.
    pub key_type: KeyType,
    /// What it is for.
    pub purpose: Purpose,
    /// What it may sign with; the first is the default. Empty where it does not sign.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
    /// What it may encrypt with; the first is the default. Empty where it does not.
    #[serde(default)]
    pub encryption_algorithms: Vec<EncryptionAlgorithm>,
    /// The least protection that its owner asked for.
    pub protection_floor: Option<ProtectionLevel>,
    /// The backend that holds new versions.
    pub backend: BackendName,
    /// The user's labels.
    pub labels: Labels,
    /// Other names.
    pub aliases: Vec<KeyId>,
    /// A sentence for people.
    pub description: String,
    /// Whether every version of it is imported, and none is made here.
    #[serde(default)]
    pub import_only: bool,
    /// Who created it.
    pub owner: String,
    /// The tenant it belongs to, which is its creator's.
    pub tenant: Option<String>,
    /// Before this time it does not sign.
    pub not_before: Option<SystemTime>,
    /// From this time on it does not sign.
    pub expires: Option<SystemTime>,
    /// The time of expiry that was warned of.
    #[serde(default)]
    pub expiry_warned: Option<SystemTime>,
    /// How often each version may protect something; `None`: as often as is safe.
    #[serde(default)]
    pub max_operations: Option<NonZeroU64>,
    /// How long a version stays restorable after its destruction was scheduled.
    pub destroy_after: Duration,
    /// How often the gateway rotates it by itself; `None`: never.
    #[serde(default)]
    pub rotation_period: Option<Duration>,
    /// When it does so next; `None`: not until that is said. Never without a period.
    #[serde(default)]
    pub next_rotation: Option<SystemTime>,
    /// The version that signs when none is named; 0 while there is none yet.
    pub primary: u32,
    /// Versions below this one do not sign.
    pub min_protect: u32,
    /// Versions below this one do not verify.
    pub min_process: u32,
    /// The revision of the catalog in which it last changed.
    pub revision: u64,
    /// When it was created.
    pub created: SystemTime,
    /// When it last changed.
    pub updated: SystemTime,
    /// Every version, the oldest first.
    pub versions: Vec<Arc<Version>>,
}

impl Key {
    /// A version by its number; 0 means the primary.
    #[must_use]
    pub fn version(&self, number: u32) -> Option<&Arc<Version>> {
        let number = if number == 0 { self.primary } else { number };
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get(at)
    }

    /// The number of the newest version.
    #[must_use]
    pub fn latest(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// The state that is shown for the key: its primary version's, or that of the
    /// only version while that is being made.
    #[must_use]
    pub fn state(&self) -> State {
        self.version(0)
            .or_else(|| self.versions.last())
            .map_or(State::PendingGeneration, |version| version.state)
    }

    /// Whether a version of it may be material that was made elsewhere.
    #[must_use]
    pub fn takes_imports(&self) -> bool {
        self.import_only || self.versions.iter().all(|version| version.origin == Origin::Imported)
    }

    /// What a backend must know to make a version of it.
    #[must_use]
    pub fn spec(&self) -> KeySpec {
        let usage = match self.purpose {
            Purpose::SignVerify => Usage::Sign(self.signature_algorithms.clone()),
            Purpose::EncryptDecrypt => Usage::Encrypt(self.encryption_algorithms.clone()),
            Purpose::Mac => Usage::Mac,
            Purpose::KeyAgreement => Usage::Agree,
        };
        KeySpec { key_type: self.key_type, usage }
    }

    /// Whether nothing is left of it but its id.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|version| version.state == State::Destroyed)
    }

    /// What a caller gives back to say which state of the key it has seen.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{:x}", self.revision)
    }
}

/// One version of a key: one piece of key material.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Version {
    /// 1, 2, 3 … within the key.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// The backend that holds it.
    pub backend: BackendName,
    /// Where it really lives.
    pub protection_level: ProtectionLevel,
    /// How it came to be.
    pub origin: Origin,
    /// How the backend knows it. Not part of an answer that is kept to be
    /// repeated, which must not hold sealed keys; nor is there one after the
    /// destruction.
    #[serde(skip)]
    pub key: Option<KeyRef>,
    /// The public half, once there is one.
    pub public_key: Option<PublicKey>,
    /// What tells a secret key, which has no public half, from every other.
    #[serde(default)]
    pub check_value: Option<CheckValue>,
    /// How many operations it was given, where they are counted: what is left of the last
    /// of them is not done yet.
    #[serde(default)]
    pub operations: u64,
    /// When it was asked for.
    pub created: SystemTime,
    /// When its material was made.
    pub generated: Option<SystemTime>,
    /// When it was marked as compromised, which is for good.
    #[serde(default)]
    pub compromised: Option<SystemTime>,
    /// When it will be destroyed, or was to be; `None`: that is not scheduled.
    #[serde(default)]
    pub destroys: Option<SystemTime>,
    /// When its material was destroyed.
    #[serde(default)]
    pub destroyed: Option<SystemTime>,
}

#[cfg(test)]
impl Key {
    /// A P-256 key in use, with one version.
    pub(crate) fn sample(id: &str) -> Self {
        let version = Version::sample(1, State::Enabled);
        Self {
            id: id.parse().unwrap(),
            uid: Uuid::nil(),
            key_type: KeyType::EcP256,
            purpose: Purpose::SignVerify,
            signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256],
            encryption_algorithms: Vec::new(),
            protection_floor: None,
            backend: version.backend.clone(),
            labels: Labels::new(),
            aliases: Vec::new(),
            description: String::new(),
            import_only: false,
            owner: "test/admin".to_owned(),
            tenant: None,
            not_before: None,
            expires: None,
            max_operations: None,
            expiry_warned: None,
            destroy_after: Duration::from_secs(86_400),
            rotation_period: None,
            next_rotation: None,
            primary: 1,
            min_protect: 0,
            min_process: 0,
            revision: 1,
            created: SystemTime::UNIX_EPOCH,
            updated: SystemTime::UNIX_EPOCH,
            versions: vec![Arc::new(version)],
        }
    }
}

#[cfg(test)]
impl Version {
    /// A version on a backend `hsm`, without its public key.
    pub(crate) fn sample(number: u32, state: State) -> Self {
        Self {
            number,
            state,
            backend: "hsm".parse().unwrap(),
            protection_level: ProtectionLevel::Hsm,
            origin: Origin::Generated,
            key: None,
            public_key: None,
            check_value: None,
            operations: 0,
            created: SystemTime::UNIX_EPOCH,
            generated: None,
            compromised: None,
            destroys: None,
            destroyed: None,
        }
    }
}
