//! The wrapping in which a key pair that was made elsewhere goes to the TPM.
//!
//! Of the parameters of TPM2_Import a session encrypts only the first one, which is the
//! key of an inner wrapping, and not the key pair. So there is an inner wrapping
//! (TPM 2.0 part 1, chapter 23.3.2.2): a digest over the key pair and its Name, and both
//! under AES-128-CFB with a fresh key and no initial vector. Nothing secret is in the clear.

use aws_lc_rs::{
    cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey},
    digest,
    iv::FixedLength,
    rand,
};
use tss_esapi::{
    structures::{Data, Private, Public, Sensitive},
    traits::Marshall,
};
use zeroize::Zeroizing;

/// What TPM2_Import takes.
pub(crate) struct Wrapping {
    pub(crate) key: Data,
    pub(crate) duplicate: Private,
}

const KEY_BYTES: usize = 16;
/// SHA-256, in the two bytes that a Name begins with.
const SHA256: [u8; 2] = [0x00, 0x0b];

/// Wraps a key pair; `None` where the library fails.
pub(crate) fn wrap(sensitive: &Sensitive, public: &Public) -> Option<Wrapping> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(&mut *key).ok()?;
    let sensitive = Zeroizing::new(sensitive.marshall().ok()?);
    let sensitive = Zeroizing::new(sized(&sensitive)?);
    let name = [&SHA256, digest::digest(&digest::SHA256, &public.marshall().ok()?).as_ref()].concat();
    let mut integrity = digest::Context::new(&digest::SHA256);
    integrity.update(&sensitive);
    integrity.update(&name);
    let mut wrapped = Zeroizing::new(sized(integrity.finish().as_ref())?);
    wrapped.reserve_exact(sensitive.len());
    wrapped.extend_from_slice(&sensitive);
    let cipher = EncryptingKey::cfb128(UnboundCipherKey::new(&AES_128, &*key).ok()?).ok()?;
    let no_vector = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    cipher.less_safe_encrypt(&mut wrapped, no_vector).ok()?;
    Some(Wrapping {
        key: Data::try_from(key.as_slice()).ok()?,
        duplicate: Private::try_from(wrapped.as_slice()).ok()?,
    })
}

/// The bytes behind their length in two bytes.
fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok()?;
    Some([&length.to_be_bytes(), bytes].concat())
}
