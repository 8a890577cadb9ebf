//! Import jobs: key pairs under whose public half material is wrapped on its way here.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use skms_backend::{EncryptionAlgorithm, KeyRef, KeySpec, KeyType, ProtectionLevel, PublicKey, Usage};

use super::{BackendName, KeyId};

/// How material is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportMethod {
    /// The material itself under RSAES-OAEP with SHA-256, to 3,072 bits.
    RsaOaep3072Sha256,
    /// The same to 4,096 bits.
    RsaOaep4096Sha256,
    /// `CKM_RSA_AES_KEY_WRAP`: an AES-256 key under RSAES-OAEP with SHA-256, to 3,072
    /// bits, and behind it the material under RFC 5649 and that key.
    RsaOaep3072Sha256Aes256,
    /// The same to 4,096 bits.
    RsaOaep4096Sha256Aes256,
}

impl ImportMethod {
    /// Every method.
    pub const ALL: [Self; 4] = [
        Self::RsaOaep3072Sha256,
        Self::RsaOaep4096Sha256,
        Self::RsaOaep3072Sha256Aes256,
        Self::RsaOaep4096Sha256Aes256,
    ];

    /// What the outer part of every method is.
    pub const OAEP: EncryptionAlgorithm = EncryptionAlgorithm::RsaOaepSha256;

    /// The name in the catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaOaep3072Sha256 => "rsa-oaep3072-sha256",
            Self::RsaOaep4096Sha256 => "rsa-oaep4096-sha256",
            Self::RsaOaep3072Sha256Aes256 => "rsa-oaep3072-sha256-aes256",
            Self::RsaOaep4096Sha256Aes256 => "rsa-oaep4096-sha256-aes256",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The type of the key pair.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::RsaOaep3072Sha256 | Self::RsaOaep3072Sha256Aes256 => KeyType::Rsa3072,
            Self::RsaOaep4096Sha256 | Self::RsaOaep4096Sha256Aes256 => KeyType::Rsa4096,
        }
    }

    /// Whether there is an AES key between the material and RSA.
    #[must_use]
    pub const fn has_inner_key(self) -> bool {
        matches!(self, Self::RsaOaep3072Sha256Aes256 | Self::RsaOaep4096Sha256Aes256)
    }

    /// What a backend must know to make the key pair.
    #[must_use]
    pub fn spec(self) -> KeySpec {
        KeySpec { key_type: self.key_type(), usage: Usage::Encrypt(vec![Self::OAEP]) }
    }
}

/// An import job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportJob {
    /// The id.
    pub id: KeyId,
    /// How material is wrapped under it.
    pub method: ImportMethod,
    /// Who made it, as a member of its tenant; nobody else may use it.
    pub owner: String,
    /// The backend that holds the private half.
    pub backend: BackendName,
    /// Where that really lives.
    pub protection_level: ProtectionLevel,
    /// How the backend knows it. Not part of an answer that is kept to be repeated.
    #[serde(skip)]
    pub key: Option<KeyRef>,
    /// The public half; `None` while it is still to be made.
    pub public_key: Option<PublicKey>,
    /// When it was asked for.
    pub created: SystemTime,
    /// From this time on nothing is imported under it.
    pub expires: SystemTime,
}

impl ImportJob {
    /// Whether its time is over.
    #[must_use]
    pub fn has_expired(&self, now: SystemTime) -> bool {
        now >= self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_are_those_of_kept_answers() {
        for method in ImportMethod::ALL {
            assert_eq!(ImportMethod::from_name(method.name()), Some(method));
            assert_eq!(serde_json::to_value(method).unwrap(), method.name());
        }
    }
}
