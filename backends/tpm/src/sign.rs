//! Signing: what is refused before the TPM is asked, and what it is asked.
//!
//! A message is hashed here; a TPM hashes slowly and at most 1024 bytes at once.

use bytes::Bytes;
use skms_backend::{Class, Error, KeyType, Operation, SignInput, Signature, SignatureAlgorithm};
use tss_esapi::{
    constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK},
    handles::{KeyHandle, ObjectHandle},
    structures::{Digest, EccSignature, HashScheme, HashcheckTicket, Signature as Signed, SignatureScheme},
    tss2_esys::TPMT_TK_HASHCHECK,
};

use crate::{
    device::{Connection, Guard},
    error::device,
    public::padded,
    template::hashing,
};

/// The longest message: what one call to the gateway may carry.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Refuses an input that the TPM must not see.
pub(crate) fn check(algorithm: SignatureAlgorithm, input: &SignInput) -> Result<(), Error> {
    let refuse = |why: &'static str| Err(Error::new(Class::Caller, Operation::Sign).detail(why));
    match input {
        SignInput::Message(message) if message.len() > MAX_MESSAGE_BYTES => refuse("the message is too long"),
        SignInput::Message(_) => Ok(()),
        SignInput::Digest { hash, value } => match algorithm.hash() {
            Some(expected) if *hash == expected && value.len() == expected.digest_bytes() => Ok(()),
            _ => refuse("the digest is not of the hash of the algorithm"),
        },
    }
}

/// Signs an input that was checked, with a key that is loaded.
pub(crate) fn one(
    connection: &mut Connection,
    handle: ObjectHandle,
    (key_type, algorithm): (KeyType, SignatureAlgorithm),
    guard: Guard,
    input: &SignInput,
) -> Result<Signature, Error> {
    let failed = device(Operation::Sign);
    let unsupported = || Error::new(Class::Unsupported, Operation::Sign);
    let hash = algorithm.hash().ok_or_else(unsupported)?;
    let digest = match input {
        SignInput::Message(message) => Digest::try_from(hash.digest(message).as_ref()),
        SignInput::Digest { value, .. } => Digest::try_from(value.as_ref()),
    }
    .map_err(&failed)?;
    let scheme = scheme(algorithm).ok_or_else(unsupported)?;
    let signed = connection.call(guard, Operation::Sign, |context| {
        context.sign(KeyHandle::from(handle), digest.clone(), scheme, no_ticket()?)
    })?;
    let signature = match &signed {
        Signed::RsaSsa(signed) | Signed::RsaPss(signed) => {
            key_type.rsa_bits().and_then(|bits| padded(signed.signature().value(), bits / 8))
        }
        Signed::EcDsa(signed) => fixed(signed, key_type),
        _ => None,
    };
    signature.map(|bytes| Signature(Bytes::from(bytes))).ok_or_else(|| {
        Error::new(Class::Broken, Operation::Sign).detail("the signature is not of the form of its key")
    })
}

/// r‖s, each as long as the field.
fn fixed(signed: &EccSignature, key_type: KeyType) -> Option<Vec<u8>> {
    let width = key_type.field_bytes()?;
    let mut fixed = padded(signed.signature_r().value(), width)?;
    fixed.extend(padded(signed.signature_s().value(), width)?);
    Some(fixed)
}

/// The scheme of an algorithm. The salt of RSASSA-PSS is the TPM's to choose: see
/// `discover`.
fn scheme(algorithm: SignatureAlgorithm) -> Option<SignatureScheme> {
    let hash_scheme = HashScheme::new(hashing(algorithm.hash()?));
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP521Sha512 => Some(SignatureScheme::EcDsa { hash_scheme }),
        SignatureAlgorithm::RsaPssSha256
        | SignatureAlgorithm::RsaPssSha384
        | SignatureAlgorithm::RsaPssSha512 => Some(SignatureScheme::RsaPss { hash_scheme }),
        SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512 => Some(SignatureScheme::RsaSsa { hash_scheme }),
        SignatureAlgorithm::EcdsaSecp256k1Sha256
        | SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::MlDsa44
        | SignatureAlgorithm::MlDsa65
        | SignatureAlgorithm::MlDsa87 => None,
    }
}

/// That nobody has proved the TPM to have hashed the message, which only restricted keys
/// demand.
fn no_ticket() -> tss_esapi::Result<HashcheckTicket> {
    TPMT_TK_HASHCHECK { tag: TPM2_ST_HASHCHECK, hierarchy: TPM2_RH_NULL, digest: Default::default() }
        .try_into()
}
