//! What happens to files and secrets while nobody looks: moved, removed, changed.

use std::fs;

use skms::proto;
use skms_tests::gateway::Home;

use crate::ask::{create, outcome, sign};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");

#[tokio::test]
async fn another_master_key_is_noticed_before_a_key_is_made_under_it() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("ed25519", "old", "soft")).await.unwrap();
    assert!(gateway.stop().await.success());
    let path = home.path().join("master.key");
    let right = fs::read(&path).unwrap();
    fs::write(&path, hex::encode([7_u8, 8].repeat(16))).unwrap();
    let output = home.command().arg("serve").arg("--config").arg(home.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("`soft`") && said.contains("master key"), "{said}");
    fs::write(&path, right).unwrap();
    let gateway = home.start();
    gateway.client().await.sign(sign("old", "hello")).await.unwrap();
}

#[tokio::test]
async fn a_catalog_that_was_removed_takes_no_more_keys() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "before", "soft")).await.unwrap();
    fs::rename(home.path().join("catalog.db"), home.path().join("elsewhere.db")).unwrap();
    let refused = outcome(&client.create_key(create("ed25519", "after", "soft")).await);
    assert_eq!(refused, "Unavailable STORE_UNAVAILABLE");
    client.sign(sign("before", "what is in memory goes on signing")).await.unwrap();
    fs::rename(home.path().join("elsewhere.db"), home.path().join("catalog.db")).unwrap();
    client.create_key(create("ed25519", "after", "soft")).await.unwrap();
}

#[tokio::test]
async fn a_catalog_that_was_cut_short_is_not_begun_anew() {
    let home = Home::software(PROGRAM);
    fs::write(home.path().join("catalog.db"), "").unwrap();
    fs::write(home.path().join("catalog.db-wal"), "what is left").unwrap();
    let Err(log) = home.try_start([]) else { panic!("it serves an empty catalog") };
    assert!(log.contains("write-ahead log"), "{log}");
}

#[tokio::test]
async fn an_audit_log_that_was_moved_away_is_begun_anew() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "one", "soft")).await.unwrap();
    let before = home.audit().len();
    assert!(before > 0);
    fs::rename(home.path().join("audit.jsonl"), home.path().join("audit.1.jsonl")).unwrap();
    client.sign(sign("one", "hello")).await.unwrap();
    let records = home.audit();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["action"], "sign-message");
}

#[tokio::test]
async fn a_repeated_call_is_recorded_as_one_and_under_the_key_it_got() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut request = create("ed25519", "", "soft");
    request.request_id = crate::ask::request_id();
    let first = client.create_key(request.clone()).await.unwrap();
    let again = client.create_key(request).await.unwrap();
    assert_eq!(first.id, again.id);
    let records = home.audit();
    let last = records.last().unwrap();
    assert_eq!((&last["key"], &last["repeated"]), (&first.id.as_str().into(), &true.into()), "{last}");
}

#[tokio::test]
async fn absurd_values_are_refused_and_only_so_many_are_named() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for (seconds, nanos) in
        [(i64::MIN, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (86_401, -999_999_999)]
    {
        let params = proto::KeyParams {
            destroy_scheduled_duration: Some(prost_types::Duration { seconds, nanos }),
            not_before_time: Some(prost_types::Timestamp { seconds, nanos }),
            expire_time: Some(prost_types::Timestamp { seconds, nanos }),
            ..Default::default()
        };
        let request = proto::CreateKeyRequest { params: Some(params), ..create("ed25519", "x", "") };
        let error = client.create_key(request).await.unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(failure.reason.as_deref(), Some("FIELD_INVALID"), "{failure:?}");
    }
    let mut request = create("ed25519", "x", "soft");
    request.metadata = (0..64).map(|label| (format!("BAD-{label}"), String::new())).collect();
    let error = client.create_key(request).await.unwrap_err();
    assert_eq!(error.failure().unwrap().violations.len(), 16);
    assert!(!gateway.log().contains("panicked"));
}

#[test]
fn the_log_is_not_written_into_the_catalog() {
    let home = Home::software(PROGRAM).configured("");
    let text = fs::read_to_string(home.config()).unwrap().replace("audit.jsonl", "catalog.db-wal");
    let path = home.path().join("mixed.toml");
    fs::write(&path, text).unwrap();
    let output = home.command().arg("check").arg("--config").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("`audit.path`"), "{said}");
}

#[tokio::test]
async fn a_message_that_was_forgotten_is_not_signed_and_one_is_not_written_over() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("ed25519", "one", "soft")).await.unwrap();
    let message = home.path().join("message");
    fs::write(&message, "hello").unwrap();
    let message = message.to_str().unwrap();
    for arguments in [vec!["sign", "one"], vec!["sign", "one", "--in", message, "--out", message]] {
        let mut command = home.command();
        command
            .env("SKMS_TOKEN_FILE", home.admin_token())
            .env("SKMS_ENDPOINT", gateway.endpoint())
            .args(&arguments)
            .stdin(std::process::Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    assert_eq!(fs::read(message).unwrap(), b"hello");
}

/// What a handler does not survive is one call.
#[tokio::test]
async fn a_panic_is_an_internal_error_on_record_and_nothing_more() {
    let home = Home::software(PROGRAM);
    let point = "create-key.intent-written=1*panic(canary-6d1f)";
    let gateway = home.start_with([("FAILPOINTS", point.into())]);
    let client = gateway.client().await;
    let refused = client.create_key(create("ed25519", "one", "soft")).await.unwrap_err();
    let failure = refused.failure().unwrap();
    assert_eq!((failure.code, failure.reason.as_deref()), (tonic::Code::Internal, Some("INTERNAL")));
    assert!(!failure.message.contains("canary"), "{}", failure.message);
    client.create_key(create("ed25519", "two", "soft")).await.unwrap();
    client.sign(sign("two", "on the same connection")).await.unwrap();
    let id = failure.request_id.clone().unwrap();
    let records: Vec<_> = home.audit().into_iter().filter(|record| record["request_id"] == id).collect();
    let phases: Vec<_> = records.iter().map(|record| (&record["phase"], &record["result"])).collect();
    let none = serde_json::Value::Null;
    assert_eq!(phases, [(&"intent".into(), &none), (&"outcome".into(), &"INTERNAL".into())]);
    assert!(gateway.stop().await.success());
    // What it left half made is swept by the next start.
    let gateway = home.start();
    gateway.client().await.create_key(create("ed25519", "one", "soft")).await.unwrap();
}
