//! AES-GCM, RSAES-OAEP and HMAC with a key on the token.
//!
//! The salt of a message is the nonce of AES-GCM, and its commitment the check value of
//! the key: what the key itself makes of a fixed text, hashed.
//!
//! **Invariant:** whatever is wrong with a ciphertext is one error, and one whose length
//! is wrong does not reach the device.

use bytes::Bytes;
use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        aead::GcmParams,
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource},
    },
    object::ObjectHandle,
    session::Session,
};
use skms_backend::{
    CHECK_BLOCKS, CHECK_NONCE, CheckValue, Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm,
    Error, Hash, KeyType, Operation, Pin, Salting, Secret, associated_data,
};

use crate::{
    error::{blames_ciphertext, device},
    session::{Handle, Link, Token},
    sign::MAX_MESSAGE_BYTES,
};

/// The length of a tag of AES-GCM: 128 bits.
const TAG_BYTES: usize = 16;

/// What the check value of an HMAC key is made of: SHA-256 of its code of this text. A
/// caller who has the code of the text made knows the check value, which is no secret.
const CHECK_TEXT: &[u8] = b"skms check value of an HMAC key";

/// Refuses an input that the device must not see.
pub(crate) fn check_encrypt(input: &EncryptInput) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(Error::new(Class::Caller, Operation::Encrypt).detail(why));
    if input.salt.len() != Salting::Nonce.bytes() {
        refuse("the salt has another length")
    } else if *input.salt == CHECK_NONCE {
        refuse("the salt is kept for the check value of the key")
    } else if input.plaintext.len() > MAX_MESSAGE_BYTES {
        refuse("the plaintext is too long")
    } else if input.header.len() + input.aad.len() > MAX_MESSAGE_BYTES {
        refuse("the associated data is too long")
    } else {
        Ok(())
    }
}

/// The same for a ciphertext.
pub(crate) fn check_decrypt(
    key_type: KeyType,
    algorithm: EncryptionAlgorithm,
    input: &DecryptInput,
) -> Result<(), Error> {
    let fits = match (input, key_type.rsa_bits()) {
        (DecryptInput::Authenticated { salt, header, aad, ciphertext, .. }, None) => {
            let lengths = TAG_BYTES..=MAX_MESSAGE_BYTES + TAG_BYTES;
            salt.len() == Salting::Nonce.bytes()
                && **salt != CHECK_NONCE
                && lengths.contains(&ciphertext.len())
                && header.len() + aad.len() <= MAX_MESSAGE_BYTES
        }
        (DecryptInput::Oaep(ciphertext), Some(bits)) => ciphertext.len() == bits.div_ceil(8),
        _ => {
            let why = format!("it is no ciphertext of {algorithm}");
            return Err(Error::new(Class::Unsupported, Operation::Decrypt).detail(why));
        }
    };
    if fits { Ok(()) } else { Err(undecipherable()) }
}

/// Refuses an input to a message authentication code that the device must not see.
pub(crate) fn check_mac(input: &Bytes) -> Result<(), Error> {
    if input.len() > MAX_MESSAGE_BYTES {
        return Err(Error::new(Class::Caller, Operation::Mac).detail("the input is too long"));
    }
    Ok(())
}

/// Encrypts an input that was checked.
pub(crate) fn encrypt(link: &Link, key: &Handle, input: &EncryptInput) -> Result<Encrypted, Error> {
    let Pin::Secret(commitment) = key.pin else {
        return Err(Error::new(Class::Unsupported, Operation::Encrypt));
    };
    let mut nonce = CHECK_NONCE;
    nonce.copy_from_slice(&input.salt);
    let aad = associated_data(&input.header, &commitment, &input.aad);
    let ciphertext = seal(&link.session, key.object, nonce, &aad, &input.plaintext)?;
    Ok(Encrypted { commitment, ciphertext: ciphertext.into() })
}

fn seal(
    session: &Session,
    key: ObjectHandle,
    nonce: [u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut used = nonce;
    let parameters = GcmParams::new(&mut used, aad, TAG_BITS.into()).map_err(device(Operation::Encrypt))?;
    let ciphertext = session
        .encrypt(&Mechanism::AesGcm(parameters), key, plaintext)
        .map_err(device(Operation::Encrypt))?;
    if used != nonce {
        let why = "the device took another nonce than it was given";
        return Err(Error::new(Class::Broken, Operation::Encrypt).detail(why));
    }
    if ciphertext.len() != plaintext.len() + TAG_BYTES {
        let why = "the ciphertext is not of the length of its plaintext";
        return Err(Error::new(Class::Broken, Operation::Encrypt).detail(why));
    }
    Ok(ciphertext)
}

/// Decrypts an input that was checked.
pub(crate) fn decrypt(
    token: &Token,
    link: &Link,
    key: &Handle,
    algorithm: EncryptionAlgorithm,
    input: &DecryptInput,
) -> Result<Secret, Error> {
    match (input, &key.pin) {
        (
            DecryptInput::Authenticated { salt, header, commitment, aad, ciphertext },
            Pin::Secret(expected),
        ) => {
            if commitment != expected {
                return Err(undecipherable());
            }
            let mut nonce = salt.to_vec();
            let aad = associated_data(header, commitment, aad);
            let parameters =
                GcmParams::new(&mut nonce, &aad, TAG_BITS.into()).map_err(device(Operation::Decrypt))?;
            open(token, link, &Mechanism::AesGcm(parameters), key.object, ciphertext)
        }
        (DecryptInput::Oaep(ciphertext), Pin::Public(_)) => {
            let parameters =
                oaep(algorithm).ok_or_else(|| Error::new(Class::Unsupported, Operation::Decrypt))?;
            open(token, link, &Mechanism::RsaPkcsOaep(parameters), key.object, ciphertext)
        }
        _ => Err(Error::new(Class::Unsupported, Operation::Decrypt)),
    }
}

fn open(
    token: &Token,
    link: &Link,
    mechanism: &Mechanism<'_>,
    key: ObjectHandle,
    ciphertext: &[u8],
) -> Result<Secret, Error> {
    link.session.decrypt(mechanism, key, ciphertext).map(Secret::new).map_err(|error| {
        if blames_ciphertext(&error) {
            token.present(link, Operation::Decrypt).err().unwrap_or_else(undecipherable)
        } else {
            device(Operation::Decrypt)(error)
        }
    })
}

/// The one answer to whatever is wrong with a ciphertext.
fn undecipherable() -> Error {
    Error::new(Class::Caller, Operation::Decrypt)
}

/// The code of an input that was checked.
pub(crate) fn mac(link: &Link, key: &Handle, input: &[u8]) -> Result<Bytes, Error> {
    code(&link.session, key.object, key.key_type, input, Operation::Mac).map(Bytes::from)
}

fn code(
    session: &Session,
    key: ObjectHandle,
    key_type: KeyType,
    input: &[u8],
    operation: Operation,
) -> Result<Vec<u8>, Error> {
    let (mechanism, hash) = match key_type.mac_hash() {
        Some(hash @ Hash::Sha256) => (Mechanism::Sha256Hmac, hash),
        Some(hash @ Hash::Sha384) => (Mechanism::Sha384Hmac, hash),
        Some(hash @ Hash::Sha512) => (Mechanism::Sha512Hmac, hash),
        None => return Err(Error::new(Class::Unsupported, operation)),
    };
    let code = session.sign(&mechanism, key, input).map_err(device(operation))?;
    if code.len() == hash.digest_bytes() {
        Ok(code)
    } else {
        Err(Error::new(Class::Broken, operation).detail("the code is not of the length of its hash"))
    }
}

/// What tells a secret key from every other, made with the key itself.
pub(crate) fn check_value(
    session: &Session,
    key: ObjectHandle,
    key_type: KeyType,
) -> Result<CheckValue, Error> {
    let made = if key_type.is_aes() {
        seal(session, key, CHECK_NONCE, &[], &CHECK_BLOCKS)?
    } else {
        code(session, key, key_type, CHECK_TEXT, Operation::Mac)?
    };
    Ok(hashed(&made))
}

/// The check value out of what a key made of the fixed text.
pub(crate) fn hashed(made: &[u8]) -> CheckValue {
    let mut value = [0; CheckValue::BYTES];
    value.copy_from_slice(Hash::Sha256.digest(made).as_ref());
    CheckValue(value)
}

/// The fixed text of HMAC keys.
pub(crate) const fn check_text() -> &'static [u8] {
    CHECK_TEXT
}

/// RSAES-OAEP with one hash for all of it, and no label.
fn oaep(algorithm: EncryptionAlgorithm) -> Option<PkcsOaepParams<'static>> {
    let (hash, mgf) = match algorithm {
        EncryptionAlgorithm::RsaOaepSha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
        EncryptionAlgorithm::RsaOaepSha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        EncryptionAlgorithm::RsaOaepSha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        EncryptionAlgorithm::RsaOaepSha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512),
        EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => return None,
    };
    Some(PkcsOaepParams::new(hash, mgf, PkcsOaepSource::empty()))
}

const TAG_BITS: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(salt: &[u8], length: usize) -> DecryptInput {
        DecryptInput::Authenticated {
            salt: Bytes::copy_from_slice(salt),
            header: Bytes::new(),
            commitment: CheckValue([0; 32]),
            aad: Bytes::new(),
            ciphertext: vec![0; length].into(),
        }
    }

    #[test]
    fn what_is_no_ciphertext_by_its_length_never_reaches_the_device() {
        let gcm = |input| check_decrypt(KeyType::Aes256, EncryptionAlgorithm::Aes256Gcm, &input);
        assert!(gcm(message(&[1; 12], 16)).is_ok());
        let longest = MAX_MESSAGE_BYTES + TAG_BYTES;
        let expected = undecipherable().to_string();
        for bad in [
            message(&[1; 12], 15),
            message(&[1; 12], longest + 1),
            message(&[1; 11], 16),
            message(&CHECK_NONCE, 48),
        ] {
            let error = gcm(bad).unwrap_err();
            assert_eq!((error.class(), error.to_string()), (Class::Caller, expected.clone()));
        }
        for length in [0, 255, 257] {
            let input = DecryptInput::Oaep(vec![0; length].into());
            let error =
                check_decrypt(KeyType::Rsa2048, EncryptionAlgorithm::RsaOaepSha1, &input).unwrap_err();
            assert_eq!((error.class(), error.to_string()), (Class::Caller, expected.clone()));
        }
    }

    #[test]
    fn the_nonce_of_the_check_value_is_no_salt() {
        let input = |salt: [u8; 12]| EncryptInput {
            salt: Bytes::copy_from_slice(&salt),
            header: Bytes::new(),
            aad: Bytes::new(),
            plaintext: Bytes::new(),
        };
        assert!(check_encrypt(&input([0; 12])).is_ok());
        assert_eq!(check_encrypt(&input(CHECK_NONCE)).unwrap_err().class(), Class::Caller);
    }
}
