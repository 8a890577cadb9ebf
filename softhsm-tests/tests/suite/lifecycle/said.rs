//! Minimums, other names, times: what is said of a key, and what follows from it.

use skms::proto;
use skms_tests::gateway::Home;

use super::update;
use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, sign, verify};

fn minimums(key: &str, protect: Option<u32>, process: Option<u32>) -> proto::UpdateKeyRequest {
    let mut paths = Vec::new();
    paths.extend(protect.map(|_| "min_protect_version"));
    paths.extend(process.map(|_| "min_process_version"));
    let metadata = proto::KeyMetadata {
        min_protect_version: protect.unwrap_or_default(),
        min_process_version: process.unwrap_or_default(),
        ..Default::default()
    };
    update(key, &paths, metadata)
}

fn aliases(key: &str, names: &[&str]) -> proto::UpdateKeyRequest {
    let aliases = names.iter().map(|&name| name.to_owned()).collect();
    let params = proto::KeyParams { aliases, ..Default::default() };
    update(key, &["params.aliases"], proto::KeyMetadata { params: Some(params), ..Default::default() })
}

fn named(key: &proto::KeyResponse) -> Vec<String> {
    metadata(key).params.clone().unwrap().aliases
}

#[tokio::test]
async fn versions_below_a_minimum_do_not_sign_or_verify() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let below = "FailedPrecondition VERSION_BELOW_MINIMUM";
    for key in home.backends() {
        client.create_key(create("ec-p256", key, key)).await.unwrap();
        let old = client.sign(sign(key, "text")).await.unwrap().signature;
        assert_eq!(
            outcome(&client.update_key(minimums(key, Some(2), None)).await),
            below,
            "above the primary"
        );
        client.rotate_key(rotate(key)).await.unwrap();
        let first = || proto::SignRequest { version: 1, ..sign(key, "text") };
        let check = |version| proto::VerifyRequest { version, ..verify(key, "text", old.clone()) };
        client.update_key(minimums(key, Some(2), None)).await.unwrap();
        assert_eq!(outcome(&client.sign(first()).await), below);
        assert!(client.verify(check(1)).await.unwrap().valid);
        assert_eq!(outcome(&client.set_primary_version(super::lead(key, 1)).await), below);
        let shown = client.update_key(minimums(key, None, Some(2))).await.unwrap();
        assert_eq!((metadata(&shown).min_protect_version, metadata(&shown).min_process_version), (2, 2));
        assert_eq!(outcome(&client.verify(check(1)).await), below);
        assert!(!client.verify(check(0)).await.unwrap().valid);
        assert_eq!(outcome(&client.update_key(minimums(key, None, Some(3))).await), below);
        client.update_key(minimums(key, Some(0), Some(1))).await.unwrap();
        client.sign(first()).await.unwrap();
        assert!(client.verify(check(0)).await.unwrap().valid);
    }
}

#[tokio::test]
async fn to_lower_a_minimum_needs_a_permission_of_its_own() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    let manager = gateway.client_of(&home.idp().token("manager", &["key-manager"])).await;
    manager.update_key(minimums("key", Some(2), Some(2))).await.unwrap();
    // Neither below the other, nor what stays, is lower.
    manager.update_key(minimums("key", Some(2), None)).await.unwrap();
    for lower in [minimums("key", Some(1), None), minimums("key", None, Some(0))] {
        let refused = manager.update_key(lower.clone()).await;
        assert_eq!(outcome(&refused), "PermissionDenied KEY_ACCESS_DENIED");
        client.update_key(lower).await.unwrap();
    }
    let denied = home.audit().into_iter().filter(|record| record["denied"] == "lower-min-version");
    assert_eq!(denied.count(), 2);
}

#[tokio::test]
async fn an_alias_moves_from_key_to_key_in_one_step() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in ["blue", "green"] {
        client.create_key(create("ec-p256", key, "")).await.unwrap();
    }
    let blue = client.update_key(aliases("blue", &["live", "old"])).await.unwrap();
    assert_eq!(named(&blue), ["live", "old"]);
    assert_eq!(client.sign(sign("live", "text")).await.unwrap().key_id, "blue");
    let tried = proto::UpdateKeyRequest { validate_only: true, ..aliases("green", &["live"]) };
    client.update_key(tried).await.unwrap();
    assert_eq!(client.sign(sign("live", "text")).await.unwrap().key_id, "blue");

    let green = client.update_key(aliases("green", &["live", "old", "new"])).await.unwrap();
    assert_eq!(named(&green), ["live", "new", "old"]);
    let left = client.get_key(full("blue")).await.unwrap();
    assert_eq!(named(&left), [""; 0]);
    assert_ne!(metadata(&left).etag, metadata(&blue).etag, "who loses a name has changed, too");
    assert_eq!(client.sign(sign("live", "text")).await.unwrap().key_id, "green");
    let stale = proto::UpdateKeyRequest { etag: metadata(&blue).etag.clone(), ..aliases("blue", &["live"]) };
    assert_eq!(outcome(&client.update_key(stale).await), "Aborted ETAG_MISMATCH");
    assert_eq!(
        outcome(&client.update_key(aliases("blue", &["green"])).await),
        "AlreadyExists KEY_ALREADY_EXISTS"
    );
    let none = client.update_key(aliases("green", &[])).await.unwrap();
    assert_eq!(named(&none), [""; 0]);
    assert_eq!(outcome(&client.sign(sign("live", "text")).await), "NotFound KEY_NOT_FOUND");
    let moved = home.audit().into_iter().find(|record| record["taken_from"] == serde_json::json!(["blue"]));
    assert_eq!(moved.unwrap()["key"], "green");
    // All of it is on the disk.
    client.update_key(aliases("blue", &["live"])).await.unwrap();
    client.update_key(aliases("green", &["live"])).await.unwrap();
    gateway.kill();
    let gateway = home.start();
    assert_eq!(gateway.client().await.sign(sign("live", "text")).await.unwrap().key_id, "green");
}

#[tokio::test]
async fn an_alias_is_not_taken_from_a_key_that_one_may_not_change() {
    let home = Home::software(PROGRAM);
    home.private(
        "policies/painter.cedar",
        "@id(\"painter\") permit (principal in Role::\"painter\", action in [Action::\"get-key\", \
         Action::\"sign-message\"], resource is Key) when { resource.id != \"hidden\" };\n\
         @id(\"painter-own\") permit (principal in Role::\"painter\", action == Action::\"update-key\", \
         resource is Key) when { resource.id == \"mine\" };\n",
    );
    let gateway = home.start();
    let client = gateway.client().await;
    for key in ["mine", "theirs", "hidden"] {
        client.create_key(create("ec-p256", key, "")).await.unwrap();
    }
    client.update_key(aliases("theirs", &["seen"])).await.unwrap();
    client.update_key(aliases("hidden", &["unseen"])).await.unwrap();
    let painter = gateway.client_of(&home.idp().token("painter", &["painter"])).await;
    painter.update_key(aliases("mine", &["free"])).await.unwrap();
    for (name, expected) in [
        ("seen", "AlreadyExists ALIAS_IN_USE"),
        ("theirs", "AlreadyExists KEY_ALREADY_EXISTS"),
        ("unseen", "PermissionDenied KEY_ACCESS_DENIED"),
        ("hidden", "PermissionDenied KEY_ACCESS_DENIED"),
    ] {
        assert_eq!(outcome(&painter.update_key(aliases("mine", &["free", name])).await), expected, "{name}");
    }
    assert_eq!(client.sign(sign("seen", "text")).await.unwrap().key_id, "theirs");
    assert_eq!(client.sign(sign("free", "text")).await.unwrap().key_id, "mine");
}

#[tokio::test]
async fn the_times_of_a_key_can_be_changed_and_cleared() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let times = |paths: &[&str], begin: Option<i64>, end: Option<i64>| {
        let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let params = proto::KeyParams {
            not_before_time: begin.map(time),
            expire_time: end.map(time),
            ..Default::default()
        };
        update("key", paths, proto::KeyMetadata { params: Some(params), ..Default::default() })
    };
    let (begin, end) = ("params.not_before_time", "params.expire_time");
    client.update_key(times(&[end], None, Some(1_000_000_000))).await.unwrap();
    assert_eq!(outcome(&client.sign(sign("key", "text")).await), "FailedPrecondition KEY_EXPIRED");
    let refused = client.update_key(times(&[begin], Some(2_000_000_000), None)).await;
    assert_eq!(outcome(&refused), "InvalidArgument FIELD_INVALID", "it would end before it begins");
    client.update_key(times(&[begin, end], Some(4_000_000_000), None)).await.unwrap();
    assert_eq!(outcome(&client.sign(sign("key", "text")).await), "FailedPrecondition KEY_NOT_YET_VALID");
    client.update_key(times(&[begin], None, None)).await.unwrap();
    client.sign(sign("key", "text")).await.unwrap();
}
