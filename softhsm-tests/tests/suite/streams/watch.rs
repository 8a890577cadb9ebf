//! Following what becomes of keys.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::json;
use skms::{
    client::{Client, TokenSource, Watch},
    proto::{self, watch_keys_response::Type},
};
use skms_tests::{
    gateway::Home,
    idp::{claims, now},
};
use tokio::time::timeout;

use super::{PATIENCE, end};
use crate::{
    ask::{PROGRAM, create, rotate},
    lifecycle::{Verb, turn, update},
};

const OFTEN: &str =
    "[limits]\nwatch_bookmark_interval = \"100ms\"\nmin_destroy_scheduled_duration = \"1s\"\n";

fn all() -> proto::WatchKeysRequest {
    proto::WatchKeysRequest { send_initial_state: true, ..Default::default() }
}

fn behind(watch: &Watch) -> proto::WatchKeysRequest {
    proto::WatchKeysRequest { resume_token: watch.resume_token().clone(), ..Default::default() }
}

/// The next event that is no bookmark.
async fn next(watch: &mut Watch) -> proto::WatchKeysResponse {
    let next = async {
        loop {
            let event = watch.next().await.unwrap();
            if event.r#type() != Type::Bookmark {
                return event;
            }
        }
    };
    timeout(PATIENCE, next).await.unwrap()
}

/// The next one in a line.
async fn line(watch: &mut Watch) -> String {
    let event = next(watch).await;
    let kind = event.r#type().as_str_name().trim_start_matches("TYPE_");
    match &event.key {
        Some(key) if event.version > 0 => format!("{kind} {}/{}", key.id, event.version),
        Some(key) => format!("{kind} {}", key.id),
        None => kind.to_owned(),
    }
}

/// Lets everything up to now be told, and nothing else.
async fn silent(watch: &mut Watch) {
    // The first may have been on its way before what was done last.
    for _ in 0..2 {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
        assert_eq!(event.r#type(), Type::Bookmark, "{event:?}");
        assert!(!event.resume_token.is_empty());
    }
}

/// A key that is destroyed a second after that was asked for.
fn short_lived(id: &str, backend: &str) -> proto::CreateKeyRequest {
    let mut request = create("ec-p256", id, backend);
    let second = prost_types::Duration { seconds: 1, nanos: 0 };
    request.params.get_or_insert_default().destroy_scheduled_duration = Some(second);
    request
}

fn described(key: &str, text: &str) -> proto::UpdateKeyRequest {
    let params = Some(proto::KeyParams { description: text.into(), ..Default::default() });
    update(key, &["params.description"], proto::KeyMetadata { params, ..Default::default() })
}

fn labelled(key: &str, team: &str) -> proto::UpdateKeyRequest {
    let labels = [("team".to_owned(), team.to_owned())].into();
    update(key, &["labels"], proto::KeyMetadata { labels, ..Default::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_what_is_and_then_what_becomes_of_it() {
    let home = Home::new(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let [old, new, gone] = ["a-old", "new", "gone"].map(|name| format!("{backend}.{name}"));
        client.create_key(create("ec-p256", &old, backend)).await.unwrap();
        let full = proto::WatchKeysRequest { view: proto::KeyView::Full.into(), ..all() };
        let mut watch = client.watch_keys(full).await.unwrap();
        loop {
            let event = next(&mut watch).await;
            if event.r#type() == Type::InitialDone {
                assert!(!event.resume_token.is_empty() && event.event_time.is_none());
                break;
            }
            assert_eq!(event.r#type(), Type::Initial);
            assert!(event.resume_token.is_empty());
            assert!(!event.key.unwrap().metadata.unwrap().versions.is_empty());
        }
        silent(&mut watch).await;
        client.create_key(create("ec-p256", &new, backend)).await.unwrap();
        client.create_key(short_lived(&gone, backend)).await.unwrap();
        client.rotate_key(rotate(&new)).await.unwrap();
        client.update_key(described(&old, "said")).await.unwrap();
        Verb::Disable.ask(&client, turn(&new, &[1])).await.unwrap();
        Verb::Enable.ask(&client, turn(&new, &[1])).await.unwrap();
        Verb::Compromise.ask(&client, turn(&new, &[1])).await.unwrap();
        let mut lines = Vec::new();
        for _ in 0..7 {
            lines.push(line(&mut watch).await);
        }
        assert_eq!(
            lines,
            [
                format!("CREATED {new}/1"),
                format!("CREATED {gone}/1"),
                format!("ROTATED {new}/2"),
                format!("UPDATED {old}"),
                format!("STATE_CHANGED {new}/1"),
                format!("STATE_CHANGED {new}/1"),
                format!("STATE_CHANGED {new}/1"),
            ]
        );
        Verb::Destroy.ask(&client, turn(&gone, &[])).await.unwrap();
        assert_eq!(line(&mut watch).await, format!("STATE_CHANGED {gone}"));
        let event = next(&mut watch).await;
        assert_eq!((event.r#type(), event.version), (Type::Destroyed, 1));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let made = event.event_time.unwrap();
        assert!(now.as_secs().abs_diff(made.seconds.unsigned_abs()) < 60);
        assert_eq!(event.key.unwrap().id, gone);
        silent(&mut watch).await;
        // What was refused is nothing that became of a key.
        client.create_key(create("ec-p256", &new, backend)).await.unwrap_err();
        client
            .update_key(proto::UpdateKeyRequest { etag: "0".into(), ..described(&old, "no") })
            .await
            .unwrap_err();
        client
            .create_key(proto::CreateKeyRequest { validate_only: true, ..create("ec-p256", "", backend) })
            .await
            .unwrap();
        silent(&mut watch).await;
    }
    // One record when it begins, and it goes on.
    let records = home.audit();
    let mine = records.iter().filter(|line| line["action"] == "list-keys" && line["result"] == "ok");
    assert_eq!(mine.count(), home.backends().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_holds_before_a_change_or_after_it() {
    let home = Home::software(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let client = gateway.client().await;
    for id in ["blue", "other"] {
        client.create_key(create("ec-p256", id, "soft")).await.unwrap();
    }
    client.update_key(labelled("blue", "blue")).await.unwrap();
    let filter = "labels.team = \"blue\"";
    let mut watch =
        client.watch_keys(proto::WatchKeysRequest { filter: filter.into(), ..all() }).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL blue");
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let token = watch.resume_token().clone();
    client.update_key(described("other", "untold")).await.unwrap();
    client.update_key(labelled("blue", "red")).await.unwrap();
    client.update_key(described("blue", "untold")).await.unwrap();
    client.update_key(labelled("other", "blue")).await.unwrap();
    assert_eq!(line(&mut watch).await, "UPDATED blue");
    assert_eq!(line(&mut watch).await, "UPDATED other");
    silent(&mut watch).await;
    // A token is good for its own filter.
    let other = proto::WatchKeysRequest { resume_token: token.clone(), ..Default::default() };
    let refused = client.watch_keys(other).await.map(drop);
    assert_eq!(end(&refused), "InvalidArgument FIELD_INVALID");
    let again = proto::WatchKeysRequest { resume_token: token, filter: filter.into(), ..Default::default() };
    let mut watch = client.watch_keys(again).await.unwrap();
    assert_eq!(line(&mut watch).await, "UPDATED blue");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_the_keys_that_it_may_see() {
    let home = Home::software(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let owner = |tenant: &'static str| {
        let token = home.idp().token_in("owner", &["admin"], Some(tenant));
        let gateway = &gateway;
        async move { gateway.client_of(&token).await }
    };
    let (acme, other) = (owner("acme").await, owner("other").await);
    acme.create_key(create("ec-p256", "of-acme", "soft")).await.unwrap();
    other.create_key(create("ec-p256", "of-other", "soft")).await.unwrap();
    let reader = gateway.client_of(&home.idp().token_in("reader", &["auditor"], Some("acme"))).await;
    let mut watch = reader.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL of-acme");
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let token = watch.resume_token().clone();
    other.rotate_key(rotate("of-other")).await.unwrap();
    other.create_key(create("ec-p256", "second-of-other", "soft")).await.unwrap();
    acme.rotate_key(rotate("of-acme")).await.unwrap();
    assert_eq!(line(&mut watch).await, "ROTATED of-acme/2");
    silent(&mut watch).await;
    // A token carries no authority.
    let theirs = gateway.client_of(&home.idp().token_in("reader", &["auditor"], Some("other"))).await;
    let request = proto::WatchKeysRequest { resume_token: token, ..Default::default() };
    let mut watch = theirs.watch_keys(request).await.unwrap();
    assert_eq!(line(&mut watch).await, "ROTATED of-other/2");
    assert_eq!(line(&mut watch).await, "CREATED second-of-other/1");
    silent(&mut watch).await;
    let nobody = gateway.client_of(&home.idp().token("nobody", &[])).await;
    assert_eq!(end(&nobody.watch_keys(all()).await.map(drop)), "PermissionDenied METHOD_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_without_a_gap_over_kills_of_the_gateway() {
    const KILLS: usize = 5;
    const CHANGES: usize = 40;
    let home = Home::software(PROGRAM).configured(OFTEN);
    let mut gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let mut watch = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL key");
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let (mut acknowledged, mut told) = (Vec::new(), BTreeMap::new());
    for kill in 0..=KILLS {
        let client = gateway.client().await;
        if kill > 0 {
            watch = client.watch_keys(behind(&watch)).await.unwrap();
        }
        for number in 0..CHANGES {
            let key = client.update_key(described("key", &format!("{kill} {number}"))).await.unwrap();
            acknowledged.push(key.metadata.unwrap().etag);
            // Some are told, and some are not before the gateway is gone.
            if number < CHANGES / 2 {
                let event = next(&mut watch).await;
                told.insert(event.resume_token.to_vec(), event.key.unwrap().metadata.unwrap().etag);
            }
        }
        tokio::task::block_in_place(|| gateway.kill());
        gateway = home.start();
    }
    let client = gateway.client().await;
    watch = client.watch_keys(behind(&watch)).await.unwrap();
    loop {
        let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
        match event.r#type() {
            Type::Bookmark => break,
            Type::Updated => {
                told.insert(event.resume_token.to_vec(), event.key.unwrap().metadata.unwrap().etag)
            }
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(told.len(), acknowledged.len());
    // Each was told at its place: as it was made, or as the key was when it was told.
    for (etag, told) in acknowledged.iter().zip(told.values()) {
        let [made, told] = [etag, told].map(|etag| u64::from_str_radix(etag, 16).unwrap());
        assert!(told >= made, "{told:x} was told for {made:x}");
    }
    println!("{} changes over {KILLS} kills told without a gap", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_remembered_any_more_is_no_silence() {
    let home = Home::software(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let client = gateway.client().await;
    // From the very beginning.
    let mut watch = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let first = behind(&watch);
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    assert_eq!(line(&mut watch).await, "CREATED key/1");
    let second = behind(&watch);
    client.update_key(described("key", "more")).await.unwrap();
    let mut again = client.watch_keys(first.clone()).await.unwrap();
    assert_eq!(line(&mut again).await, "CREATED key/1");
    assert_eq!(line(&mut again).await, "UPDATED key");
    assert!(gateway.stop().await.success());
    let catalog = rusqlite::Connection::open(home.path().join("catalog.db")).unwrap();
    let last = "DELETE FROM changes WHERE revision < (SELECT max(revision) FROM changes)";
    assert!(catalog.execute(last, []).unwrap() > 0);
    drop(catalog);
    let gateway = home.start();
    let client = gateway.client().await;
    let expired = "OutOfRange WATCH_RESUME_TOKEN_EXPIRED";
    for request in [first, second] {
        let mut watch = client.watch_keys(request).await.unwrap();
        assert_eq!(end(&watch.next().await), expired);
    }
    // Who has heard the last of it goes on.
    let mut last = client.watch_keys(behind(&again)).await.unwrap();
    silent(&mut last).await;
    // A token of a catalog that another took the place of.
    let other = Home::software(PROGRAM);
    let other = other.start();
    let elsewhere = other.client().await;
    elsewhere.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let mut watch = elsewhere.watch_keys(behind(&again)).await.unwrap();
    assert_eq!(end(&watch.next().await), expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_makes_no_sense_is_told_why() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let refused = async |request: proto::WatchKeysRequest| end(&client.watch_keys(request).await.map(drop));
    let filter = proto::WatchKeysRequest { filter: "state = ".into(), ..Default::default() };
    assert_eq!(refused(filter).await, "InvalidArgument FILTER_INVALID");
    let view = proto::WatchKeysRequest { view: 77, ..Default::default() };
    assert_eq!(refused(view).await, "InvalidArgument FIELD_INVALID");
    let mut watch = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let both = proto::WatchKeysRequest { send_initial_state: true, ..behind(&watch) };
    assert_eq!(refused(both).await, "InvalidArgument PARAMETER_NOT_APPLICABLE");
    let token = watch.resume_token();
    for wrong in [b"x".to_vec(), token[1..].to_vec(), [&token[..], &[0]].concat(), vec![0; token.len()]] {
        let request = proto::WatchKeysRequest { resume_token: wrong.into(), ..Default::default() };
        assert_eq!(refused(request).await, "InvalidArgument FIELD_INVALID");
    }
    // Of a moment that has not come.
    let mut ahead = token.to_vec();
    ahead[15] = 200;
    let request = proto::WatchKeysRequest { resume_token: ahead.into(), ..Default::default() };
    let mut watch = client.watch_keys(request).await.unwrap();
    assert_eq!(end(&watch.next().await), "OutOfRange WATCH_RESUME_TOKEN_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_is_cut_off_and_goes_on_later() {
    // More than are remembered, behind what fits into the connection.
    const CHANGES: usize = 1500;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let mut slow = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut slow).await, "INITIAL key");
    let labels = (0..64).map(|number| (format!("label-{number}"), "x".repeat(256))).collect();
    let large = update("key", &["labels"], proto::KeyMetadata { labels, ..Default::default() });
    let mut last = String::new();
    for _ in 0..CHANGES {
        last = client.update_key(large.clone()).await.unwrap().metadata.unwrap().etag;
    }
    let (mut told, mut cuts) = (0, 0);
    loop {
        match timeout(PATIENCE, slow.next()).await.unwrap() {
            Ok(event) if event.r#type() == Type::Updated => {
                told += 1;
                if event.key.unwrap().metadata.unwrap().etag == last && told >= CHANGES {
                    break;
                }
            }
            Ok(_) => {}
            refused @ Err(_) => {
                assert_eq!(end(&refused), "ResourceExhausted WATCH_CONSUMER_TOO_SLOW");
                slow = client.watch_keys(behind(&slow)).await.unwrap();
                cuts += 1;
            }
        }
    }
    assert_eq!((told, cuts), (CHANGES, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_once_that_a_key_expires() {
    let home = Home::software(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut watch = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let at = |days: u64| {
        let time = SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60);
        let params = proto::KeyParams { expire_time: Some(time.into()), ..Default::default() };
        proto::KeyMetadata { params: Some(params), ..Default::default() }
    };
    let expires = |days| update("key", &["params.expire_time"], at(days));
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    assert_eq!(line(&mut watch).await, "CREATED key/1");
    client.update_key(expires(31)).await.unwrap();
    assert_eq!(line(&mut watch).await, "UPDATED key");
    silent(&mut watch).await;
    let etag = client.update_key(expires(29)).await.unwrap().metadata.unwrap().etag;
    assert_eq!(line(&mut watch).await, "UPDATED key");
    let warned = next(&mut watch).await;
    assert_eq!(warned.r#type(), Type::ExpiryWarning);
    // Nothing of the key was changed by it.
    assert_eq!(warned.key.unwrap().metadata.unwrap().etag, etag);
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let client = gateway.client().await;
    let mut watch = client.watch_keys(behind(&watch)).await.unwrap();
    silent(&mut watch).await;
    client.update_key(expires(2)).await.unwrap();
    assert_eq!(line(&mut watch).await, "UPDATED key");
    assert_eq!(line(&mut watch).await, "EXPIRY_WARNING key");
    silent(&mut watch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_gateway_and_with_its_time() {
    let home =
        Home::software(PROGRAM).configured("[limits]\nstream_timeout = \"3s\"\noperation_timeout = \"1s\"\n");
    let gateway = home.start();
    let client: Client = gateway.client().await;
    let mut short = client.watch_keys(all()).await.unwrap();
    let ended = async {
        loop {
            if let ended @ Err(_) = short.next().await {
                return end(&ended);
            }
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.unwrap(), "DeadlineExceeded BACKEND_TIMEOUT");
    let mut watch = client.watch_keys(all()).await.unwrap();
    assert_eq!(line(&mut watch).await, "INITIAL_DONE");
    let left = client.watch_keys(all()).await.unwrap();
    drop(left);
    let stopping = tokio::spawn(gateway.stop());
    let ended = async {
        loop {
            if let ended @ Err(_) = watch.next().await {
                return end(&ended);
            }
        }
    };
    assert_eq!(timeout(PATIENCE, ended).await.unwrap(), "Unavailable SHUTTING_DOWN");
    assert!(stopping.await.unwrap().success());
}

/// A caller whose token has ended goes on with the next one, if there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_with_the_next_token_of_its_caller() {
    let home = Home::software(PROGRAM).configured(OFTEN);
    let gateway = home.start();
    let admin = gateway.client().await;
    admin.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let token = |ends: u64| {
        let mut short = claims("reader", &["auditor"]);
        // It is taken for the leeway of five seconds.
        (short["iat"], short["exp"]) = (json!(now() - 9), json!(now() - 5 + ends));
        home.idp().sign(&home.idp().header(), &short)
    };
    home.private("reader.token", &token(4));
    let source = TokenSource::File(home.path().join("reader.token"));
    let client = Client::connect(gateway.client_config().with_token(source)).await.unwrap();
    let mut watch = client.watch_keys(all()).await.unwrap();
    let until_it_ends = async |watch: &mut Watch| {
        let ended = async {
            loop {
                if let Err(error) = watch.next().await {
                    return error;
                }
            }
        };
        timeout(PATIENCE, ended).await.unwrap()
    };
    let ended = until_it_ends(&mut watch).await;
    assert_eq!(ended.failure().unwrap().reason.as_deref(), Some("TOKEN_EXPIRED"));
    // There is no other yet.
    let refused = timeout(PATIENCE, watch.resume(ended)).await.unwrap();
    assert_eq!(end(&refused), "Unauthenticated TOKEN_EXPIRED");
    admin.rotate_key(rotate("key")).await.unwrap();
    home.private("reader.token", &token(300));
    timeout(PATIENCE, watch.resume(refused.unwrap_err())).await.unwrap().unwrap();
    assert_eq!(line(&mut watch).await, "ROTATED key/2");
}
