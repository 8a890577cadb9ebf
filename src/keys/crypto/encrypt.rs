//! Encrypting.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{EncryptionAlgorithm, ProtectionLevel};

use super::{
    Aad,
    cipher::{Asked, Fields, Input},
};
use crate::{
    keys::{Call, Error, Keyring, known},
    model::{Action, Key, KeyId},
};

/// What to encrypt, and with what.
#[derive(Clone)]
pub struct Encrypt {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The plaintext.
    pub plaintext: Bytes,
    /// What is authenticated with it.
    pub aad: Aad,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<EncryptionAlgorithm>,
    /// The version; 0: the primary.
    pub version: u32,
}

/// A ciphertext, and what made it.
#[derive(Clone, Debug)]
pub struct EncryptedMessage {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that encrypted.
    pub version: u32,
    /// The algorithm that was used.
    pub algorithm: EncryptionAlgorithm,
    /// Where the key lives.
    pub protection_level: ProtectionLevel,
    /// The ciphertext: an envelope for AES, bare for RSAES-OAEP.
    pub ciphertext: Bytes,
}

const FIELDS: Fields =
    Fields { input: "plaintext", aad: ["additional_authenticated_data", "context"], algorithm: "algorithm" };

impl Keyring {
    /// Encrypts.
    ///
    /// # Errors
    /// There is no such key or version, or it must not encrypt; the algorithm or the
    /// plaintext does not fit it; the device failed; what the gate refuses.
    pub async fn encrypt(&self, call: &Call, request: Encrypt) -> Result<EncryptedMessage, Error> {
        let (found, subject) = self.find(&request.key);
        let keyring = self.clone();
        self.gate
            .admit(call, Action::Encrypt, subject, move |permit| async move {
                let key = known(found)?;
                let asked = Asked {
                    version: request.version,
                    algorithm: request.algorithm,
                    accept_compromised: false,
                };
                let input = Input::of(&request.plaintext, &request.aad);
                let sealed = keyring.seal(&permit, &key, asked, input, FIELDS).await?;
                Ok(EncryptedMessage {
                    version: sealed.version.number,
                    protection_level: sealed.version.protection_level,
                    algorithm: sealed.algorithm,
                    ciphertext: sealed.ciphertext,
                    key,
                })
            })
            .await
    }
}
