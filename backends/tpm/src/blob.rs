//! Keys as the catalog keeps them: wrapped by the TPM, with what is needed to use them.
//!
//! The format, version 1:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `SKTP` in ASCII |
//! | 1 | the version of the format, 1 |
//! | 32 | the storage key under which it is wrapped: the digest of its Name |
//! | 32 | the authorization value of the key |
//! | 2 | the length of the public area, big-endian |
//! | that | the public area, a marshalled `TPMT_PUBLIC` |
//! | rest | the private area, the buffer of a `TPM2B_PRIVATE` |
//!
//! The private area is encrypted by the TPM and authenticated together with the public
//! one, and the public area holds the digest of tag, type and duty
//! ([`binding`](crate::template::binding)): a blob is the key that it was made for, for
//! what it was made for, and no other.
//!
//! The authorization value is not sealed: whoever reads the catalog knows it. It keeps
//! those from the key who reach the TPM while the key is loaded, and not the catalog.
//!
//! Compatibility: whatever a release has written, every later release reads.

use bytes::Bytes;
use tss_esapi::{
    structures::{Auth, Private, Public},
    traits::{Marshall, UnMarshall},
};
use zeroize::Zeroizing;

/// The length of a digest of SHA-256, which names are made with here.
pub(crate) const NAME_BYTES: usize = 32;
/// The length of an authorization value.
pub(crate) const AUTH_BYTES: usize = 32;

const MAGIC: [u8; 4] = *b"SKTP";
const VERSION: u8 = 1;

/// A wrapped key.
pub(crate) struct Wrapped {
    pub(crate) parent: [u8; NAME_BYTES],
    pub(crate) auth: Auth,
    pub(crate) public: Public,
    pub(crate) private: Private,
}

impl Wrapped {
    /// `None` where it cannot be written, which no key of a TPM makes true.
    pub(crate) fn write(&self) -> Option<Bytes> {
        let public = self.public.marshall().ok()?;
        let length = u16::try_from(public.len()).ok()?;
        let auth: &[u8] = self.auth.value();
        if auth.len() != AUTH_BYTES {
            return None;
        }
        let mut blob = Vec::with_capacity(512);
        blob.extend_from_slice(&MAGIC);
        blob.push(VERSION);
        blob.extend_from_slice(&self.parent);
        blob.extend_from_slice(auth);
        blob.extend_from_slice(&length.to_be_bytes());
        blob.extend_from_slice(&public);
        blob.extend_from_slice(self.private.value());
        Some(blob.into())
    }

    pub(crate) fn read(blob: &[u8]) -> Result<Self, Unreadable> {
        let (magic, rest) = blob.split_first_chunk().ok_or(Unreadable::Malformed)?;
        let (&[version], rest) = rest.split_first_chunk().ok_or(Unreadable::Malformed)?;
        if *magic != MAGIC {
            return Err(Unreadable::Malformed);
        }
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let (parent, rest) = rest.split_first_chunk().ok_or(Unreadable::Malformed)?;
        let (auth, rest) = rest.split_first_chunk::<AUTH_BYTES>().ok_or(Unreadable::Malformed)?;
        let (length, rest) = rest.split_first_chunk().ok_or(Unreadable::Malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (public, private) = rest.split_at_checked(length).ok_or(Unreadable::Malformed)?;
        let auth = Zeroizing::new(auth.to_vec());
        Ok(Self {
            parent: *parent,
            auth: Auth::try_from(auth.as_slice()).map_err(|_| Unreadable::Malformed)?,
            public: Public::unmarshall(public).map_err(|_| Unreadable::Malformed)?,
            private: Private::try_from(private).map_err(|_| Unreadable::Malformed)?,
        })
    }
}

/// Why a blob is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the blob is no key of a TPM")]
    Malformed,
    #[error("the key is kept in format {0}, and this release reads format {VERSION}")]
    Version(u8),
}
