//! Encrypting anew what was encrypted before, without the plaintext leaving.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{EncryptionAlgorithm, ProtectionLevel};

use super::{
    Aad,
    cipher::{Asked, Fields, Input},
};
use crate::{
    gate::Facts,
    keys::{Call, Error, Keyring, known},
    model::{Action, Key, KeyId},
};

/// What to encrypt anew.
#[derive(Clone, Debug)]
pub struct ReEncrypt {
    /// The ciphertext.
    pub ciphertext: Bytes,
    /// The key that it was encrypted with.
    pub source: KeyId,
    /// What was authenticated with it.
    pub source_aad: Aad,
    /// The version, where the ciphertext does not say it; 0: the primary.
    pub source_version: u32,
    /// The algorithm, where the ciphertext does not say it; `None`: the key's default.
    pub source_algorithm: Option<EncryptionAlgorithm>,
    /// Whether a compromised version of the source decrypts, too; that takes a permission
    /// more.
    pub accept_compromised: bool,
    /// The key to encrypt with, in its primary version.
    pub destination: KeyId,
    /// What is authenticated with it from now on.
    pub destination_aad: Aad,
    /// One of that key's algorithms; `None`: its default.
    pub destination_algorithm: Option<EncryptionAlgorithm>,
}

/// The new ciphertext.
#[derive(Clone, Debug)]
pub struct ReEncrypted {
    /// The key that decrypted, by its id.
    pub source: Arc<Key>,
    /// The version that decrypted.
    pub source_version: u32,
    /// The key that encrypted, by its id.
    pub destination: Arc<Key>,
    /// The version that encrypted.
    pub destination_version: u32,
    /// The algorithm that it encrypted with.
    pub algorithm: EncryptionAlgorithm,
    /// Where the key that encrypted lives.
    pub protection_level: ProtectionLevel,
    /// The ciphertext.
    pub ciphertext: Bytes,
}

const SOURCE: Fields = Fields {
    input: "ciphertext",
    aad: ["source_additional_authenticated_data", "source_context"],
    algorithm: "source_algorithm",
};
const DESTINATION: Fields = Fields {
    input: "ciphertext",
    aad: ["destination_additional_authenticated_data", "destination_context"],
    algorithm: "destination_algorithm",
};

impl Keyring {
    /// Decrypts with one key and encrypts with another, or with the same. It takes a
    /// permission on each, and none to see the plaintext.
    ///
    /// # Errors
    /// As [`Self::decrypt`] and [`Self::encrypt`].
    pub async fn reencrypt(&self, call: &Call, request: ReEncrypt) -> Result<ReEncrypted, Error> {
        let (source, subject) = self.find(&request.source);
        let (destination, other) = self.find(&request.destination);
        let mut also = vec![(Action::ReEncryptTo, other)];
        also.extend(request.accept_compromised.then(|| (Action::DecryptCompromised, subject.clone())));
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::ReEncryptFrom, subject, also, move |permit| async move {
                let (source, destination) = (known(source)?, known(destination)?);
                permit.note(|facts| facts.destination = Some(destination.id.clone()));
                let asked = Asked {
                    version: request.source_version,
                    algorithm: request.source_algorithm,
                    accept_compromised: request.accept_compromised,
                };
                let input = Input::of(&request.ciphertext, &request.source_aad);
                let opened = keyring.open(&permit, &source, asked, input, SOURCE).await?;
                let asked = Asked { algorithm: request.destination_algorithm, ..Asked::default() };
                let plaintext = opened.plaintext.into_bytes();
                let input = Input::of(&plaintext, &request.destination_aad);
                let mut of_source = None;
                permit.note(|facts| of_source = Some(facts.clone()));
                let sealed = keyring.seal(&permit, &destination, asked, input, DESTINATION).await;
                // The record is about the key that the ciphertext was taken from.
                permit.note(|facts| {
                    let destination_version = facts.version.filter(|_| sealed.is_ok());
                    *facts = Facts { destination_version, ..of_source.unwrap_or_default() };
                });
                let sealed = sealed?;
                Ok(ReEncrypted {
                    source_version: opened.version.number,
                    destination_version: sealed.version.number,
                    protection_level: sealed.version.protection_level,
                    algorithm: sealed.algorithm,
                    ciphertext: sealed.ciphertext,
                    source,
                    destination,
                })
            })
            .await
    }
}
