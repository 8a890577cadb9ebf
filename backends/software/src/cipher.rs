//! AES-GCM with a key for every message ([`SaltedKey`]), RSAES-OAEP, and HMAC.

use aws_lc_rs::{
    agreement,
    error::Unspecified,
    hmac,
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512},
};
use bytes::Bytes;
use skms_backend::{
    Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error, Hash, KeyType, Operation,
    PublicKey, SaltedKey, Secret,
};
use zeroize::Zeroizing;

use crate::{capabilities::MAX_MESSAGE_BYTES, keys::Material};

/// Encrypts one message.
pub(crate) fn encrypt(
    key: &Material,
    algorithm: EncryptionAlgorithm,
    input: &EncryptInput,
) -> Result<Encrypted, Error> {
    let Material::Secret(key) = key else { return Err(unsupported(Operation::Encrypt)) };
    SaltedKey::new(key).encrypt(algorithm, input, MAX_MESSAGE_BYTES)
}

/// Decrypts one message. Whatever is wrong with it is one error.
pub(crate) fn decrypt(
    key: &Material,
    algorithm: EncryptionAlgorithm,
    input: &DecryptInput,
) -> Result<Secret, Error> {
    let failed = |_: Unspecified| Error::new(Class::Caller, Operation::Decrypt);
    match (key, input) {
        (Material::Secret(key), DecryptInput::Authenticated { .. }) => {
            SaltedKey::new(key).decrypt(algorithm, input)
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

const fn hmac_algorithm(hash: Hash) -> hmac::Algorithm {
    match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha384 => hmac::HMAC_SHA384,
        Hash::Sha512 => hmac::HMAC_SHA512,
    }
}

fn unsupported(operation: Operation) -> Error {
    Error::new(Class::Unsupported, operation).detail("the algorithm is for another kind of key")
}
