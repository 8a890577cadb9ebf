//! What is not claimed is refused, with the class that says whose fault it is.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{Class, Hash, KeyRef, KeyTag, KeyType, SignInput, SignatureAlgorithm};

use super::{Made, Subject, digest, message, must_refuse};

/// A key that is not there, or not what it is said to be.
const NO_KEY: [Class; 2] = [Class::Key, Class::Handle];

pub(super) async fn algorithms_not_offered_are_refused(subject: Arc<Subject>) {
    for made in &subject.keys {
        for algorithm in SignatureAlgorithm::ALL {
            if made.sign.iter().any(|support| support.algorithm == algorithm) {
                continue;
            }
            let what = format!("{algorithm} with a {} key", made.key.key_type);
            let mut inputs = vec![message("x")];
            if algorithm.hash().is_some() {
                inputs.push(digest(algorithm, b"x"));
            }
            for input in inputs {
                must_refuse(subject.sign(&made.key, algorithm, input).await, &[Class::Unsupported], &what);
            }
        }
        still_signs(&subject, made).await;
    }
}

pub(super) async fn digests_are_refused_where_not_claimed(subject: Arc<Subject>) {
    for (made, support) in subject.uses().filter(|(_, support)| !support.digest) {
        let algorithm = support.algorithm;
        let hash = algorithm.hash().unwrap_or(Hash::Sha512);
        let input = SignInput::Digest { hash, value: Bytes::copy_from_slice(hash.digest(b"x").as_ref()) };
        let answer = subject.sign(&made.key, algorithm, input).await;
        must_refuse(answer, &[Class::Unsupported], &format!("a digest for {algorithm}"));
        still_signs(&subject, made).await;
    }
}

pub(super) async fn a_bad_digest_is_the_callers_fault_and_harms_nobody(subject: Arc<Subject>) {
    for (made, support) in subject.uses().filter(|(_, support)| support.digest) {
        let algorithm = support.algorithm;
        let hash = algorithm.hash().unwrap();
        let right = hash.digest_bytes();
        for length in [0, 1, right - 1, right + 1, 2 * right, 1000] {
            let input = SignInput::Digest { hash, value: vec![0x11; length].into() };
            let what = format!("a {hash} digest of {length} bytes");
            must_refuse(subject.sign(&made.key, algorithm, input).await, &[Class::Caller], &what);
            still_signs(&subject, made).await;
        }
        for other in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().filter(|other| *other != hash) {
            let value = Bytes::copy_from_slice(other.digest(b"x").as_ref());
            let input = SignInput::Digest { hash: other, value };
            let what = format!("a {other} digest for {algorithm}");
            must_refuse(subject.sign(&made.key, algorithm, input).await, &[Class::Caller], &what);
            still_signs(&subject, made).await;
        }
    }
}

/// Demanded where the message must reach the device whole, and where a test
/// machine has the memory to try.
pub(super) async fn a_message_that_is_too_long_is_the_callers_fault(subject: Arc<Subject>) {
    const WORTH_TRYING: usize = 64 * 1024 * 1024;
    let longest = subject.backend.capabilities().max_message_bytes;
    if longest > WORTH_TRYING {
        return;
    }
    for (made, support) in subject.uses().filter(|(_, support)| !support.digest) {
        let answer = subject.sign(&made.key, support.algorithm, message(vec![0; longest + 1])).await;
        must_refuse(answer, &[Class::Caller], &format!("a message of {} bytes", longest + 1));
        still_signs(&subject, made).await;
    }
}

pub(super) async fn an_unknown_key_is_refused(subject: Arc<Subject>) {
    for made in &subject.keys {
        let algorithm = made.sign[0].algorithm;
        let tag = KeyTag::random().unwrap();
        for blob in [made.key.blob.clone(), Bytes::new(), Bytes::from_static(b"no blob of this backend")] {
            let unknown = KeyRef { tag, key_type: made.key.key_type, blob, pin: None };
            let answer = subject.sign(&unknown, algorithm, message("x")).await;
            must_refuse(answer, &NO_KEY, &format!("{algorithm} with an unknown tag"));
        }
        still_signs(&subject, made).await;
    }
}

/// A catalog that mixes up two keys must not make the backend sign with either.
pub(super) async fn a_key_is_never_used_as_another(subject: Arc<Subject>) {
    for made in &subject.keys {
        for other in &subject.keys {
            if other.key.blob != made.key.blob {
                let mixed = KeyRef { blob: other.key.blob.clone(), ..made.key.clone() };
                let answer = subject.sign(&mixed, made.sign[0].algorithm, message("x")).await;
                must_refuse(answer, &NO_KEY, "the blob of another key");
            }
            if other.key.key_type != made.key.key_type {
                let mixed = KeyRef { key_type: other.key.key_type, ..made.key.clone() };
                let answer = subject.sign(&mixed, other.sign[0].algorithm, message("x")).await;
                let what = as_another(made.key.key_type, other.key.key_type);
                must_refuse(answer, &NO_KEY, &what);
            }
        }
        still_signs(&subject, made).await;
    }
}

fn as_another(is: KeyType, said: KeyType) -> String {
    format!("a {is} key said to be {said}")
}

/// Whatever was refused before, the next call is served.
async fn still_signs(subject: &Subject, made: &Made) {
    subject.must_sign(made, made.sign[0].algorithm, message("still")).await;
}
