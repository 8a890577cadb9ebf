//! AES-GCM: what was encrypted comes back, and nothing else does.

use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use skms_backend::{
    CHECK_NONCE, CheckValue, Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error,
    KeyBackend, KeyType, Salting,
};

use super::{Subject, must_refuse, soon, usage::Used};

/// An input for a key of a type, with a salt that was never used before.
pub(super) fn input(backend: &dyn KeyBackend, key_type: KeyType, plaintext: &[u8]) -> EncryptInput {
    let algorithm = EncryptionAlgorithm::of(key_type).next().unwrap();
    let salting = backend.capabilities().encrypt(key_type, algorithm).unwrap().salting.unwrap();
    salted(salting, plaintext)
}

pub(super) fn salted(salting: Salting, plaintext: &[u8]) -> EncryptInput {
    let mut salt = vec![0; salting.bytes()];
    rand::fill(&mut salt).unwrap();
    super::usage::input(salt, b"header", b"associated data", Bytes::copy_from_slice(plaintext))
}

/// The message of an input and what came of it.
pub(super) fn of(input: &EncryptInput, encrypted: &Encrypted) -> DecryptInput {
    DecryptInput::Authenticated {
        salt: input.salt.clone(),
        header: input.header.clone(),
        commitment: encrypted.commitment,
        aad: input.aad.clone(),
        ciphertext: encrypted.ciphertext.clone(),
    }
}

/// The keys of AES.
fn keys(subject: &Subject) -> impl Iterator<Item = (&Used, EncryptionAlgorithm)> {
    let aes = subject.others.iter().filter(|made| made.key.key_type.is_aes());
    aes.map(|made| (made, EncryptionAlgorithm::of(made.key.key_type).next().unwrap()))
}

async fn encrypt(subject: &Subject, made: &Used, input: &EncryptInput) -> Result<Encrypted, Error> {
    let algorithm = EncryptionAlgorithm::of(made.key.key_type).next().unwrap();
    subject.backend.encrypt(&made.key, algorithm, vec![input.clone()], &soon()).await.remove(0)
}

async fn decrypt(subject: &Subject, made: &Used, message: DecryptInput) -> Result<Vec<u8>, Error> {
    let algorithm = EncryptionAlgorithm::of(made.key.key_type).next().unwrap();
    let opened = subject.backend.decrypt(&made.key, algorithm, vec![message], &soon()).await.remove(0);
    opened.map(|secret| secret.expose().to_vec())
}

pub(super) async fn plaintexts_of_every_length_come_back(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_message_bytes.min(LONGEST_TRIED);
    for (made, algorithm) in keys(&subject) {
        let lengths = (0..=50).chain([63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 4096, longest]);
        for length in lengths {
            let plaintext = vec![0xa5; length];
            for (header, aad) in [(&b""[..], &b""[..]), (b"header", b""), (b"", b"aad"), (b"header", b"aad")]
            {
                let input = EncryptInput {
                    header: Bytes::copy_from_slice(header),
                    aad: Bytes::copy_from_slice(aad),
                    ..input(&*subject.backend, made.key.key_type, &plaintext)
                };
                let encrypted = encrypt(&subject, made, &input).await.unwrap();
                assert_eq!(encrypted.ciphertext.len(), length + 16, "{algorithm}: ciphertext and tag");
                assert!(length < 16 || encrypted.ciphertext[..length] != plaintext, "it is not encrypted");
                let opened = decrypt(&subject, made, of(&input, &encrypted)).await;
                assert_eq!(opened.unwrap(), plaintext, "{algorithm}, {length} bytes");
            }
        }
    }
}

pub(super) async fn a_message_commits_to_its_key_and_not_to_its_text(subject: Arc<Subject>) {
    for (made, algorithm) in keys(&subject) {
        let one = input(&*subject.backend, made.key.key_type, b"one");
        let other = EncryptInput { plaintext: Bytes::from_static(b"other"), ..one.clone() };
        let (first, second) =
            (encrypt(&subject, made, &one).await.unwrap(), encrypt(&subject, made, &one).await.unwrap());
        assert_eq!(first, second, "{algorithm}: all that is random is in the salt");
        if subject.backend.capabilities().encrypt(made.key.key_type, algorithm).unwrap().salting
            == Some(Salting::Nonce)
        {
            // Another text under the same salt would give the key of the tags away.
            let pin = made.key.pin.as_ref().and_then(|pin| pin.check_value());
            assert_eq!(Some(&first.commitment), pin, "a key of the device commits by its check value");
        } else {
            assert_eq!(first.commitment, encrypt(&subject, made, &other).await.unwrap().commitment);
        }
        for (another, _) in keys(&subject).filter(|(another, _)| another.key.pin != made.key.pin) {
            if another.key.key_type == made.key.key_type {
                let encrypted = encrypt(&subject, another, &one).await.unwrap();
                assert_ne!(first.commitment, encrypted.commitment);
                assert_ne!(first.ciphertext, encrypted.ciphertext);
            }
        }
    }
}

pub(super) async fn a_changed_message_is_one_error(subject: Arc<Subject>) {
    for (made, algorithm) in keys(&subject) {
        let input = input(&*subject.backend, made.key.key_type, b"a text of more than one block of AES");
        let encrypted = encrypt(&subject, made, &input).await.unwrap();
        let mut texts = std::collections::BTreeSet::new();
        for (what, changed) in changes(&input, &encrypted) {
            let error = decrypt(&subject, made, changed).await.err();
            let error = error.unwrap_or_else(|| panic!("{algorithm} opens a message with another {what}"));
            assert_eq!(error.class(), Class::Caller, "another {what}: {error}");
            assert_eq!(error.code(), None, "another {what}");
            texts.insert(error.to_string());
        }
        assert_eq!(texts.len(), 1, "the error says what is wrong: {texts:?}");
        assert!(decrypt(&subject, made, of(&input, &encrypted)).await.is_ok());
    }
}

/// Every way to change a message a little.
fn changes(input: &EncryptInput, encrypted: &Encrypted) -> Vec<(String, DecryptInput)> {
    let parts = [&input.salt, &input.header, &input.aad, &encrypted.ciphertext];
    let names = ["salt", "header", "aad", "ciphertext or tag", "commitment"];
    let put = |parts: [Bytes; 4], commitment: [u8; CheckValue::BYTES]| {
        let [salt, header, aad, ciphertext] = parts;
        DecryptInput::Authenticated { salt, header, commitment: CheckValue(commitment), aad, ciphertext }
    };
    let mut changed = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let mut variants: Vec<Vec<u8>> = (0..part.len())
            .map(|byte| {
                let mut bytes = part.to_vec();
                bytes[byte] ^= 1 << (byte % 8);
                bytes
            })
            .collect();
        variants.push(part[1..].to_vec());
        variants.push(part[..part.len() - 1].to_vec());
        variants.push(Vec::new());
        variants.push([part, &b"\0"[..]].concat());
        for variant in variants {
            let mut parts = parts.map(Clone::clone);
            parts[at] = variant.into();
            changed.push((names[at].to_owned(), put(parts, encrypted.commitment.0)));
        }
    }
    for byte in 0..CheckValue::BYTES {
        let mut commitment = encrypted.commitment.0;
        commitment[byte] ^= 0x80;
        changed.push((names[4].to_owned(), put(parts.map(Clone::clone), commitment)));
    }
    changed
}

pub(super) async fn another_key_opens_nothing(subject: Arc<Subject>) {
    for (made, algorithm) in keys(&subject) {
        let input = input(&*subject.backend, made.key.key_type, b"for one key alone");
        let message = of(&input, &encrypt(&subject, made, &input).await.unwrap());
        for (other, _) in
            keys(&subject).filter(|(other, same)| other.key.tag != made.key.tag && *same == algorithm)
        {
            let answer = decrypt(&subject, other, message.clone()).await;
            must_refuse(answer, &[Class::Caller], &format!("{algorithm} with another key"));
        }
    }
}

pub(super) async fn bad_inputs_are_refused_and_harm_nobody(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_message_bytes;
    for (made, algorithm) in keys(&subject) {
        let good = input(&*subject.backend, made.key.key_type, b"good");
        let mut bad = Vec::new();
        for length in [0, 1, good.salt.len() - 1, good.salt.len() + 1, 64] {
            bad.push(EncryptInput { salt: vec![7; length].into(), ..good.clone() });
        }
        if good.salt.len() == CHECK_NONCE.len() {
            bad.push(EncryptInput { salt: Bytes::copy_from_slice(&CHECK_NONCE), ..good.clone() });
        }
        if longest <= LONGEST_TRIED {
            bad.push(EncryptInput { plaintext: vec![0; longest + 1].into(), ..good.clone() });
        }
        for bad in bad {
            let what = format!("{algorithm}: a salt of {}, {} bytes", bad.salt.len(), bad.plaintext.len());
            must_refuse(encrypt(&subject, made, &bad).await, &[Class::Caller], &what);
            assert!(encrypt(&subject, made, &good).await.is_ok());
        }
    }
}

pub(super) async fn bad_messages_fail_alone(subject: Arc<Subject>) {
    for (made, algorithm) in keys(&subject) {
        let texts: Vec<String> = (0..20).map(|index| format!("item {index}")).collect();
        let inputs: Vec<_> =
            texts.iter().map(|text| input(&*subject.backend, made.key.key_type, text.as_bytes())).collect();
        let encrypted = subject.backend.encrypt(&made.key, algorithm, inputs.clone(), &soon()).await;
        assert_eq!(encrypted.len(), inputs.len(), "one answer for each input");
        let messages = inputs.iter().zip(encrypted).enumerate().map(|(index, (input, encrypted))| {
            let mut encrypted = encrypted.unwrap();
            match index % 4 {
                1 => encrypted.commitment.0[0] ^= 1,
                2 => encrypted.ciphertext = encrypted.ciphertext.slice(1..),
                3 => encrypted.ciphertext = Bytes::new(),
                _ => {}
            }
            of(input, &encrypted)
        });
        let opened = subject.backend.decrypt(&made.key, algorithm, messages.collect(), &soon()).await;
        assert_eq!(opened.len(), texts.len(), "one answer for each input");
        for (index, (opened, text)) in opened.into_iter().zip(&texts).enumerate() {
            if index % 4 == 0 {
                assert_eq!(opened.unwrap().expose(), text.as_bytes());
            } else {
                must_refuse(opened.map(drop), &[Class::Caller], &format!("{algorithm}, bad item {index}"));
            }
        }
        assert!(subject.backend.encrypt(&made.key, algorithm, Vec::new(), &soon()).await.is_empty());
    }
}

/// A backend may allow more than a test needs to try.
const LONGEST_TRIED: usize = 4 * 1024 * 1024;
