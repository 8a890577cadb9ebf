//! Signatures are made as claimed, and others verify them.

use std::{collections::BTreeSet, sync::Arc};

use skms_backend::KeyType;

use super::{Subject, digest, message, ml_dsa, openssl};

pub(super) async fn every_message_length_is_signed(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_message_bytes.min(LONGEST_TRIED);
    for (made, support) in subject.uses() {
        // Around the block lengths of the hashes, and of what devices take at once.
        for length in [0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 1000] {
            subject.must_sign(made, support.algorithm, message(vec![0xa5; length])).await;
        }
    }
    let mut tried = BTreeSet::new();
    for (made, support) in subject.uses() {
        if tried.insert(support.algorithm) {
            subject.must_sign(made, support.algorithm, message(vec![0x5a; longest])).await;
        }
    }
}

pub(super) async fn digests_are_signed_where_claimed(subject: Arc<Subject>) {
    for (made, support) in subject.uses().filter(|(_, support)| support.digest) {
        let algorithm = support.algorithm;
        for text in [&b""[..], b"hashed by the caller"] {
            let signature = subject.must_sign(made, algorithm, digest(algorithm, text)).await;
            // The signature of a digest is one of its message.
            assert!(made.public.verify(algorithm, &message(text), &signature), "{algorithm}");
        }
    }
}

pub(super) async fn others_verify_every_algorithm(subject: Arc<Subject>) {
    for (made, support) in subject.uses() {
        let algorithm = support.algorithm;
        let text = b"for the eyes of others";
        let of_message = subject.must_sign(made, algorithm, message(&text[..])).await;
        if made.key.key_type.is_ml_dsa() {
            assert!(ml_dsa::verifies(&made.public, text, &of_message), "RustCrypto refuses {algorithm}");
            assert!(!ml_dsa::verifies(&made.public, b"something else", &of_message));
            continue;
        }
        assert!(openssl::verifies(&made.public, algorithm, text, &of_message), "openssl refuses {algorithm}");
        assert!(
            !openssl::verifies(&made.public, algorithm, b"something else", &of_message),
            "openssl accepts anything"
        );
        if support.digest {
            let of_digest = subject.must_sign(made, algorithm, digest(algorithm, text)).await;
            assert!(
                openssl::verifies(&made.public, algorithm, text, &of_digest),
                "openssl refuses {algorithm} of a digest"
            );
        }
    }
}

pub(super) async fn signatures_have_the_specified_length(subject: Arc<Subject>) {
    for (made, support) in subject.uses() {
        let key_type = made.key.key_type;
        let expected = match (key_type.rsa_bits(), key_type.field_bytes()) {
            (Some(bits), _) => bits / 8,
            (None, Some(field)) => 2 * field,
            (None, None) => match key_type {
                // FIPS 204, table 2.
                KeyType::MlDsa44 => 2420,
                KeyType::MlDsa65 => 3309,
                KeyType::MlDsa87 => 4627,
                _ => 64,
            },
        };
        // A number with leading zeros comes once in 128 signatures; it is padded.
        let rounds: u32 = if key_type.field_bytes().is_some() { 300 } else { 3 };
        for round in 0..rounds {
            let text = round.to_be_bytes();
            let signature = subject.must_sign(made, support.algorithm, message(text.to_vec())).await;
            assert_eq!(signature.len(), expected, "{}", support.algorithm);
        }
    }
}

/// A backend may allow more than fits into the memory of a test machine.
const LONGEST_TRIED: usize = 64 * 1024 * 1024;
