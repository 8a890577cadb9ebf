//! Signing: what is refused before the device is asked, what the device is
//! given, and what it must give back.

use bytes::Bytes;
use cryptoki::{object::ObjectHandle, session::Session};
use skms_backend::{Class, Error, Hash, KeyType, Operation, SignInput, Signature, SignatureAlgorithm};

use crate::{error::device, mechanism::Route};

/// The longest message that is given to a device which hashes. One C call takes
/// it whole, and network HSMs refuse more; a caller with more sends a digest.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What kind of signature, and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) key_type: KeyType,
    pub(crate) algorithm: SignatureAlgorithm,
    pub(crate) route: Route,
}

/// Refuses an input that the device must not see.
pub(crate) fn check(algorithm: SignatureAlgorithm, route: Route, input: &SignInput) -> Result<(), Error> {
    let refuse = |class: Class, detail: &'static str| Err(Error::new(class, Operation::Sign).detail(detail));
    match (route, input) {
        (Route::Digest, SignInput::Message(_)) => Ok(()),
        (Route::Message, SignInput::Message(message)) if message.len() > MAX_MESSAGE_BYTES => {
            refuse(Class::Caller, "the message is too long for a device that hashes")
        }
        (Route::Message, SignInput::Message(_)) => Ok(()),
        (Route::Message, SignInput::Digest { .. }) => {
            refuse(Class::Unsupported, "only whole messages can be signed with this algorithm here")
        }
        (Route::Digest, SignInput::Digest { hash, value }) => match algorithm.hash() {
            // The device truncates or pads what has another length.
            Some(expected) if *hash == expected && value.len() == expected.digest_bytes() => Ok(()),
            _ => refuse(Class::Caller, "the digest is not of the hash of the algorithm"),
        },
    }
}

/// Signs one input with the key behind a handle.
pub(crate) fn one(
    session: &Session,
    key: ObjectHandle,
    request: Request,
    input: &SignInput,
) -> Result<Signature, Error> {
    // Made here, because a mechanism may not leave its thread.
    let mechanism = request
        .route
        .mechanism(request.algorithm)
        .ok_or_else(|| Error::new(Class::Unsupported, Operation::Sign))?;
    let hash = match request.route {
        Route::Digest => request.algorithm.hash(),
        Route::Message => None,
    };
    let signature = match (input, hash) {
        (SignInput::Message(message), None) => session.sign(&mechanism, key, message),
        (SignInput::Message(message), Some(hash)) => {
            session.sign(&mechanism, key, &framed(request.algorithm, hash, hash.digest(message).as_ref()))
        }
        (SignInput::Digest { hash, value }, _) => {
            session.sign(&mechanism, key, &framed(request.algorithm, *hash, value))
        }
    }
    .map_err(device(Operation::Sign))?;
    if signature.len() == signature_bytes(request.key_type) {
        Ok(Signature(Bytes::from(signature)))
    } else {
        Err(Error::new(Class::Broken, Operation::Sign)
            .detail("the signature is not of the length of its key"))
    }
}

/// A digest as the device expects it: RSASSA-PKCS1-v1_5 wants it as DigestInfo,
/// the others bare.
fn framed(algorithm: SignatureAlgorithm, hash: Hash, digest: &[u8]) -> Vec<u8> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512 => [digest_info(hash), digest].concat(),
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP521Sha512
        | SignatureAlgorithm::EcdsaSecp256k1Sha256
        | SignatureAlgorithm::RsaPssSha256
        | SignatureAlgorithm::RsaPssSha384
        | SignatureAlgorithm::RsaPssSha512
        | SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::MlDsa44
        | SignatureAlgorithm::MlDsa65
        | SignatureAlgorithm::MlDsa87 => digest.to_vec(),
    }
}

/// The DER of DigestInfo before the digest (RFC 8017 §9.2, note 1).
const fn digest_info(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha256 => b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
        Hash::Sha384 => b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30",
        Hash::Sha512 => b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
    }
}

/// The length of every signature of a key, in bytes: a modulus, r‖s, or R‖S.
fn signature_bytes(key_type: KeyType) -> usize {
    match (key_type.rsa_bits(), key_type.field_bytes()) {
        (Some(bits), _) => bits.div_ceil(8),
        (None, Some(field)) => 2 * field,
        (None, None) => 64,
    }
}

#[cfg(test)]
mod tests {
    use der::{Any, Decode, Sequence, asn1::ObjectIdentifier, asn1::OctetStringRef};

    use super::*;

    #[derive(Sequence)]
    struct AlgorithmIdentifier {
        oid: ObjectIdentifier,
        parameters: Any,
    }

    #[derive(Sequence)]
    struct DigestInfo<'a> {
        algorithm: AlgorithmIdentifier,
        digest: &'a OctetStringRef,
    }

    #[test]
    fn digest_info_is_der_with_the_hash_and_the_digest() {
        for (algorithm, hash, oid) in [
            (SignatureAlgorithm::RsaPkcs1Sha256, Hash::Sha256, "2.16.840.1.101.3.4.2.1"),
            (SignatureAlgorithm::RsaPkcs1Sha384, Hash::Sha384, "2.16.840.1.101.3.4.2.2"),
            (SignatureAlgorithm::RsaPkcs1Sha512, Hash::Sha512, "2.16.840.1.101.3.4.2.3"),
        ] {
            let digest = hash.digest(b"abc");
            let framed = framed(algorithm, hash, digest.as_ref());
            let info = DigestInfo::from_der(&framed).unwrap();
            assert_eq!(info.algorithm.oid.to_string(), oid);
            assert!(info.algorithm.parameters.is_null());
            assert_eq!(info.digest.as_bytes(), digest.as_ref());
        }
    }

    #[test]
    fn digests_of_another_hash_or_length_never_reach_the_device() {
        let digest = |hash, length| SignInput::Digest { hash, value: vec![0; length].into() };
        let class = |algorithm, route, input| check(algorithm, route, &input).map_err(|error| error.class());
        let es256 = SignatureAlgorithm::EcdsaP256Sha256;
        assert_eq!(class(es256, Route::Digest, digest(Hash::Sha256, 32)), Ok(()));
        for (hash, length) in [
            (Hash::Sha256, 0),
            (Hash::Sha256, 31),
            (Hash::Sha256, 33),
            (Hash::Sha384, 48),
            (Hash::Sha384, 32),
        ] {
            assert_eq!(class(es256, Route::Digest, digest(hash, length)), Err(Class::Caller));
        }
        let ed25519 = SignatureAlgorithm::Ed25519;
        assert_eq!(class(ed25519, Route::Message, digest(Hash::Sha512, 64)), Err(Class::Unsupported));
    }

    #[test]
    fn only_a_device_that_hashes_bounds_the_message() {
        let long = SignInput::Message(vec![0; MAX_MESSAGE_BYTES + 1].into());
        let ed25519 = SignatureAlgorithm::Ed25519;
        assert_eq!(check(ed25519, Route::Message, &long).unwrap_err().class(), Class::Caller);
        assert!(check(SignatureAlgorithm::RsaPssSha256, Route::Digest, &long).is_ok());
    }

    #[test]
    fn signatures_have_the_length_of_their_key() {
        let lengths = KeyType::ALL.map(signature_bytes);
        assert_eq!(lengths[..8], [256, 384, 512, 64, 96, 132, 64, 64]);
    }
}
