//! RSAES-OAEP: the public half encrypts anywhere, the device decrypts.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use skms_backend::{Class, DecryptInput, EncryptionAlgorithm, Error, PublicKey};

use super::{Subject, must_refuse, soon, usage::Used};

/// The RSA keys that decrypt, with each algorithm that they are offered for.
fn keys(subject: &Subject) -> impl Iterator<Item = (&Used, EncryptionAlgorithm, &PublicKey)> {
    subject.others.iter().flat_map(|made| {
        let support = subject.backend.capabilities().key_type(made.key.key_type).unwrap();
        let oaep = support.encrypt.iter().map(|support| support.algorithm);
        let public = made.key.pin.as_ref().and_then(|pin| pin.public_key());
        let decrypts = matches!(made.usage, skms_backend::Usage::Encrypt(_));
        let public = public.filter(|_| decrypts);
        oaep.filter_map(move |algorithm| Some((made, algorithm, public?)))
    })
}

async fn decrypt(
    subject: &Subject,
    made: &Used,
    algorithm: EncryptionAlgorithm,
    ciphertext: impl Into<Bytes>,
) -> Result<Vec<u8>, Error> {
    let input = DecryptInput::Oaep(ciphertext.into());
    let opened = subject.backend.decrypt(&made.key, algorithm, vec![input], &soon()).await.remove(0);
    opened.map(|secret| secret.expose().to_vec())
}

pub(super) async fn what_the_public_half_encrypts_is_decrypted(subject: Arc<Subject>) {
    for (made, algorithm, public) in keys(&subject) {
        let longest = algorithm.oaep_max_bytes(made.key.key_type).unwrap();
        for length in [0, 1, 15, 16, 17, 32, longest - 1, longest] {
            let plaintext = vec![0x5a; length];
            let ciphertext = public.encrypt_oaep(algorithm, &plaintext).unwrap();
            let opened = decrypt(&subject, made, algorithm, ciphertext).await;
            let opened = opened.unwrap_or_else(|error| panic!("{algorithm}, {length} bytes: {error}"));
            assert_eq!(opened, plaintext, "{algorithm}, {length} bytes");
        }
        assert!(public.encrypt_oaep(algorithm, &vec![0; longest + 1]).is_err());
    }
}

pub(super) async fn a_changed_ciphertext_is_one_error(subject: Arc<Subject>) {
    for (made, algorithm, public) in keys(&subject) {
        let ciphertext = public.encrypt_oaep(algorithm, b"unchanged").unwrap();
        let mut changed: Vec<Vec<u8>> = [0, 1, ciphertext.len() / 2, ciphertext.len() - 1]
            .into_iter()
            .map(|byte| {
                let mut bytes = ciphertext.clone();
                bytes[byte] ^= 1;
                bytes
            })
            .collect();
        changed.push(ciphertext[1..].to_vec());
        changed.push(ciphertext[..ciphertext.len() - 1].to_vec());
        changed.push([&ciphertext[..], b"\0"].concat());
        changed.push(Vec::new());
        changed.push(vec![0; ciphertext.len()]);
        changed.push(vec![0xff; ciphertext.len()]);
        let mut texts = BTreeSet::new();
        for bytes in changed {
            let error = decrypt(&subject, made, algorithm, bytes).await.unwrap_err();
            assert_eq!((error.class(), error.code()), (Class::Caller, None), "{algorithm}: {error}");
            texts.insert(error.to_string());
        }
        assert_eq!(texts.len(), 1, "the error says what is wrong: {texts:?}");
        assert_eq!(decrypt(&subject, made, algorithm, ciphertext).await.unwrap(), b"unchanged");
    }
}

pub(super) async fn another_key_decrypts_nothing(subject: Arc<Subject>) {
    for (made, algorithm, public) in keys(&subject) {
        let ciphertext = public.encrypt_oaep(algorithm, b"for one key alone").unwrap();
        for (other, _, _) in
            keys(&subject).filter(|(other, same, _)| other.key.tag != made.key.tag && *same == algorithm)
        {
            let answer = decrypt(&subject, other, algorithm, ciphertext.clone()).await;
            must_refuse(answer, &[Class::Caller], &format!("{algorithm} with another key"));
        }
    }
}
