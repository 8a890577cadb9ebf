//! Decrypting.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{EncryptionAlgorithm, ProtectionLevel, Secret};

use super::{
    Aad,
    cipher::{Asked, Fields, Input},
};
use crate::{
    keys::{Call, Error, Keyring, known},
    model::{Action, Key, KeyId},
};

/// What to decrypt, and with what.
#[derive(Clone, Debug)]
pub struct Decrypt {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The ciphertext.
    pub ciphertext: Bytes,
    /// What was authenticated with it.
    pub aad: Aad,
    /// The algorithm, where the ciphertext does not say it; `None`: the key's default.
    pub algorithm: Option<EncryptionAlgorithm>,
    /// The version, where the ciphertext does not say it; 0: the primary.
    pub version: u32,
    /// Whether a compromised version decrypts, too; that takes a permission more.
    pub accept_compromised: bool,
}

/// A plaintext, and what made it.
pub struct Decrypted {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that decrypted.
    pub version: u32,
    /// The algorithm that was used.
    pub algorithm: EncryptionAlgorithm,
    /// Where the key lives.
    pub protection_level: ProtectionLevel,
    /// The plaintext.
    pub plaintext: Secret,
}

const FIELDS: Fields =
    Fields { input: "ciphertext", aad: ["additional_authenticated_data", "context"], algorithm: "algorithm" };

impl Keyring {
    /// Decrypts.
    ///
    /// # Errors
    /// There is no such key or version, or it must not decrypt; the ciphertext is of
    /// another key or of no form; [`Error::DecryptionFailed`] for everything else that is
    /// wrong with it; the device failed; what the gate refuses.
    pub async fn decrypt(&self, call: &Call, request: Decrypt) -> Result<Decrypted, Error> {
        let (found, subject) = self.find(&request.key);
        let also = request.accept_compromised.then(|| (Action::DecryptCompromised, subject.clone()));
        let also = also.into_iter().collect();
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::Decrypt, subject, also, move |permit| async move {
                let key = known(found)?;
                let asked = Asked {
                    version: request.version,
                    algorithm: request.algorithm,
                    accept_compromised: request.accept_compromised,
                };
                let input = Input::of(&request.ciphertext, &request.aad);
                let opened = keyring.open(&permit, &key, asked, input, FIELDS).await?;
                Ok(Decrypted {
                    version: opened.version.number,
                    protection_level: opened.version.protection_level,
                    algorithm: opened.algorithm,
                    plaintext: opened.plaintext,
                    key,
                })
            })
            .await
    }
}
