//! Batches: an answer for each item, in its place, as the call of one would have got it.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use skms::{
    client::{Client, ClientConfig},
    proto::{self, batch_decrypt_result, batch_encrypt_result, batch_sign_result, batch_verify_result},
};
use skms_tests::gateway::Home;
use tonic::Status;

use crate::ask::{PROGRAM, create, outcome, refusal, sign, verify};

/// An error of an item, as the call of one would have it.
fn refused(error: &tonic_types::Status) -> String {
    let details = error.encode_to_vec().into();
    refusal(&Status::with_details(error.code.into(), error.message.clone(), details))
}

/// Takes the key `disabled` out of use.
async fn disable(client: &Client) {
    let request = proto::DisableKeyRequest { key_id: "disabled".into(), ..Default::default() };
    client.disable_key(request).await.unwrap();
}

fn signed(result: &proto::BatchSignResult) -> Result<&proto::SignResponse, String> {
    match result.result.as_ref().unwrap() {
        batch_sign_result::Result::Response(signature) => Ok(signature),
        batch_sign_result::Result::Error(error) => Err(refused(error)),
    }
}

fn all(requests: Vec<proto::SignRequest>) -> proto::BatchSignRequest {
    proto::BatchSignRequest { requests, all_or_nothing: false }
}

/// Good ones, and one of each kind that is refused, as often as asked for.
fn mixed(backends: &[&str], times: usize) -> Vec<(proto::SignRequest, Option<&'static str>)> {
    let mut items = Vec::new();
    for time in 0..times {
        for backend in backends {
            items.push((sign(backend, format!("{backend} {time}")), None));
        }
        let key = backends[0];
        items.push((sign("missing", "text"), Some("NotFound KEY_NOT_FOUND")));
        items.push((sign("", "text"), Some("InvalidArgument FIELD_REQUIRED key_id")));
        items.push((sign("disabled", "text"), Some("FailedPrecondition KEY_DISABLED")));
        let wrong = proto::SignRequest { input_crc32c: Some(7), ..sign(key, "text") };
        items.push((wrong, Some("InvalidArgument CHECKSUM_MISMATCH input_crc32c")));
    }
    for (number, (item, _)) in items.iter_mut().enumerate() {
        item.reference = format!("item {number}");
    }
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_has_its_answer_in_its_place_and_its_record() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let backends = home.backends();
    for backend in &backends {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    client.create_key(create("ed25519", "disabled", "soft")).await.unwrap();
    disable(&client).await;
    let items = mixed(&backends, 1000 / (backends.len() + 4));
    let before = home.audit().len();
    let asked = items.iter().map(|(item, _)| item.clone()).collect();
    let results = client.batch_sign(all(asked)).await.unwrap().results;
    assert_eq!(results.len(), items.len());
    let mut questions = Vec::new();
    for (number, ((item, expected), result)) in items.iter().zip(&results).enumerate() {
        assert_eq!(result.reference, format!("item {number}"));
        match (expected, signed(result)) {
            (None, Ok(signature)) => {
                assert_eq!((&signature.key_id, &signature.reference), (&item.key_id, &item.reference));
                let Some(proto::sign_request::Input::Message(message)) = &item.input else { panic!() };
                questions.push(verify(&item.key_id, message.clone(), signature.signature.clone()));
            }
            (Some(expected), Err(got)) => assert_eq!(got, *expected, "item {number}"),
            (_, got) => panic!("item {number}: {got:?}, expected {expected:?}"),
        }
    }
    // Each is recorded as the call of one is, with its place.
    let records: BTreeMap<u64, serde_json::Value> = home.audit()[before..]
        .iter()
        .map(|record| (record["item"].as_u64().unwrap(), record.clone()))
        .collect();
    assert_eq!(records.len(), items.len());
    for (number, (_, expected)) in items.iter().enumerate() {
        let record = &records[&(number as u64)];
        let reason = expected.map_or("ok", |line| line.split(' ').nth(1).unwrap());
        assert_eq!(
            (&record["action"], &record["result"]),
            (&"sign-message".into(), &reason.into()),
            "{record}"
        );
    }
    // One of them is not the signature of another's message.
    let good = questions.len();
    let (other, one) = (questions[1].clone(), &mut questions[0]);
    one.input = other.input;
    let answers =
        client.batch_verify(proto::BatchVerifyRequest { requests: questions }).await.unwrap().results;
    let valid: Vec<_> = answers
        .iter()
        .map(|answer| match answer.result.as_ref().unwrap() {
            batch_verify_result::Result::Response(verdict) => verdict.valid,
            batch_verify_result::Result::Error(error) => panic!("{}", refused(error)),
        })
        .collect();
    assert_eq!((valid.len(), valid.iter().position(|valid| !valid)), (good, Some(0)));
    assert_eq!(valid.iter().filter(|valid| **valid).count(), good - 1);
    println!("{} items, {good} signed", items.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_does_nothing_where_one_is_at_fault() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "soft")).await.unwrap();
    let at_fault = [
        (sign("missing", "text"), "NotFound KEY_NOT_FOUND"),
        (sign("key", ""), "ok"),
        (sign("", "text"), "InvalidArgument FIELD_REQUIRED key_id"),
    ];
    for (bad, expected) in at_fault {
        let mut requests = vec![sign("key", "text"); 200];
        requests[150] = bad;
        let before = home.audit().len();
        let batch = proto::BatchSignRequest { requests, all_or_nothing: true };
        let results = client.batch_sign(batch).await.unwrap().results;
        let got: Vec<_> =
            results.iter().map(|result| signed(result).map_or_else(|error| error, |_| "ok".into())).collect();
        if expected == "ok" {
            assert!(got.iter().all(|got| got == "ok"));
            continue;
        }
        for (number, got) in got.iter().enumerate() {
            let expected = if number == 150 { expected } else { "Aborted BATCH_ABORTED" };
            assert_eq!(got, expected, "item {number}");
        }
        let records = home.audit();
        assert_eq!(records.len() - before, 200);
        assert!(records[before..].iter().all(|record| record["result"] != "ok"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_stops_at_the_first_that_fails() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in ["key", "disabled"] {
        client.create_key(create("ed25519", key, "soft")).await.unwrap();
    }
    disable(&client).await;
    let mut requests = vec![sign("key", "text"); 1000];
    // Its form is right and it is allowed; that it fails is found out when it is done.
    requests[100] = sign("disabled", "text");
    let batch = proto::BatchSignRequest { requests, all_or_nothing: true };
    let results = client.batch_sign(batch).await.unwrap().results;
    let got: Vec<_> = results.iter().map(|result| signed(result).map(|_| ())).collect();
    assert!(got[..68].iter().all(Result::is_ok), "what was done before it stays done");
    assert_eq!(got[100], Err("FailedPrecondition KEY_DISABLED".into()));
    // A few were at work beside it.
    assert!(got[200..].iter().all(|got| *got == Err("Aborted BATCH_ABORTED".into())), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "soft")).await.unwrap();
    let none = client.batch_sign(all(Vec::new())).await;
    assert_eq!(outcome(&none), "InvalidArgument FIELD_REQUIRED");
    assert_eq!(
        outcome(&client.batch_sign(all(vec![sign("key", ""); 1001])).await),
        "InvalidArgument FIELD_INVALID"
    );
    let large = vec![sign("key", vec![7; 64 * 1024]); 65];
    let config = ClientConfig { max_send_bytes: 8 << 20, ..gateway.client_config() };
    let large = Client::connect(config).await.unwrap().batch_sign(all(large)).await;
    assert_eq!(outcome(&large), "InvalidArgument PAYLOAD_TOO_LARGE", "{large:?}");
    // As many bytes as there may be, of which an item has too many.
    let mut large = vec![sign("key", vec![7; 64 * 1024]); 60];
    large.push(sign("key", vec![7; 64 * 1024 + 1]));
    let results = client.batch_sign(all(large)).await.unwrap().results;
    assert!(results[..60].iter().all(|result| signed(result).is_ok()));
    assert_eq!(signed(&results[60]).unwrap_err(), "InvalidArgument PAYLOAD_TOO_LARGE message");
    // Each of these left its record.
    let records = home.audit();
    let recorded = |reason: &str| records.iter().any(|record| record["result"] == reason);
    for reason in ["FIELD_REQUIRED", "FIELD_INVALID", "PAYLOAD_TOO_LARGE"] {
        assert!(recorded(reason), "{reason}: {records:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_encrypted_another_decrypts() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let backends = home.backends();
    for backend in &backends {
        client.create_key(create("aes-256", backend, backend)).await.unwrap();
    }
    let requests: Vec<_> = (0..400)
        .map(|number| proto::EncryptRequest {
            key_id: backends[number % backends.len()].into(),
            plaintext: format!("plaintext {number}").into(),
            ..Default::default()
        })
        .collect();
    let batch = proto::BatchEncryptRequest { requests: requests.clone(), all_or_nothing: true };
    let made = client.batch_encrypt(batch).await.unwrap().results;
    let mut ciphertexts: Vec<_> = made
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            batch_encrypt_result::Result::Response(made) => made.ciphertext.to_vec(),
            batch_encrypt_result::Result::Error(error) => panic!("{}", refused(error)),
        })
        .collect();
    *ciphertexts[7].last_mut().unwrap() ^= 1;
    let items = requests.iter().zip(&ciphertexts).map(|(request, ciphertext)| proto::DecryptRequest {
        key_id: request.key_id.clone(),
        ciphertext: Bytes::from(ciphertext.clone()),
        ..Default::default()
    });
    let batch = proto::BatchDecryptRequest { requests: items.collect() };
    let results = client.batch_decrypt(batch).await.unwrap().results;
    for (number, (request, result)) in requests.iter().zip(&results).enumerate() {
        match result.result.as_ref().unwrap() {
            batch_decrypt_result::Result::Response(made) => assert_eq!(made.plaintext, request.plaintext),
            batch_decrypt_result::Result::Error(error) => {
                assert_eq!((number, refused(error).as_str()), (7, "InvalidArgument DECRYPTION_FAILED"));
            }
        }
    }
}
