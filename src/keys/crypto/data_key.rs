//! Data keys: random bytes, encrypted with a key.

use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use skms_backend::{EncryptionAlgorithm, ProtectionLevel, PublicKey, Secret};

use super::{
    Aad,
    cipher::{Asked, Fields, Input},
};
use crate::{
    keys::{Call, Error, Keyring, known},
    model::{Action, Key, KeyId},
};

/// What its caller gets of a new data key in the clear.
#[derive(Clone, Debug)]
pub enum PlaintextMode {
    /// All of it.
    Include,
    /// Nothing: it is for somebody else, or for later.
    Omit,
    /// It, encrypted with RSAES-OAEP and SHA-256 to this public key.
    Wrap(PublicKey),
}

/// What data key to make.
#[derive(Clone, Debug)]
pub struct DataKey {
    /// The id or an alias of the key that encrypts it.
    pub key: KeyId,
    /// Its length in bytes.
    pub length: usize,
    /// What is authenticated with it.
    pub aad: Aad,
    /// What its caller gets in the clear.
    pub mode: PlaintextMode,
}

/// A data key.
pub struct DataKeyMade {
    /// The key that encrypted it, by its id.
    pub key: Arc<Key>,
    /// The version that encrypted it.
    pub version: u32,
    /// The algorithm that was used.
    pub algorithm: EncryptionAlgorithm,
    /// Where the key that encrypted it lives.
    pub protection_level: ProtectionLevel,
    /// The data key, encrypted.
    pub ciphertext: Bytes,
    /// The data key in the clear, where it was asked for.
    pub plaintext: Option<Bytes>,
    /// The data key, encrypted to the recipient, where it was asked for.
    pub wrapped: Option<Bytes>,
}

const FIELDS: Fields =
    Fields { input: "size", aad: ["additional_authenticated_data", "context"], algorithm: "key_id" };

impl Keyring {
    /// Makes a data key. To see it in the clear, or to have it encrypted to somebody,
    /// takes a permission more.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub async fn data_key(&self, call: &Call, request: DataKey) -> Result<DataKeyMade, Error> {
        let (found, subject) = self.find(&request.key);
        let also = match &request.mode {
            PlaintextMode::Include => vec![(Action::GenerateDataKeyPlaintext, subject.clone())],
            PlaintextMode::Wrap(_) => vec![(Action::GenerateDataKeyWrapped, subject.clone())],
            PlaintextMode::Omit => Vec::new(),
        };
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::GenerateDataKey, subject, also, move |permit| async move {
                let key = known(found)?;
                let mut bytes = vec![0; request.length];
                let failed = |_| Error::Internal { what: "the system gives no random bytes" };
                rand::fill(&mut bytes).map_err(failed)?;
                let plaintext = Secret::new(bytes).into_bytes();
                let input = Input::of(&plaintext, &request.aad);
                let sealed = keyring.seal(&permit, &key, Asked::default(), input, FIELDS).await?;
                let wrapped = match &request.mode {
                    PlaintextMode::Wrap(recipient) => Some(wrap(recipient, &plaintext)?),
                    PlaintextMode::Include | PlaintextMode::Omit => None,
                };
                let included = matches!(request.mode, PlaintextMode::Include);
                Ok(DataKeyMade {
                    version: sealed.version.number,
                    protection_level: sealed.version.protection_level,
                    algorithm: sealed.algorithm,
                    ciphertext: sealed.ciphertext,
                    plaintext: included.then_some(plaintext),
                    wrapped,
                    key,
                })
            })
            .await
    }
}

fn wrap(recipient: &PublicKey, bytes: &[u8]) -> Result<Bytes, Error> {
    recipient
        .encrypt_oaep(EncryptionAlgorithm::RsaOaepSha256, bytes)
        .map(Bytes::from)
        .map_err(|_| Error::Internal { what: "the public key of the recipient does not encrypt" })
}
