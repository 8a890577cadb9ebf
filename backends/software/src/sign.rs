//! Signing one input with one key in memory.
//!
//! A message is hashed here and signed as its digest, so that messages and
//! digests take one path.

use aws_lc_rs::{
    digest::Digest,
    error::Unspecified,
    signature::{
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding,
    },
};
use bytes::Bytes;
use skms_backend::{Class, Error, Operation, SignInput, Signature, SignatureAlgorithm};

use crate::{capabilities::MAX_MESSAGE_BYTES, keys::Material};

/// Signs `input`. Whether the algorithm fits the key has been checked before.
pub(crate) fn sign(
    key: &Material,
    algorithm: SignatureAlgorithm,
    input: &SignInput,
) -> Result<Signature, Error> {
    let signature = match (input, algorithm.hash()) {
        (SignInput::Message(message), _) if message.len() > MAX_MESSAGE_BYTES => {
            return Err(refused(format!("the message has more than {MAX_MESSAGE_BYTES} bytes")));
        }
        (SignInput::Message(message), None) => sign_message(key, message)?,
        (SignInput::Message(message), Some(hash)) => sign_digest(key, algorithm, &hash.digest(message))?,
        (SignInput::Digest { hash, value }, Some(expected)) if *hash == expected => {
            let digest = Digest::import_less_safe(value, hash.algorithm()).map_err(|Unspecified| {
                refused(format!("a {hash} digest has {} bytes, not {}", hash.digest_bytes(), value.len()))
            })?;
            sign_digest(key, algorithm, &digest)?
        }
        (SignInput::Digest { hash, .. }, Some(expected)) => {
            return Err(refused(format!("the digest is {hash}, the algorithm takes {expected}")));
        }
        (SignInput::Digest { .. }, None) => {
            return Err(unsupported("the algorithm takes whole messages only"));
        }
    };
    Ok(Signature(signature))
}

fn sign_message(key: &Material, message: &[u8]) -> Result<Bytes, Error> {
    match key {
        Material::Ed25519(pair) => {
            let signature = pair.try_sign(message).map_err(failed)?;
            Ok(Bytes::copy_from_slice(signature.as_ref()))
        }
        Material::MlDsa(pair) => {
            let mut signature = vec![0; pair.algorithm().signature_len()];
            let length = pair.sign(message, &mut signature).map_err(failed)?;
            signature.truncate(length);
            Ok(signature.into())
        }
        _ => Err(unsupported(OTHER_KEY)),
    }
}

fn sign_digest(key: &Material, algorithm: SignatureAlgorithm, digest: &Digest) -> Result<Bytes, Error> {
    match key {
        Material::Ecdsa(pair) => {
            let signature = pair.sign_digest(digest).map_err(failed)?;
            Ok(Bytes::copy_from_slice(signature.as_ref()))
        }
        Material::Rsa(pair) => {
            let padding = padding(algorithm).ok_or_else(|| unsupported(OTHER_KEY))?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign_digest(padding, digest, &mut signature).map_err(failed)?;
            Ok(signature.into())
        }
        _ => Err(unsupported(OTHER_KEY)),
    }
}

/// The library's PSS salts have the length of the digest.
fn padding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaPssSha256 => Some(&RSA_PSS_SHA256),
        SignatureAlgorithm::RsaPssSha384 => Some(&RSA_PSS_SHA384),
        SignatureAlgorithm::RsaPssSha512 => Some(&RSA_PSS_SHA512),
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaPkcs1Sha384 => Some(&RSA_PKCS1_SHA384),
        SignatureAlgorithm::RsaPkcs1Sha512 => Some(&RSA_PKCS1_SHA512),
        _ => None,
    }
}

const OTHER_KEY: &str = "the algorithm is for another key type";

fn refused(problem: String) -> Error {
    Error::new(Class::Caller, Operation::Sign).detail(problem)
}

fn unsupported(problem: &'static str) -> Error {
    Error::new(Class::Unsupported, Operation::Sign).detail(problem)
}

fn failed(source: Unspecified) -> Error {
    Error::new(Class::Broken, Operation::Sign).source(source)
}
