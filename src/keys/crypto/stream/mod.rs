//! Encrypting and decrypting what is too long for one message.
//!
//! A data key is made for each stream and encrypted with the key, as one message; it encrypts
//! the rest in segments, here. So a key on a device may encrypt what no device would take.
//!
//! **Invariant:** a part of a plaintext leaves after its segment was verified, and the end is
//! told after the last; what leaves before may be a beginning, and never anything else.
//!
//! **Invariant:** the record is written before anything leaves. Whether the caller may, and
//! whether the key does, is decided once more for each part.

mod form;

use std::{future::Future, sync::Arc, time::SystemTime};

use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use skms_backend::{EncryptionAlgorithm, ProtectionLevel, Secret};

use self::form::{Begun, DATA_KEY_BYTES, Head, Opening, Read, Sealing};
use super::{
    Aad,
    cipher::{Asked, Fields, Input, decrypts},
};
use crate::{
    audit::InputKind,
    gate::Permit,
    keys::{Call, Content, Error, Keyring, known, sign::may_sign, verify::may_process},
    model::{Action, Key, KeyId, Reason},
};

/// With what to encrypt a stream.
#[derive(Clone, Debug)]
pub struct EncryptStream {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// What is authenticated with it.
    pub aad: Aad,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<EncryptionAlgorithm>,
    /// The version; 0: the primary.
    pub version: u32,
}

/// With what to decrypt a stream.
#[derive(Clone, Debug)]
pub struct DecryptStream {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// What was authenticated with it.
    pub aad: Aad,
    /// Whether a compromised version decrypts, too; that takes a permission more.
    pub accept_compromised: bool,
}

/// What became of a stream that has come to its end.
#[derive(Clone, Debug)]
pub struct Streamed<C> {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that was used.
    pub version: u32,
    /// The algorithm that encrypted the data key.
    pub algorithm: EncryptionAlgorithm,
    /// Where the key lives.
    pub protection_level: ProtectionLevel,
    /// How many bytes were given.
    pub total: u64,
    /// CRC32C of them.
    pub crc32c: u32,
    /// What came, which has come to its end.
    pub content: C,
}

const ENCRYPT: Fields = Fields {
    input: "chunk",
    aad: ["start.parameters.additional_authenticated_data", "start.parameters.context"],
    algorithm: "start.parameters.algorithm",
};
const DECRYPT: Fields = Fields { input: "chunk", ..ENCRYPT };

/// A stream that was admitted.
struct Admitted<S, C> {
    permit: Permit,
    key: Arc<Key>,
    version: u32,
    algorithm: EncryptionAlgorithm,
    protection_level: ProtectionLevel,
    work: S,
    content: C,
}

impl Keyring {
    /// Encrypts a stream, and gives what becomes of it as it does.
    ///
    /// # Errors
    /// As [`Self::encrypt`]; what is wrong with a part; what `give` says.
    pub async fn encrypt_stream<C: Content, Given>(
        &self,
        call: &Call,
        request: EncryptStream,
        content: C,
        give: impl FnMut(Bytes) -> Given,
    ) -> Result<Streamed<C>, Error>
    where
        Given: Future<Output = Result<(), Error>>,
    {
        let (found, subject) = self.find(&request.key);
        let keyring = self.clone();
        let admitted = self
            .gate
            .admit(call, Action::Encrypt, subject, move |permit| async move {
                let key = known(found)?;
                let mut data_key = vec![0; DATA_KEY_BYTES];
                let failed = |_| Error::Internal { what: "the system gives no random bytes" };
                rand::fill(&mut data_key).map_err(failed)?;
                let data_key = Secret::new(data_key).into_bytes();
                let asked =
                    Asked { version: request.version, algorithm: request.algorithm, ..Asked::default() };
                let input = Input { bytes: &data_key, aad: &Aad::None, is_stream: true };
                let sealed = keyring.seal(&permit, &key, asked, input, ENCRYPT).await;
                note(&permit, &request.aad);
                let sealed = sealed?;
                let head = Head {
                    context: request.aad.is_context(),
                    uid: key.uid,
                    version: sealed.version.number,
                    algorithm: sealed.algorithm,
                    wrapped: sealed.ciphertext,
                };
                let encoded = head.encode().ok_or(Error::Internal { what: "a data key that is too long" })?;
                let (segments, commitment) =
                    form::segments(&data_key, &encoded, &request.aad).map_err(broken)?;
                let start = [&encoded[..], &commitment.0].concat();
                Ok::<_, Error>(Admitted {
                    permit,
                    key,
                    version: sealed.version.number,
                    algorithm: sealed.algorithm,
                    protection_level: sealed.version.protection_level,
                    work: (Bytes::from(start), Sealing::new(segments)),
                    content,
                })
            })
            .await?;
        let Admitted { permit, key, version, algorithm, protection_level, work, mut content } = admitted;
        let (start, mut sealing) = work;
        let mut giving = Giving { give, total: 0, crc32c: 0 };
        let streaming = async {
            giving.give(start).await?;
            while let Some(part) = content.next().await? {
                let now = self.still(call, &permit, &[Action::Encrypt], &key)?;
                may_sign(&now, version, SystemTime::now())?;
                for sealed in sealing.push(&part).map_err(broken)? {
                    giving.give(sealed).await?;
                }
            }
            giving.give(sealing.finish().map_err(broken)?).await
        };
        let streamed = streaming.await;
        self.ended(call, Action::Encrypt, &key, streamed).await?;
        let Giving { total, crc32c, .. } = giving;
        Ok(Streamed { key, version, algorithm, protection_level, total, crc32c, content })
    }

    /// Decrypts a stream, and gives each part of the plaintext after it was verified. Only
    /// with the end it is known that nothing is missing.
    ///
    /// # Errors
    /// As [`Self::decrypt`]; what is wrong with a part; what `give` says.
    pub async fn decrypt_stream<C: Content, Given>(
        &self,
        call: &Call,
        request: DecryptStream,
        mut content: C,
        give: impl FnMut(Bytes) -> Given,
    ) -> Result<Streamed<C>, Error>
    where
        Given: Future<Output = Result<(), Error>>,
    {
        let (found, subject) = self.find(&request.key);
        let accept_compromised = request.accept_compromised;
        let also = accept_compromised.then(|| (Action::DecryptCompromised, subject.clone()));
        let keyring = self.clone();
        let admitted = self
            .gate
            .admit_all(call, Action::Decrypt, subject, also.into_iter().collect(), move |permit| async move {
                let key = known(found)?;
                decrypts(&key, Asked { accept_compromised, ..Asked::default() })?;
                let Begun { head, encoded, commitment, rest } = begun(&mut content).await?;
                if head.uid != key.uid {
                    let why = "it was encrypted with another key";
                    return Err(Error::invalid(DECRYPT.input, Reason::KeyMismatch, why));
                }
                // Nothing of the head is authenticated yet.
                let is_known = key.version(head.version).is_some() && head.version != 0;
                let is_of_the_key = head.algorithm.fits(key.key_type);
                if !is_known || !is_of_the_key || head.context != request.aad.is_context() {
                    return Err(Error::DecryptionFailed);
                }
                let asked =
                    Asked { version: head.version, algorithm: Some(head.algorithm), accept_compromised };
                let input = Input { bytes: &head.wrapped, aad: &Aad::None, is_stream: true };
                let opened = keyring.open(&permit, &key, asked, input, DECRYPT).await;
                note(&permit, &request.aad);
                let opened = opened?;
                let (segments, expected) =
                    form::segments(opened.plaintext.expose(), &encoded, &request.aad).map_err(broken)?;
                if opened.plaintext.expose().len() != DATA_KEY_BYTES || !form::agree(&commitment, &expected) {
                    return Err(Error::DecryptionFailed);
                }
                Ok(Admitted {
                    permit,
                    key,
                    version: opened.version.number,
                    algorithm: opened.algorithm,
                    protection_level: opened.version.protection_level,
                    work: (rest, Opening::new(segments)),
                    content,
                })
            })
            .await?;
        let Admitted { permit, key, version, algorithm, protection_level, work, mut content } = admitted;
        let (rest, mut opening) = work;
        let actions = [Action::Decrypt, Action::DecryptCompromised];
        let actions = if accept_compromised { &actions[..] } else { &actions[..1] };
        let mut giving = Giving { give, total: 0, crc32c: 0 };
        let streaming = async {
            let mut part = Some(rest);
            while let Some(sealed) = part {
                let now = self.still(call, &permit, actions, &key)?;
                let used = now.version(version).ok_or(Error::DecryptionFailed)?;
                may_process(&now, used, accept_compromised)?;
                for opened in opening.push(&sealed).map_err(changed)? {
                    giving.give(opened.into_bytes()).await?;
                }
                part = content.next().await?;
            }
            let last = opening.finish().map_err(changed)?.into_bytes();
            if last.is_empty() { Ok(()) } else { giving.give(last).await }
        };
        let streamed = streaming.await;
        self.ended(call, Action::Decrypt, &key, streamed).await?;
        let Giving { total, crc32c, .. } = giving;
        Ok(Streamed { key, version, algorithm, protection_level, total, crc32c, content })
    }
}

/// What is given, and what there was of it.
struct Giving<G> {
    give: G,
    total: u64,
    crc32c: u32,
}

impl<G, Given> Giving<G>
where
    G: FnMut(Bytes) -> Given,
    Given: Future<Output = Result<(), Error>>,
{
    async fn give(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.total += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &bytes);
        (self.give)(bytes).await
    }
}

/// Reads the head of a ciphertext, however it is cut.
async fn begun<C: Content>(content: &mut C) -> Result<Begun, Error> {
    let malformed = || {
        let why = "it is no stream of this gateway, or was cut off";
        Error::invalid(DECRYPT.input, Reason::CiphertextMalformed, why)
    };
    let mut bytes = BytesMut::new();
    loop {
        let part = content.next().await?.ok_or_else(malformed)?;
        bytes.extend_from_slice(&part);
        match form::read(&Bytes::copy_from_slice(&bytes)) {
            Read::Short => {}
            Read::Other => return Err(malformed()),
            Read::Begun(begun) => return Ok(*begun),
        }
    }
}

/// What is on record is the stream, not its data key.
fn note(permit: &Permit, aad: &Aad) {
    permit.note(|facts| {
        facts.input = Some(InputKind::Stream);
        facts.input_bytes = None;
        facts.context_names = aad.names().map(str::to_owned).collect();
    });
}

fn broken(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::Internal { what: "the cryptographic library failed" }
}

fn changed(_: aws_lc_rs::error::Unspecified) -> Error {
    Error::DecryptionFailed
}
