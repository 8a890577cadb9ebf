//! Rotations that nobody asks for.

use std::fs;

use skms::proto;
use skms_tests::gateway::Home;

use super::{Verb, turn, until, update};
use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, sign};

const DAY: i64 = 24 * 60 * 60;

const fn span(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn now() -> i64 {
    prost_types::Timestamp::from(std::time::SystemTime::now()).seconds
}

const fn at(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

fn rotated(id: &str, backend: &str, next: Option<i64>) -> proto::CreateKeyRequest {
    let mut request = create("ec-p256", id, backend);
    let params = request.params.as_mut().unwrap();
    params.rotation_period = Some(span(DAY));
    params.next_rotation_time = next.map(at);
    request
}

fn params(key: &proto::KeyMetadata) -> proto::KeyParams {
    key.params.clone().unwrap()
}

fn next(key: &proto::KeyMetadata) -> i64 {
    params(key).next_rotation_time.unwrap().seconds
}

fn schedule(id: &str, seconds: i64) -> proto::UpdateKeyRequest {
    let params = proto::KeyParams { next_rotation_time: Some(at(seconds)), ..Default::default() };
    let metadata = proto::KeyMetadata { params: Some(params), ..Default::default() };
    update(id, &["params.next_rotation_time"], metadata)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_when_its_time_has_come_and_next_time_as_well() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let before = crate::observe::scrape(&gateway);
    for backend in home.backends() {
        let made = client.create_key(rotated(backend, backend, None)).await.unwrap();
        assert_eq!(params(metadata(&made)).rotation_period, Some(span(DAY)));
        assert!((now() + DAY - 60..=now() + DAY).contains(&next(metadata(&made))));
        // Ten periods and an hour late: one rotation, and the next one when it was to be.
        let due = now() - 10 * DAY - 3600;
        client.update_key(schedule(backend, due)).await.unwrap();
        let done = until(&client, backend, |key| key.primary_version == 2).await;
        assert_eq!(next(metadata(&done)), due + 11 * DAY);
        assert_eq!(client.sign(sign(backend, "text")).await.unwrap().version, 2);
        // One that somebody asks for leaves the schedule alone.
        let third = client.rotate_key(rotate(backend)).await.unwrap();
        assert_eq!((metadata(&third).primary_version, next(metadata(&third))), (3, due + 11 * DAY));
        let records = home.audit();
        let own: Vec<_> = records
            .iter()
            .filter(|record| record["action"] == "rotate-key" && record["authenticated_by"] == "gateway")
            .map(|record| (record["phase"].as_str().unwrap(), record["key"].as_str().unwrap()))
            .filter(|(_, key)| *key == backend)
            .collect();
        assert_eq!(own, [("intent", backend), ("outcome", backend)]);
        let told = records.iter().filter(|record| record["scheduled"] == true && record["key"] == backend);
        assert_eq!(told.count(), 1);
    }
    let counted = crate::observe::scrape(&gateway).since(&before, "skms_scheduled_total");
    let done = "task=\"rotation\",outcome=\"done\"".to_owned();
    assert_eq!(counted, [(done, home.backends().len())].into());
}

#[tokio::test]
async fn a_gateway_that_was_down_rotates_what_was_due_meanwhile() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(rotated("key", "", Some(now() + 1))).await.unwrap();
    gateway.kill();
    let gateway = home.start();
    let client = gateway.client().await;
    let done = until(&client, "key", |key| key.primary_version == 2).await;
    assert!(next(metadata(&done)) > now());
}

#[tokio::test]
async fn a_key_that_is_out_of_use_waits_for_its_rotation() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in ["waits", "goes"] {
        client.create_key(rotated(key, "", None)).await.unwrap();
    }
    Verb::Disable.ask(&client, turn("waits", &[])).await.unwrap();
    let due = now() - 1;
    client.update_key(schedule("waits", due)).await.unwrap();
    client.update_key(schedule("goes", due)).await.unwrap();
    until(&client, "goes", |key| key.primary_version == 2).await;
    let shown = client.get_key(full("waits")).await.unwrap();
    assert_eq!((metadata(&shown).latest_version, next(metadata(&shown))), (1, due));
    Verb::Enable.ask(&client, turn("waits", &[])).await.unwrap();
    until(&client, "waits", |key| key.primary_version == 2).await;
}

#[tokio::test]
async fn a_rotation_that_fails_is_made_up_for_when_the_device_is_back() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(rotated("key", "hsm", None)).await.unwrap();
    let token = fs::read_dir(home.softhsm().unwrap().token_dir()).unwrap().next().unwrap().unwrap().path();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&token, &elsewhere).unwrap();
    let due = now() - 1;
    client.update_key(schedule("key", due)).await.unwrap();
    let failing = async {
        let failed = |record: &serde_json::Value| record["scheduled"] == true && record["result"] != "ok";
        while home.audit().iter().filter(|record| failed(record)).count() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, failing).await.unwrap();
    let shown = client.get_key(full("key")).await.unwrap();
    assert_eq!((metadata(&shown).primary_version, next(metadata(&shown))), (1, due));
    fs::rename(&elsewhere, &token).unwrap();
    let done = until(&client, "key", |key| key.primary_version == 2).await;
    assert_eq!(next(metadata(&done)), due + DAY);
}

#[tokio::test]
async fn a_schedule_is_changed_held_and_ended() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let period = |days: Option<i64>| {
        let params =
            proto::KeyParams { rotation_period: days.map(|days| span(days * DAY)), ..Default::default() };
        let metadata = proto::KeyMetadata { params: Some(params), ..Default::default() };
        update("key", &["params.rotation_period"], metadata)
    };
    assert_eq!(
        outcome(&client.update_key(schedule("key", now() + DAY)).await),
        "InvalidArgument FIELD_INVALID"
    );
    let key = client.update_key(period(Some(365))).await.unwrap();
    assert!((now() + 365 * DAY - 60..=now() + 365 * DAY).contains(&next(metadata(&key))));
    // A shorter period does not wait for the end of the longer one; a longer one does.
    let key = client.update_key(period(Some(2))).await.unwrap();
    let soon = next(metadata(&key));
    assert!((now() + 2 * DAY - 60..=now() + 2 * DAY).contains(&soon));
    let key = client.update_key(period(Some(100))).await.unwrap();
    assert_eq!(next(metadata(&key)), soon);
    let held = client
        .update_key(update("key", &["params.next_rotation_time"], proto::KeyMetadata::default()))
        .await
        .unwrap();
    let held = params(metadata(&held));
    assert_eq!((held.rotation_period, held.next_rotation_time), (Some(span(100 * DAY)), None));
    client.update_key(schedule("key", now() + DAY)).await.unwrap();
    let ended = client.update_key(period(None)).await.unwrap();
    let ended = params(metadata(&ended));
    assert_eq!((ended.rotation_period, ended.next_rotation_time), (None, None));
}
