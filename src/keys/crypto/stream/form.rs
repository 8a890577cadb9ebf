//! The form of a ciphertext that comes in a stream.
//!
//! | bytes | what |
//! |---|---|
//! | 3 | `SKS` in ASCII |
//! | 1 | the version of the form, 1 |
//! | 1 | flags; bit 0: the associated data was an encryption context |
//! | 16 | the number of the key (`Key::uid`) |
//! | 4 | the version of the key, big-endian |
//! | 1 | the algorithm that encrypted the data key: see [`number`] |
//! | 2 | the length of that, big-endian |
//! | … | the data key of 32 bytes, encrypted: for AES in an envelope of its own kind, for RSAES-OAEP bare |
//! | 32 | the commitment: HKDF-SHA256 of the data key, info `skms/stream-commitment/1` and the associated data |
//! | rest | [`Segments`] under AES-256-GCM, with everything before the commitment authenticated beside each |
//!
//! The key of the segments is HKDF-SHA256 (RFC 5869) of the data key, with the SHA-256 of
//! everything before the commitment as its salt and the info `skms/stream-key/1` and the
//! associated data; the commitment has the same salt.
//!
//! Compatibility: whatever a release has encrypted, every later release decrypts.

use aws_lc_rs::{
    aead::{AES_256_GCM, UnboundKey},
    constant_time,
    digest::{self, SHA256},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use skms_backend::{
    CheckValue, EncryptionAlgorithm, Last, SEGMENT_BYTES, SEGMENT_TAG_BYTES, Secret, Segments,
};
use uuid::Uuid;

use super::super::Aad;

const MAGIC: &[u8; 3] = b"SKS";
const FORM: u8 = 1;
/// The associated data was an encryption context.
const CONTEXT: u8 = 1;
/// What stands before the data key.
const START: usize = MAGIC.len() + 2 + 16 + 4 + 1 + 2;
/// The longest data key, encrypted: RSA-4096 and every envelope are shorter.
const WRAPPED_BYTES: usize = 1024;
/// A segment with its tag.
const SEALED_BYTES: usize = SEGMENT_BYTES + SEGMENT_TAG_BYTES;
/// The length of a data key in bytes.
pub(super) const DATA_KEY_BYTES: usize = 32;

const fn number(algorithm: EncryptionAlgorithm) -> u8 {
    match algorithm {
        EncryptionAlgorithm::Aes256Gcm => 1,
        EncryptionAlgorithm::Aes128Gcm => 2,
        EncryptionAlgorithm::RsaOaepSha256 => 3,
        EncryptionAlgorithm::RsaOaepSha384 => 4,
        EncryptionAlgorithm::RsaOaepSha512 => 5,
        EncryptionAlgorithm::RsaOaepSha1 => 6,
    }
}

/// What stands before the commitment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether the associated data was an encryption context.
    pub(super) context: bool,
    pub(super) uid: Uuid,
    pub(super) version: u32,
    pub(super) algorithm: EncryptionAlgorithm,
    /// The data key, encrypted.
    pub(super) wrapped: Bytes,
}

impl Head {
    /// The bytes; `None` where the encrypted data key is too long.
    pub(super) fn encode(&self) -> Option<Bytes> {
        if self.wrapped.len() > WRAPPED_BYTES {
            return None;
        }
        let mut bytes = BytesMut::with_capacity(START + self.wrapped.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(FORM);
        bytes.put_u8(if self.context { CONTEXT } else { 0 });
        bytes.put_slice(self.uid.as_bytes());
        bytes.put_u32(self.version);
        bytes.put_u8(number(self.algorithm));
        bytes.put_u16(u16::try_from(self.wrapped.len()).ok()?);
        bytes.put_slice(&self.wrapped);
        Some(bytes.freeze())
    }
}

/// A head as it was read.
pub(super) struct Begun {
    pub(super) head: Head,
    /// Its bytes.
    pub(super) encoded: Bytes,
    pub(super) commitment: CheckValue,
    /// What came behind it.
    pub(super) rest: Bytes,
}

/// What the first bytes of a stream are.
pub(super) enum Read {
    /// Too few to tell.
    Short,
    /// None of this gateway.
    Other,
    Begun(Box<Begun>),
}

/// Reads a head.
pub(super) fn read(bytes: &Bytes) -> Read {
    let known = bytes.len().min(MAGIC.len());
    if !MAGIC.starts_with(&bytes.slice(..known)) {
        return Read::Other;
    }
    if bytes.len() < START {
        return Read::Short;
    }
    let mut rest = bytes.slice(MAGIC.len()..);
    let (form, flags) = (rest.get_u8(), rest.get_u8());
    let uid = Uuid::from_u128(rest.get_u128());
    let version = rest.get_u32();
    let algorithm = rest.get_u8();
    let length = usize::from(rest.get_u16());
    let algorithm = EncryptionAlgorithm::ALL.into_iter().find(|one| number(*one) == algorithm);
    let Some(algorithm) = algorithm.filter(|_| form == FORM && flags & !CONTEXT == 0) else {
        return Read::Other;
    };
    if length > WRAPPED_BYTES {
        return Read::Other;
    }
    if rest.len() < length + CheckValue::BYTES {
        return Read::Short;
    }
    let wrapped = rest.split_to(length);
    let encoded = bytes.slice(..START + length);
    let commitment = rest.split_to(CheckValue::BYTES);
    let Ok(commitment) = commitment.as_ref().try_into().map(CheckValue) else { return Read::Other };
    let head = Head { context: flags & CONTEXT != 0, uid, version, algorithm, wrapped };
    Read::Begun(Box::new(Begun { head, encoded, commitment, rest }))
}

/// The segments of a stream that begins so, and what commits to their key.
pub(super) fn segments(
    data_key: &[u8],
    encoded: &Bytes,
    aad: &Aad,
) -> Result<(Segments, CheckValue), Unspecified> {
    let salt = digest::digest(&SHA256, encoded);
    let root = Salt::new(HKDF_SHA256, salt.as_ref()).extract(data_key);
    let aad = aad.canonical();
    let key = UnboundKey::from(root.expand(&[b"skms/stream-key/1", &aad], &AES_256_GCM)?);
    let mut commitment = [0; CheckValue::BYTES];
    root.expand(&[b"skms/stream-commitment/1", &aad], HKDF_SHA256)?.fill(&mut commitment)?;
    Ok((Segments::new(key, encoded.to_vec()), CheckValue(commitment)))
}

/// Whether two commitments are one, in constant time.
pub(super) fn agree(one: &CheckValue, other: &CheckValue) -> bool {
    constant_time::verify_slices_are_equal(&one.0, &other.0).is_ok()
}

/// Seals what comes in parts of any length.
pub(super) struct Sealing {
    segments: Segments,
    /// Plaintext that is not sealed: it may be the last, as long as nothing comes behind it.
    held: BytesMut,
}

impl Sealing {
    pub(super) fn new(segments: Segments) -> Self {
        Self { segments, held: BytesMut::new() }
    }

    /// What can be sealed now; nothing, if that is too little.
    pub(super) fn push(&mut self, part: &[u8]) -> Result<Vec<Bytes>, Unspecified> {
        self.held.put_slice(part);
        let mut sealed = Vec::new();
        while self.held.len() > SEGMENT_BYTES {
            let segment = self.held.split_to(SEGMENT_BYTES);
            sealed.push(self.seal(&segment, Last::No)?);
        }
        Ok(sealed)
    }

    pub(super) fn finish(mut self) -> Result<Bytes, Unspecified> {
        let segment = self.held.split();
        self.seal(&segment, Last::Yes)
    }

    fn seal(&mut self, segment: &[u8], last: Last) -> Result<Bytes, Unspecified> {
        let mut sealed = Vec::with_capacity(segment.len() + SEGMENT_TAG_BYTES);
        sealed.put_slice(segment);
        self.segments.seal(&mut sealed, last)?;
        Ok(sealed.into())
    }
}

/// Opens what comes in parts of any length.
pub(super) struct Opening {
    segments: Segments,
    /// What is not opened: it may be the last, as long as nothing comes behind it.
    held: BytesMut,
    is_first: bool,
}

impl Opening {
    pub(super) fn new(segments: Segments) -> Self {
        Self { segments, held: BytesMut::new(), is_first: true }
    }

    /// What can be opened now.
    pub(super) fn push(&mut self, part: &[u8]) -> Result<Vec<Secret>, Unspecified> {
        self.held.put_slice(part);
        let mut opened = Vec::new();
        while self.held.len() > SEALED_BYTES {
            let segment = self.held.split_to(SEALED_BYTES);
            opened.push(self.open(&segment, Last::No)?);
        }
        Ok(opened)
    }

    pub(super) fn finish(mut self) -> Result<Secret, Unspecified> {
        let segment = self.held.split();
        let is_first = self.is_first;
        let last = self.open(&segment, Last::Yes)?;
        // There is one way to write each plaintext.
        if last.expose().is_empty() && !is_first { Err(Unspecified) } else { Ok(last) }
    }

    fn open(&mut self, segment: &[u8], last: Last) -> Result<Secret, Unspecified> {
        let mut opened = segment.to_vec();
        self.segments.open(&mut opened, last)?;
        self.is_first = false;
        Ok(Secret::new(opened))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
