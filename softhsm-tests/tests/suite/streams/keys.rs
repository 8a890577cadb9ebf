//! Many keys at once: made in one stream, and listed in one.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use skms::{
    client::Client,
    proto::{self, batch_create_keys_result::Result as Made},
};
use skms_tests::gateway::Home;
use tokio_stream::iter;

use super::refused;
use crate::ask::{PROGRAM, create, outcome, request_id};

/// What is listed, in its order.
async fn listed(client: &Client, request: proto::StreamKeysRequest) -> Vec<String> {
    let mut keys = client.stream_keys(request).await.unwrap();
    let mut all = Vec::new();
    while let Some(key) = keys.next().await.unwrap() {
        all.push(key.id);
    }
    all
}

/// Puts copies of the key `a-pattern` into the catalog of a gateway that does not run.
fn multiply(home: &Home, count: usize) {
    let catalog = rusqlite::Connection::open(home.path().join("catalog.db")).unwrap();
    let columns = |table: &str| -> Vec<String> {
        let mut statement =
            catalog.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for (table, id) in [("keys", "id"), ("versions", "key_id")] {
        let columns = columns(table);
        let values = columns.iter().map(|column| match column.as_str() {
            column if column == id => "printf('key-%06d', n)".to_owned(),
            "uid" | "tag" => "randomblob(16)".to_owned(),
            "labels" => "json_object('part', CAST(n % 10 AS TEXT))".to_owned(),
            column => column.to_owned(),
        });
        let sql = format!(
            "WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {count})
             INSERT INTO {table} ({}) SELECT {} FROM {table}, number WHERE {id} = 'a-pattern'",
            columns.join(", "),
            values.collect::<Vec<_>>().join(", "),
        );
        assert_eq!(catalog.execute(&sql, []).unwrap(), count);
    }
}

/// The memory of a process at most, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_are_listed_in_one_stream_and_in_no_more_memory() {
    const KEYS: usize = 100_000;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("ec-p256", "a-pattern", "soft")).await.unwrap();
    assert!(gateway.stop().await.success());
    multiply(&home, KEYS);
    let gateway = home.start();
    let client = gateway.client().await;
    let before = peak(gateway.pid());
    let begun = Instant::now();
    let all = listed(&client, proto::StreamKeysRequest::default()).await;
    let took = begun.elapsed();
    assert_eq!(all.len(), KEYS + 1);
    assert!(all.is_sorted());
    println!(
        "{KEYS} keys listed in {:.2} s; the gateway had {before} KiB at most before, and {} KiB then",
        took.as_secs_f32(),
        peak(gateway.pid())
    );
    // As much as a few thousand keys take on their way.
    assert!(peak(gateway.pid()) - before < 16 * 1024);
    let request = proto::StreamKeysRequest { filter: "labels.part = \"3\"".into(), ..Default::default() };
    let some = listed(&client, request).await;
    assert_eq!((some.len(), some[0].as_str()), (KEYS / 10, "key-000003"));
    // It is one record, however many there are.
    let records = home.audit().into_iter().filter(|line| line["action"] == "list-keys");
    assert_eq!(records.count(), 2);
    // Who reads slowly, or leaves, holds nobody up.
    let mut left = client.stream_keys(proto::StreamKeysRequest::default()).await.unwrap();
    left.next().await.unwrap().unwrap();
    let mut slow = client.stream_keys(proto::StreamKeysRequest::default()).await.unwrap();
    slow.next().await.unwrap().unwrap();
    drop(left);
    let begun = Instant::now();
    assert!(gateway.stop().await.success());
    assert!(begun.elapsed() < Duration::from_secs(10), "a stream that is not read holds the gateway up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_lists_what_its_caller_may_see() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for (id, tenant) in [("of-acme", Some("acme")), ("of-other", Some("other")), ("of-none", None)] {
        let client = gateway.client_of(&home.idp().token_in("owner", &["admin"], tenant)).await;
        client.create_key(create("ec-p256", id, "soft")).await.unwrap();
    }
    let acme = gateway.client_of(&home.idp().token_in("reader", &["auditor"], Some("acme"))).await;
    assert_eq!(listed(&acme, Default::default()).await, ["of-acme"]);
    assert_eq!(listed(&client, Default::default()).await, ["of-acme", "of-none", "of-other"]);
    let request = proto::StreamKeysRequest { filter: "state = ".into(), ..Default::default() };
    let refused = client.stream_keys(request).await.err().unwrap();
    assert_eq!(outcome::<()>(&Err(refused)), "InvalidArgument FILTER_INVALID");
    let nobody = gateway.client_of(&home.idp().token("nobody", &[])).await;
    let refused = nobody.stream_keys(Default::default()).await.err().unwrap();
    assert_eq!(outcome::<()>(&Err(refused)), "PermissionDenied METHOD_NOT_ALLOWED");
    let full = proto::StreamKeysRequest { view: proto::KeyView::Full.into(), ..Default::default() };
    let mut keys = client.stream_keys(full).await.unwrap();
    assert_eq!(keys.next().await.unwrap().unwrap().metadata.unwrap().versions.len(), 1);
}

fn asked(key: proto::CreateKeyRequest, reference: &str) -> proto::BatchCreateKeysRequest {
    proto::BatchCreateKeysRequest { key: Some(key), reference: reference.into() }
}

/// In one line each.
fn results(answer: &proto::BatchCreateKeysResponse) -> Vec<String> {
    let line = |result: &proto::BatchCreateKeysResult| match result.result.as_ref().unwrap() {
        Made::Key(key) => format!("{}: {}", result.reference, key.id),
        Made::Error(error) => format!("{}: {}", result.reference, refused(error)),
    };
    answer.results.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_keys_is_made_or_told_why_not() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let before = home.audit().len();
    let backends = home.backends();
    let mut keys: Vec<_> = (0..60)
        .map(|number| {
            let backend = backends[number % backends.len()];
            asked(create("ec-p256", &format!("key-{number:02}"), backend), &format!("{number}"))
        })
        .collect();
    keys.push(asked(create("ec-p256", "key-00", ""), "again"));
    keys.push(asked(create("ec-p9", "other", ""), "no type"));
    keys.push(proto::BatchCreateKeysRequest { key: None, reference: "none".into() });
    keys.push(asked(create("ec-p256", "long", ""), &"x".repeat(257)));
    let answer = client.create_keys(iter(keys.clone())).await.unwrap();
    let lines = results(&answer);
    for (number, line) in lines[..60].iter().enumerate() {
        assert_eq!(*line, format!("{number}: key-{number:02}"));
    }
    assert_eq!(
        lines[60..],
        [
            "again: AlreadyExists KEY_ALREADY_EXISTS".to_owned(),
            "no type: InvalidArgument UNSUPPORTED_KEY_TYPE key_type".to_owned(),
            "none: InvalidArgument FIELD_REQUIRED key".to_owned(),
            format!("{}: InvalidArgument FIELD_INVALID reference", "x".repeat(257)),
        ]
    );
    assert_eq!((answer.created, answer.failed), (60, 4));
    assert_eq!(listed(&client, Default::default()).await.len(), 60);
    // Each is on record with its place: an intent and an outcome, or why not.
    let mut places: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for record in home.audit()[before..].iter().filter(|record| record["action"] == "create-key") {
        let result = record["result"].as_str().unwrap_or("intent").to_owned();
        places.entry(record["item"].as_u64().unwrap()).or_default().push(result);
    }
    assert_eq!(places.len(), 64);
    assert!(places.range(..60).all(|(_, results)| *results == ["intent", "ok"]), "{places:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_can_be_asked_for_again() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let keys: Vec<_> = (0..10)
        .map(|number| {
            let key = create("ec-p256", "", "soft");
            asked(proto::CreateKeyRequest { request_id: request_id(), ..key }, &format!("{number}"))
        })
        .collect();
    let first = client.create_keys(iter(keys.clone())).await.unwrap();
    let second = client.create_keys(iter(keys)).await.unwrap();
    assert_eq!(results(&first), results(&second));
    assert_eq!(listed(&client, Default::default()).await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_keys_are_made_than_a_batch_has_items() {
    let home = Home::software(PROGRAM).configured("[limits]\nbatch_items = 5\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let key = |number: usize| asked(create("ec-p256", &format!("key-{number}"), "soft"), "");
    assert_eq!(client.create_keys(iter((0..5).map(key))).await.unwrap().created, 5);
    let more = client.create_keys(iter((5..11).map(key).collect::<Vec<_>>())).await;
    assert_eq!(outcome(&more), "InvalidArgument STREAM_PROTOCOL_VIOLATION");
    assert_eq!(listed(&client, Default::default()).await.len(), 10);
    assert_eq!(client.create_keys(iter([])).await.unwrap(), Default::default());
}

/// A token that is good for one change makes one key.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_change_makes_one_key() {
    let home = Home::software(PROGRAM);
    let gateway = home.start_with([("SKMS__AUTH__ISSUERS__TEST__SINGLE_USE", "for-changes".into())]);
    let client = gateway.client_of(&home.idp().token("admin", &["admin"])).await;
    let key =
        |number: usize| asked(create("ec-p256", &format!("key-{number}"), "soft"), &format!("{number}"));
    let answer = client.create_keys(iter((0..3).map(key).collect::<Vec<_>>())).await.unwrap();
    let revoked = "Unauthenticated TOKEN_REVOKED";
    assert_eq!(results(&answer), ["0: key-0".to_owned(), format!("1: {revoked}"), format!("2: {revoked}")]);
}
