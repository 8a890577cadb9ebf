//! One answer for each input, in the order of the inputs.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{Class, SignInput, SignatureAlgorithm};

use super::{Made, Subject, digest, message, must_refuse, soon};

pub(super) async fn answers_come_in_the_order_of_the_inputs(subject: Arc<Subject>) {
    for (made, support) in subject.uses() {
        let count = if made.key.key_type.rsa_bits().is_some() { 5 } else { 100 };
        let inputs: Vec<SignInput> = (0..count)
            .map(|index| {
                let text = format!("item {index}");
                if support.digest && index % 2 == 1 {
                    digest(support.algorithm, text.as_bytes())
                } else {
                    message(text)
                }
            })
            .collect();
        all_verify(&subject, made, support.algorithm, inputs).await;
    }
}

async fn all_verify(subject: &Subject, made: &Made, algorithm: SignatureAlgorithm, inputs: Vec<SignInput>) {
    let answers = subject.backend.sign(&made.key, algorithm, inputs.clone(), &soon()).await;
    assert_eq!(answers.len(), inputs.len(), "{algorithm}: one answer for each input");
    for (index, (input, answer)) in inputs.iter().zip(answers).enumerate() {
        let signature = answer.unwrap_or_else(|error| panic!("{algorithm}, item {index}: {error}")).0;
        assert!(made.public.verify(algorithm, input, &signature), "{algorithm}, item {index}");
    }
}

pub(super) async fn bad_items_fail_alone(subject: Arc<Subject>) {
    for (made, support) in subject.uses().filter(|(_, support)| support.digest) {
        let algorithm = support.algorithm;
        let hash = algorithm.hash().unwrap();
        let bad = |length: usize| SignInput::Digest { hash, value: Bytes::from(vec![0; length]) };
        let inputs = vec![
            bad(1),
            message("one"),
            bad(hash.digest_bytes() + 1),
            bad(0),
            digest(algorithm, b"four"),
            message(""),
            bad(hash.digest_bytes() - 1),
        ];
        let good = [false, true, false, false, true, true, false];
        let answers = subject.backend.sign(&made.key, algorithm, inputs.clone(), &soon()).await;
        assert_eq!(answers.len(), inputs.len(), "{algorithm}: one answer for each input");
        for (index, ((input, answer), good)) in inputs.iter().zip(answers).zip(good).enumerate() {
            if good {
                let signature =
                    answer.unwrap_or_else(|error| panic!("{algorithm}, good item {index}: {error}")).0;
                assert!(made.public.verify(algorithm, input, &signature), "{algorithm}, item {index}");
            } else {
                must_refuse(answer, &[Class::Caller], &format!("{algorithm}, bad item {index}"));
            }
        }
    }
}

pub(super) async fn no_inputs_have_no_answers(subject: Arc<Subject>) {
    for (made, support) in subject.uses() {
        let answers = subject.backend.sign(&made.key, support.algorithm, Vec::new(), &soon()).await;
        assert!(answers.is_empty());
    }
}
