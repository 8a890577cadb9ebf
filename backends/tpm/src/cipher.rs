//! RSAES-OAEP, HMAC and agreement with a key in the TPM; AES-GCM with one that it keeps.

use bytes::Bytes;
use skms_backend::{
    CheckValue, Class, DecryptInput, EncryptionAlgorithm, Error, KeyType, Operation, PublicKey, Secret,
};
use tss_esapi::{
    handles::{KeyHandle, ObjectHandle},
    interface_types::algorithm::HashingAlgorithm,
    structures::{Data, EccPoint, HashScheme, MaxBuffer, PublicKeyRsa, RsaDecryptionScheme},
};

use crate::{
    device::{Connection, Guard},
    error::{blames_input, device},
    public::padded,
    resolve::hashed,
    sign::MAX_MESSAGE_BYTES,
    template::hashing,
};

/// What the check value of an HMAC key is made of: SHA-256 of its code of this text. A
/// caller who has the code of the text made knows the check value, which is no secret.
const CHECK_TEXT: &[u8] = b"skms check value of an HMAC key";

/// The length of a tag of AES-GCM: 128 bits.
const TAG_BYTES: usize = 16;

/// Refuses a ciphertext that is none.
pub(crate) fn check_decrypt(
    key_type: KeyType,
    algorithm: EncryptionAlgorithm,
    input: &DecryptInput,
) -> Result<(), Error> {
    match (input, key_type.rsa_bits()) {
        (DecryptInput::Oaep(ciphertext), Some(bits)) if ciphertext.len() == bits / 8 => Ok(()),
        (DecryptInput::Authenticated { ciphertext, .. }, None)
            if ciphertext.len() <= MAX_MESSAGE_BYTES + TAG_BYTES =>
        {
            Ok(())
        }
        (DecryptInput::Oaep(_), Some(_)) | (DecryptInput::Authenticated { .. }, None) => {
            Err(undecipherable())
        }
        _ => {
            let why = format!("it is no ciphertext of {algorithm}");
            Err(Error::new(Class::Unsupported, Operation::Decrypt).detail(why))
        }
    }
}

/// Decrypts a ciphertext of RSAES-OAEP that was checked.
///
/// libtpms answers `TPM_RC_FAILURE` to a bad one, as a TPM does that is broken; which of
/// both it is shows the next command.
pub(crate) fn decrypt(
    connection: &mut Connection,
    handle: ObjectHandle,
    algorithm: EncryptionAlgorithm,
    ciphertext: &[u8],
) -> Result<Secret, Error> {
    let failed = device(Operation::Decrypt);
    let scheme = match algorithm {
        EncryptionAlgorithm::RsaOaepSha1 => HashingAlgorithm::Sha1,
        EncryptionAlgorithm::RsaOaepSha256 => HashingAlgorithm::Sha256,
        EncryptionAlgorithm::RsaOaepSha384 => HashingAlgorithm::Sha384,
        EncryptionAlgorithm::RsaOaepSha512 => HashingAlgorithm::Sha512,
        EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => {
            return Err(Error::new(Class::Unsupported, Operation::Decrypt));
        }
    };
    let scheme = RsaDecryptionScheme::Oaep(HashScheme::new(scheme));
    let ciphertext = PublicKeyRsa::try_from(ciphertext).map_err(&failed)?;
    let opened = connection.ask(Guard::Sealed, |context| {
        context.rsa_decrypt(KeyHandle::from(handle), ciphertext.clone(), scheme, Data::default())
    });
    match opened {
        Ok(plaintext) => Ok(Secret::new(plaintext.value().to_vec())),
        Err(error) if blames_input(&error) => {
            connection.call(Guard::None, Operation::Decrypt, |context| context.get_random(1))?;
            Err(undecipherable())
        }
        Err(error) => Err(failed(error)),
    }
}

/// The one answer to whatever is wrong with a ciphertext.
fn undecipherable() -> Error {
    Error::new(Class::Caller, Operation::Decrypt)
}

/// Refuses an input to a message authentication code that is longer than the TPM takes.
pub(crate) fn check_mac(longest: usize, input: &Bytes) -> Result<(), Error> {
    if input.len() > longest {
        return Err(Error::new(Class::Caller, Operation::Mac).detail("the input is too long"));
    }
    Ok(())
}

/// The code of an input that was checked.
pub(crate) fn mac(
    connection: &mut Connection,
    handle: ObjectHandle,
    key_type: KeyType,
    input: &[u8],
    operation: Operation,
) -> Result<Bytes, Error> {
    let hash = key_type.mac_hash().ok_or_else(|| Error::new(Class::Unsupported, operation))?;
    let buffer = MaxBuffer::try_from(input).map_err(device(operation))?;
    let code = connection
        .call(Guard::Sealed, operation, |context| context.hmac(handle, buffer.clone(), hashing(hash)))?;
    if code.value().len() == hash.digest_bytes() {
        Ok(Bytes::copy_from_slice(code.value()))
    } else {
        Err(Error::new(Class::Broken, operation).detail("the code is not of the length of its hash"))
    }
}

/// What tells an HMAC key from every other, made with the key itself.
pub(crate) fn check_value(
    connection: &mut Connection,
    handle: ObjectHandle,
    key_type: KeyType,
    operation: Operation,
) -> Result<CheckValue, Error> {
    mac(connection, handle, key_type, CHECK_TEXT, operation).map(|code| hashed(&code))
}

/// The secret that a key and the public half of another, which is of its type, agree on.
pub(crate) fn agree(
    connection: &mut Connection,
    handle: ObjectHandle,
    key_type: KeyType,
    peer: &PublicKey,
) -> Result<Secret, Error> {
    let failed = device(Operation::Agree);
    let unfit = || Error::new(Class::Caller, Operation::Agree).detail("the public key cannot be agreed with");
    let width = key_type.field_bytes().ok_or_else(|| Error::new(Class::Unsupported, Operation::Agree))?;
    let point = peer.raw().strip_prefix(&[4]).filter(|point| point.len() == 2 * width).ok_or_else(unfit)?;
    let (x, y) = point.split_at(width);
    let point = EccPoint::new(x.try_into().map_err(&failed)?, y.try_into().map_err(&failed)?);
    let agreed =
        connection.ask(Guard::Sealed, |context| context.ecdh_z_gen(KeyHandle::from(handle), point.clone()));
    match agreed {
        Ok(secret) => {
            let broken = || Error::new(Class::Broken, Operation::Agree).detail("the secret is too long");
            padded(secret.x().value(), width).map(Secret::new).ok_or_else(broken)
        }
        Err(error) if blames_input(&error) => Err(unfit()),
        Err(error) => Err(failed(error)),
    }
}
