//! HMAC: codes are those of the standard, whoever makes them.

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::{hmac, rand};
use bytes::Bytes;
use skms_backend::{Class, Hash, KeyType, Usage};

use super::{Subject, import, must_refuse, soon, usage::Used};

/// RFC 4231 §4.2 and §4.3: key, text, and the codes with SHA-256, SHA-384 and SHA-512.
const VECTORS: [(&[u8], &[u8], [&str; 3]); 2] = [
    (
        &[0x0b; 20],
        b"Hi There",
        [
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ],
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        [
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ],
    ),
];

fn keys(subject: &Subject) -> impl Iterator<Item = &Used> {
    subject.others.iter().filter(|made| made.usage == Usage::Mac)
}

async fn mac(subject: &Subject, made: &Used, text: &[u8]) -> Bytes {
    let inputs = vec![Bytes::copy_from_slice(text)];
    subject.backend.mac(&made.key, inputs, &soon()).await.remove(0).unwrap()
}

/// The types whose keys can be known.
fn known(subject: &Subject) -> Vec<(KeyType, Hash)> {
    let offered = subject.backend.capabilities().key_types.iter();
    offered
        .filter(|offered| offered.mac && offered.import)
        .map(|offered| (offered.key_type, offered.key_type.mac_hash().unwrap()))
        .collect()
}

pub(super) async fn codes_are_those_of_the_standard(subject: Arc<Subject>) {
    for (key_type, hash) in known(&subject) {
        for (key, text, codes) in VECTORS {
            // HMAC fills a key up with zeros (RFC 2104 §2).
            let mut filled = vec![0; key_type.secret_bytes().unwrap()];
            filled[..key.len()].copy_from_slice(key);
            let made = import::must_import(&subject, key_type, Usage::Mac, filled).await;
            let code = mac(&subject, &made, text).await;
            let at = [Hash::Sha256, Hash::Sha384, Hash::Sha512].iter().position(|known| *known == hash);
            assert_eq!(hex::encode(code), codes[at.unwrap()], "{key_type}");
            subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
        }
    }
}

pub(super) async fn codes_are_those_of_others(subject: Arc<Subject>) {
    for (key_type, hash) in known(&subject) {
        let algorithm = match hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        let mut key = vec![0; key_type.secret_bytes().unwrap()];
        rand::fill(&mut key).unwrap();
        let made = import::must_import(&subject, key_type, Usage::Mac, key.clone()).await;
        let key = hmac::Key::new(algorithm, &key);
        let longest = subject.backend.capabilities().max_mac_bytes.min(65536);
        for length in [0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000, longest] {
            let text = vec![0xa5; length];
            assert_eq!(mac(&subject, &made, &text).await, hmac::sign(&key, &text).as_ref(), "{length} bytes");
        }
        subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
    }
}

pub(super) async fn codes_tell_keys_and_inputs_apart(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_mac_bytes;
    let mut seen = BTreeSet::new();
    for made in keys(&subject) {
        for text in [&b""[..], b"one", b"other"] {
            let code = mac(&subject, made, text).await;
            assert_eq!(code, mac(&subject, made, text).await, "a code is the same every time");
            assert!(seen.insert(code), "two codes are the same");
        }
        let inputs = vec![Bytes::from(vec![0; longest + 1])];
        let answer = subject.backend.mac(&made.key, inputs, &soon()).await.remove(0);
        must_refuse(answer, &[Class::Caller], "an input that is too long");
        mac(&subject, made, b"still").await;
    }
}

pub(super) async fn answers_come_in_the_order_of_the_inputs(subject: Arc<Subject>) {
    for made in keys(&subject) {
        let texts: Vec<Bytes> = (0..50).map(|index| format!("item {index}").into()).collect();
        let codes = subject.backend.mac(&made.key, texts.clone(), &soon()).await;
        assert_eq!(codes.len(), texts.len(), "one answer for each input");
        for (text, code) in texts.iter().zip(codes) {
            assert_eq!(code.unwrap(), mac(&subject, made, text).await);
        }
        assert!(subject.backend.mac(&made.key, Vec::new(), &soon()).await.is_empty());
    }
}
