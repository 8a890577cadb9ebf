//! AES-GCM with a key for every message, for every backend that has an AES key in the
//! memory of the gateway when it uses it ([`Salting::Derived`]).
//!
//! A message has a random salt of 32 bytes. HKDF-SHA256 (RFC 5869) of the AES key with
//! that salt gives the key of the message (info `skms/message-key/1`, then the name of the
//! algorithm) and its commitment (info `skms/commitment/1`). The key encrypts this one
//! message, so its nonce is all zero and cannot repeat, however many messages there
//! are; and no message opens under two keys, because the commitment would have to be a
//! collision of SHA-256.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time,
    error::Unspecified,
    hkdf::{self, HKDF_SHA256, Prk, Salt},
};
use zeroize::Zeroizing;

use crate::{
    CheckValue, Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error, KeyType, Operation,
    Salting, Secret, associated_data,
};

/// An AES key in memory, or another secret key that is told by a check value.
pub struct SaltedKey<'a>(&'a [u8]);

impl<'a> SaltedKey<'a> {
    /// The key with these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Encrypts one message of at most `longest` bytes.
    ///
    /// # Errors
    /// [`Class::Caller`] for a salt of another length or a longer plaintext,
    /// [`Class::Unsupported`] for an algorithm that is not for such a key.
    pub fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        input: &EncryptInput,
        longest: usize,
    ) -> Result<Encrypted, Error> {
        let refused = |why: &'static str| Error::new(Class::Caller, Operation::Encrypt).detail(why);
        let failed = |source: Unspecified| Error::new(Class::Broken, Operation::Encrypt).source(source);
        if algorithm.is_rsa_oaep() {
            return Err(Error::new(Class::Unsupported, Operation::Encrypt));
        }
        if input.salt.len() != Salting::Derived.bytes() {
            return Err(refused("the salt has another length"));
        }
        if input.plaintext.len() > longest {
            return Err(refused("the plaintext is too long"));
        }
        let (key, commitment) = self.message_key(algorithm, &input.salt).map_err(failed)?;
        let aad = associated_data(&input.header, &commitment, &input.aad);
        // Room for the tag at once: a vector that grows leaves a copy behind.
        let room = input.plaintext.len() + key.algorithm().tag_len();
        let mut sealed = Zeroizing::new(Vec::with_capacity(room));
        sealed.extend_from_slice(&input.plaintext);
        key.seal_in_place_append_tag(nonce(), Aad::from(aad), &mut *sealed).map_err(failed)?;
        Ok(Encrypted { commitment, ciphertext: std::mem::take(&mut *sealed).into() })
    }

    /// Decrypts one message.
    ///
    /// # Errors
    /// [`Class::Caller`] whatever is wrong with the message;
    /// [`Class::Unsupported`] for an input that is no message of AES-GCM.
    pub fn decrypt(&self, algorithm: EncryptionAlgorithm, input: &DecryptInput) -> Result<Secret, Error> {
        let failed = |_: Unspecified| Error::new(Class::Caller, Operation::Decrypt);
        let DecryptInput::Authenticated { salt, header, commitment, aad, ciphertext } = input else {
            return Err(Error::new(Class::Unsupported, Operation::Decrypt));
        };
        // HKDF takes a salt with zeros at its end for the same (RFC 2104 §2).
        if salt.len() != Salting::Derived.bytes() {
            return Err(failed(Unspecified));
        }
        let (key, expected) = self.message_key(algorithm, salt).map_err(failed)?;
        let aad = associated_data(header, &expected, aad);
        let mut opened = Zeroizing::new(ciphertext.to_vec());
        // Both are looked at, so that which of them failed takes no time of its own.
        let committed = constant_time::verify_slices_are_equal(&commitment.0, &expected.0);
        let length = key.open_in_place(nonce(), Aad::from(aad), &mut opened).map(|bytes| bytes.len());
        committed.map_err(failed)?;
        let length = length.map_err(failed)?;
        opened.truncate(length);
        Ok(Secret::new(std::mem::take(&mut *opened)))
    }

    /// What tells the key from every other; `None` only where the library fails.
    #[must_use]
    pub fn check_value(&self, key_type: KeyType) -> Option<CheckValue> {
        let info = [b"skms/check-value/1", key_type.name().as_bytes()];
        Some(CheckValue(*expand(&self.root(&[]), &info).ok()?))
    }

    fn root(&self, salt: &[u8]) -> Prk {
        Salt::new(HKDF_SHA256, salt).extract(self.0)
    }

    /// The key of one message, and its commitment.
    fn message_key(
        &self,
        algorithm: EncryptionAlgorithm,
        salt: &[u8],
    ) -> Result<(LessSafeKey, CheckValue), Unspecified> {
        let root = self.root(salt);
        let info = [b"skms/message-key/1".as_slice(), algorithm.name().as_bytes()];
        let unbound = match algorithm {
            EncryptionAlgorithm::Aes128Gcm => UnboundKey::new(&AES_128_GCM, &*expand::<16>(&root, &info)?)?,
            EncryptionAlgorithm::Aes256Gcm => UnboundKey::new(&AES_256_GCM, &*expand::<32>(&root, &info)?)?,
            _ => return Err(Unspecified),
        };
        let commitment = CheckValue(*expand(&root, &[b"skms/commitment/1"])?);
        Ok((LessSafeKey::new(unbound), commitment))
    }
}

/// How many bytes are wanted of HKDF.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The bytes for one use.
fn expand<const LENGTH: usize>(root: &Prk, info: &[&[u8]]) -> Result<Zeroizing<[u8; LENGTH]>, Unspecified> {
    let mut output = Zeroizing::new([0; LENGTH]);
    root.expand(info, Length(LENGTH))?.fill(&mut *output)?;
    Ok(output)
}

/// Zero, because every key of a message encrypts once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
