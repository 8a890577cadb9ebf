//! Private keys encrypted at rest under the master key.
//!
//! A sealed key is one blob. The gateway's catalog keeps it; this backend stores
//! nothing. The format, version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SKMS` in ASCII |
//! | 1 | the version of the format, 1 |
//! | 8 | which master key: HKDF-SHA256(salt none, key master, info `skms/software/master-key-id/1`) |
//! | 32 | a random salt |
//! | rest | the PKCS#8 v1 `PrivateKeyInfo` (RFC 5208), or the bare bytes of a secret or X25519 key, under AES-256-GCM, with its tag of 16 bytes |
//!
//! The AES key is HKDF-SHA256 (RFC 5869) of the master key with the salt and the
//! info `skms/software/sealed-key/1`. It encrypts this one blob, so its nonce is
//! all zero and cannot repeat. Authenticated with it are the 45 bytes before the
//! ciphertext, the 16 bytes of the [`KeyTag`], the name of the [`KeyType`] and, for a
//! key that does not sign, `/encrypt`, `/mac` or `/agree`: a blob opens as the key that
//! it was made for, for what it was made for, and as no other.
//!
//! Compatibility: whatever a release has sealed, every later release unseals.
//! Another format takes another version byte; this one is read for ever.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{self, HKDF_SHA256, Salt},
    rand,
};
use bytes::Bytes;
use skms_backend::{KeyTag, KeyType, RootKey};
use zeroize::Zeroizing;

use crate::keys::Duty;

/// What a blob is bound to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) tag: KeyTag,
    pub(crate) key_type: KeyType,
    pub(crate) duty: Duty,
}

/// Seals and unseals keys under one master key.
pub(crate) struct Sealer {
    master: RootKey,
    master_id: [u8; ID_BYTES],
}

impl Sealer {
    pub(crate) fn new(master: RootKey) -> Result<Self, SealError> {
        let mut master_id = [0; ID_BYTES];
        derive(&Salt::none(HKDF_SHA256), &master, ID_INFO, &mut master_id)?;
        Ok(Self { master, master_id })
    }

    /// Encrypts a key for one tag, type and duty.
    pub(crate) fn seal(&self, bound: Bound, key_bytes: &[u8]) -> Result<Bytes, SealError> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt)?;
        let key = self.key_for(&salt)?;
        // All of its final length at once: a vector that grows leaves a copy behind.
        let mut blob =
            Zeroizing::new(Vec::with_capacity(HEADER_BYTES + key_bytes.len() + AES_256_GCM.tag_len()));
        blob.extend_from_slice(&MAGIC);
        blob.push(VERSION);
        blob.extend_from_slice(&self.master_id);
        blob.extend_from_slice(&salt);
        let aad = associated_data(&blob, bound);
        blob.extend_from_slice(key_bytes);
        let (_, plaintext) = blob.split_at_mut(HEADER_BYTES);
        let authenticator = key.seal_in_place_separate_tag(nonce(), Aad::from(aad), plaintext)?;
        blob.extend_from_slice(authenticator.as_ref());
        Ok(Bytes::from(std::mem::take(&mut *blob)))
    }

    /// Decrypts the key that was sealed for this tag, type and duty.
    pub(crate) fn unseal(&self, bound: Bound, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (magic, rest) = blob.split_first_chunk().ok_or(SealError::Malformed)?;
        let (&[version], rest) = rest.split_first_chunk().ok_or(SealError::Malformed)?;
        if *magic != MAGIC {
            return Err(SealError::Malformed);
        }
        if version != VERSION {
            return Err(SealError::Version(version));
        }
        let (master_id, rest) = rest.split_first_chunk().ok_or(SealError::Malformed)?;
        let (salt, sealed) = rest.split_first_chunk().ok_or(SealError::Malformed)?;
        if *master_id != self.master_id {
            return Err(SealError::OtherMasterKey);
        }
        let header = blob.get(..HEADER_BYTES).ok_or(SealError::Malformed)?;
        let aad = associated_data(header, bound);
        let mut key_bytes = Zeroizing::new(sealed.to_vec());
        let length = self
            .key_for(salt)?
            .open_in_place(nonce(), Aad::from(aad), &mut key_bytes)
            .map_err(|_| SealError::Forged)?
            .len();
        key_bytes.truncate(length);
        Ok(key_bytes)
    }

    fn key_for(&self, salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, SealError> {
        let mut key = Zeroizing::new([0; RootKey::BYTES]);
        derive(&Salt::new(HKDF_SHA256, salt), &self.master, KEY_INFO, &mut *key)?;
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key)?))
    }
}

/// How many bytes are wanted of HKDF.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(salt: &Salt, master: &RootKey, info: &[u8], output: &mut [u8]) -> Result<(), Unspecified> {
    salt.extract(master.expose()).expand(&[info], Length(output.len()))?.fill(output)
}

/// Zero, because every AES key encrypts once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn associated_data(header: &[u8], bound: Bound) -> Vec<u8> {
    let Bound { tag, key_type, duty } = bound;
    [header, tag.as_bytes(), key_type.name().as_bytes(), duty.sealed_as().as_bytes()].concat()
}

const MAGIC: [u8; 4] = *b"SKMS";
const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + 1 + ID_BYTES + SALT_BYTES;
const ID_INFO: &[u8] = b"skms/software/master-key-id/1";
const KEY_INFO: &[u8] = b"skms/software/sealed-key/1";

/// Why a key could not be sealed or unsealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    #[error("the blob is no sealed key")]
    Malformed,
    #[error("the key is sealed in format {0}, and this release reads format {VERSION}")]
    Version(u8),
    #[error("the key is sealed under another master key than the configured one")]
    OtherMasterKey,
    #[error("the sealed key was changed, or was sealed for another tag or key type")]
    Forged,
    #[error("the cryptographic library failed")]
    Library,
}

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self::Library
    }
}

#[cfg(test)]
pub(crate) mod tests;
