//! AES-GCM with a key for every message, RSAES-OAEP, and HMAC.
//!
//! A message has a random salt of 32 bytes. HKDF-SHA256 of the AES key with that salt
//! gives the key of the message (info `skms/message-key/1`, then the name of the
//! algorithm) and its commitment (info `skms/commitment/1`). The key encrypts this one
//! message, so its nonce is all zero and cannot repeat, however many messages there
//! are; and no message opens under two keys, because the commitment would have to be a
//! collision of SHA-256.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement, constant_time,
    error::Unspecified,
    hmac,
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512},
};
use bytes::Bytes;
use skms_backend::{
    CheckValue, Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error, Hash, KeyType,
    Operation, PublicKey, Salting, Secret, associated_data,
};
use zeroize::Zeroizing;

use crate::{capabilities::MAX_MESSAGE_BYTES, derive::Root, keys::Material};

/// Encrypts one message.
pub(crate) fn encrypt(
    key: &Material,
    algorithm: EncryptionAlgorithm,
    input: &EncryptInput,
) -> Result<Encrypted, Error> {
    let refused = |why: &'static str| Error::new(Class::Caller, Operation::Encrypt).detail(why);
    let failed = |source: Unspecified| Error::new(Class::Broken, Operation::Encrypt).source(source);
    let Material::Secret(key) = key else { return Err(unsupported(Operation::Encrypt)) };
    if input.salt.len() != Salting::Derived.bytes() {
        return Err(refused("the salt has another length"));
    }
    if input.plaintext.len() > MAX_MESSAGE_BYTES {
        return Err(refused("the plaintext is too long"));
    }
    let (key, commitment) = message_key(key, algorithm, &input.salt).map_err(failed)?;
    let aad = associated_data(&input.header, &commitment, &input.aad);
    // Room for the tag at once: a vector that grows leaves a copy behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(input.plaintext.len() + key.algorithm().tag_len()));
    sealed.extend_from_slice(&input.plaintext);
    key.seal_in_place_append_tag(nonce(), Aad::from(aad), &mut *sealed).map_err(failed)?;
    Ok(Encrypted { commitment, ciphertext: std::mem::take(&mut *sealed).into() })
}

/// Decrypts one message. Whatever is wrong with it is one error.
pub(crate) fn decrypt(
    key: &Material,
    algorithm: EncryptionAlgorithm,
    input: &DecryptInput,
) -> Result<Secret, Error> {
    let failed = |_: Unspecified| Error::new(Class::Caller, Operation::Decrypt);
    match (key, input) {
        (
            Material::Secret(key),
            DecryptInput::Authenticated { salt, header, commitment, aad, ciphertext },
        ) => {
            // HKDF takes a salt with zeros at its end for the same (RFC 2104 §2).
            if salt.len() != Salting::Derived.bytes() {
                return Err(failed(Unspecified));
            }
            let (key, expected) = message_key(key, algorithm, salt).map_err(failed)?;
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
        (Material::Oaep(key, _), DecryptInput::Oaep(ciphertext)) => {
            let scheme = match algorithm {
                EncryptionAlgorithm::RsaOaepSha1 => &OAEP_SHA1_MGF1SHA1,
                EncryptionAlgorithm::RsaOaepSha256 => &OAEP_SHA256_MGF1SHA256,
                EncryptionAlgorithm::RsaOaepSha384 => &OAEP_SHA384_MGF1SHA384,
                EncryptionAlgorithm::RsaOaepSha512 => &OAEP_SHA512_MGF1SHA512,
                EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => {
                    return Err(unsupported(Operation::Decrypt));
                }
            };
            let mut plaintext = Zeroizing::new(vec![0; key.min_output_size()]);
            let length = key.decrypt(scheme, ciphertext, &mut plaintext, None).map_err(failed)?.len();
            plaintext.truncate(length);
            Ok(Secret::new(std::mem::take(&mut *plaintext)))
        }
        _ => Err(unsupported(Operation::Decrypt)),
    }
}

/// The message authentication code of one input.
pub(crate) fn mac(key: &Material, key_type: KeyType, input: &[u8]) -> Result<Bytes, Error> {
    let (Material::Secret(key), Some(hash)) = (key, key_type.mac_hash()) else {
        return Err(unsupported(Operation::Mac));
    };
    if input.len() > MAX_MESSAGE_BYTES {
        return Err(Error::new(Class::Caller, Operation::Mac).detail("the input is too long"));
    }
    let key = hmac::Key::new(hmac_algorithm(hash), key);
    Ok(Bytes::copy_from_slice(hmac::sign(&key, input).as_ref()))
}

/// The secret that a key and the public half of another agree on.
pub(crate) fn agree(key: &Material, peer: &PublicKey) -> Result<Secret, Error> {
    let Material::Agree(key) = key else { return Err(unsupported(Operation::Agree)) };
    let refused = || {
        let why = "the public key of the other side cannot be agreed with";
        Error::new(Class::Caller, Operation::Agree).detail(why)
    };
    let peer = agreement::UnparsedPublicKey::new(key.algorithm(), peer.raw());
    agreement::agree(key, peer, refused(), |secret| Ok(Secret::new(secret.to_vec())))
}

/// What tells a secret key from every other.
pub(crate) fn check_value(key: &[u8], key_type: KeyType) -> Result<CheckValue, Unspecified> {
    let root = Root::new(key, &[]);
    Ok(CheckValue(*root.expand(&[b"skms/check-value/1", key_type.name().as_bytes()])?))
}

/// The key of one message, and its commitment.
fn message_key(
    key: &[u8],
    algorithm: EncryptionAlgorithm,
    salt: &[u8],
) -> Result<(LessSafeKey, CheckValue), Unspecified> {
    let root = Root::new(key, salt);
    let info = [b"skms/message-key/1".as_slice(), algorithm.name().as_bytes()];
    let unbound = match algorithm {
        EncryptionAlgorithm::Aes128Gcm => UnboundKey::new(&AES_128_GCM, &*root.expand::<16>(&info)?)?,
        EncryptionAlgorithm::Aes256Gcm => UnboundKey::new(&AES_256_GCM, &*root.expand::<32>(&info)?)?,
        _ => return Err(Unspecified),
    };
    let commitment = CheckValue(*root.expand(&[b"skms/commitment/1"])?);
    Ok((LessSafeKey::new(unbound), commitment))
}

const fn hmac_algorithm(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}

/// Zero, because every key of a message encrypts once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn unsupported(operation: Operation) -> Error {
    Error::new(Class::Unsupported, operation).detail("the algorithm is for another kind of key")
}
