//! Keys derived of keys (HKDF-SHA256, RFC 5869).

use aws_lc_rs::{
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};
use zeroize::Zeroizing;

/// How many bytes are wanted.
pub(crate) struct Length(pub(crate) usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// A secret from which keys for one salt are derived.
pub(crate) struct Root(Prk);

impl Root {
    pub(crate) fn new(secret: &[u8], salt: &[u8]) -> Self {
        Self(Salt::new(HKDF_SHA256, salt).extract(secret))
    }

    /// The bytes for one use.
    pub(crate) fn expand<const LENGTH: usize>(
        &self,
        info: &[&[u8]],
    ) -> Result<Zeroizing<[u8; LENGTH]>, Unspecified> {
        let mut output = Zeroizing::new([0; LENGTH]);
        self.0.expand(info, Length(LENGTH))?.fill(&mut *output)?;
        Ok(output)
    }
}
