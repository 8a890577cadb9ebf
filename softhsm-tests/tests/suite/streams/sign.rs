//! Streams of signatures, and of signatures to check.

use std::collections::BTreeMap;

use skms::proto;
use skms_tests::gateway::Home;

use super::{start, to_the_end};
use crate::ask::{PROGRAM, create, sign, verify};

const ITEMS: usize = 500;

/// What is asked of the backends in turn, with something wrong now and then.
fn item(backends: &[&str], number: usize) -> (proto::SignRequest, Option<&'static str>) {
    let key = backends[number % backends.len()];
    let mut item = sign(key, format!("text {number}"));
    item.reference = format!("item {number}");
    match number % 10 {
        3 => (proto::SignRequest { key_id: "missing".into(), ..item }, Some("KEY_NOT_FOUND")),
        5 => (proto::SignRequest { input_crc32c: Some(7), ..item }, Some("CHECKSUM_MISMATCH")),
        7 => (proto::SignRequest { input: None, ..item }, Some("FIELD_REQUIRED")),
        _ => (item, None),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_stream_is_answered_as_the_call_of_one_and_recorded() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let backends = home.backends();
    for backend in &backends {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    let before = home.audit().len();
    for ordered in [false, true] {
        let (mut asking, mut answers) =
            client.sign_stream(proto::SignStreamStart { ordered, ..start() }).await.unwrap();
        assert_eq!(answers.granted(), 256);
        let items: Vec<_> = (0..ITEMS).map(|number| item(&backends, number)).collect();
        let asked: Vec<_> = items.iter().map(|(item, _)| item.clone()).collect();
        let asking = tokio::spawn(async move {
            for item in asked {
                asking.ask(item).await.unwrap();
            }
        });
        let (order, answered) = to_the_end(&mut answers).await;
        asking.await.unwrap();
        assert_eq!(answered.len(), ITEMS);
        if ordered {
            assert!(order.is_sorted(), "{order:?}");
        }
        let (mut verifying, mut verdicts) =
            client.verify_stream(proto::VerifyStreamStart::default()).await.unwrap();
        let mut questions = Vec::new();
        for ((asked, expected), (sequence, answer)) in items.iter().zip(&answered) {
            match (expected, answer) {
                (None, Ok(signature)) => {
                    assert_eq!((&signature.key_id, &signature.reference), (&asked.key_id, &asked.reference));
                    let Some(proto::sign_request::Input::Message(message)) = &asked.input else { panic!() };
                    questions.push(verify(&asked.key_id, message.clone(), signature.signature.clone()));
                }
                (Some(expected), Err(reason)) => assert_eq!(reason, expected, "{sequence}"),
                (_, answer) => panic!("{sequence}: {answer:?}, expected {expected:?}"),
            }
        }
        // One signature is that of another message.
        let (other, one) = (questions[1].clone(), &mut questions[0]);
        one.input = other.input;
        let count = questions.len();
        let verifying = tokio::spawn(async move {
            for question in questions {
                verifying.ask(question).await.unwrap();
            }
        });
        let (_, verdicts) = to_the_end(&mut verdicts).await;
        verifying.await.unwrap();
        let valid: Vec<_> = verdicts.values().map(|verdict| verdict.as_ref().unwrap().valid).collect();
        assert_eq!((valid.len(), valid.iter().position(|valid| !valid)), (count, Some(0)));
        assert_eq!(valid.iter().filter(|valid| **valid).count(), count - 1);
    }
    // Each is on record as the call of one is, with its place in its stream.
    let mut records: BTreeMap<String, BTreeMap<u64, serde_json::Value>> = BTreeMap::new();
    for record in home.audit().into_iter().skip(before).filter(|record| record["action"] == "sign-message") {
        let stream = record["request_id"].as_str().unwrap().to_owned();
        let item = record["item"].as_u64().unwrap_or_else(|| panic!("{record}"));
        records.entry(stream).or_default().insert(item, record);
    }
    assert_eq!(records.len(), 2);
    for records in records.values() {
        assert_eq!(records.len(), ITEMS);
        for (number, record) in records {
            let (_, expected) = item(&backends, usize::try_from(*number).unwrap());
            assert_eq!(record["result"], expected.unwrap_or("ok"), "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_without_a_key_or_an_algorithm_has_those_of_its_stream() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("rsa-2048", "usual", "soft")).await.unwrap();
    client.create_key(create("ed25519", "other", "soft")).await.unwrap();
    let pss = proto::SignatureAlgorithm::RsaPssSha512;
    let start = proto::SignStreamStart {
        default_key_id: "usual".into(),
        default_algorithm: pss.into(),
        max_in_flight: 3,
        ..start()
    };
    let (mut asking, mut answers) = client.sign_stream(start).await.unwrap();
    assert_eq!(answers.granted(), 3);
    let ed25519 = proto::SignatureAlgorithm::Ed25519;
    asking.ask(sign("", "text")).await.unwrap();
    asking.ask(proto::SignRequest { algorithm: ed25519.into(), ..sign("other", "text") }).await.unwrap();
    // Its key cannot sign so.
    asking.ask(sign("other", "text")).await.unwrap();
    drop(asking);
    let (_, answered) = to_the_end(&mut answers).await;
    let got: Vec<_> = answered
        .values()
        .map(|answer| answer.as_ref().map(|signature| (signature.key_id.as_str(), signature.algorithm())))
        .collect();
    let refused = &"ALGORITHM_NOT_ALLOWED".to_owned();
    assert_eq!(got, [Ok(("usual", pss)), Ok(("other", ed25519)), Err(refused)]);
}

/// A device that is slow must not be flooded by one stream.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_items_are_at_work_than_were_granted() {
    let home = Home::every(PROGRAM);
    let Some(tpm) = home.tpm() else { return };
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "slow", "tpm")).await.unwrap();
    client.create_key(create("ec-p256", "quick", "soft")).await.unwrap();
    tpm.stand_still(true);
    let (mut asking, mut answers) =
        client.sign_stream(proto::SignStreamStart { max_in_flight: 3, ..start() }).await.unwrap();
    for number in 0..10 {
        asking.ask(sign("slow", format!("{number}"))).await.unwrap();
    }
    let at_work = async || {
        let pool = client.get_backend("tpm").await.unwrap().pool.unwrap();
        pool.busy + pool.queued
    };
    while at_work().await < 3 {}
    // Others are served by the same connection, and the stream still has no more.
    for number in 0..100 {
        client.sign(sign("quick", format!("{number}"))).await.unwrap();
        assert_eq!(at_work().await, 3);
    }
    tpm.stand_still(false);
    drop(asking);
    let (_, answered) = to_the_end(&mut answers).await;
    assert_eq!(answered.values().filter(|answer| answer.is_ok()).count(), 10);
}
