//! Tokens that are good for one change: what was used up is refused, on record, and
//! nothing else suffers from it (J15).

use serde_json::{Value, json};
use skms::{client::Client, proto};
use skms_tests::{
    gateway::{Gateway, Home},
    idp::{AUDIENCE, claims},
};

use crate::{
    ask::{PROGRAM, create, full, outcome, rotate},
    observe::scrape,
};

const ISSUER: &str = "https://strict.test";
const USED: &str = "Unauthenticated TOKEN_REVOKED";

/// A gateway with an issuer whose tokens are good for one change.
fn home() -> Home {
    Home::software(PROGRAM).configured(&format!(
        "[auth.issuers.strict]\nissuer = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]\n\
         algorithms = [\"ES256\"]\njwks = \"file:jwks.json\"\nsingle_use = \"for-changes\"\n"
    ))
}

/// Whoever has a token of this issuer, with or without an id.
async fn who(home: &Home, gateway: &Gateway, subject: &str, role: &str, id: Option<&str>) -> Client {
    let mut claims = claims(subject, &[role]);
    claims["iss"] = json!(ISSUER);
    match id {
        Some(id) => claims["jti"] = json!(id),
        None => drop(claims.as_object_mut().and_then(|claims| claims.remove("jti"))),
    }
    gateway.client_of(&home.idp().sign(&home.idp().header(), &claims)).await
}

async fn creating(client: &Client, id: &str) -> String {
    client
        .create_key(create("ed25519", id, ""))
        .await
        .map_or_else(|error| outcome::<()>(&Err(error)), |_| "ok".to_owned())
}

#[tokio::test]
async fn a_token_that_has_changed_something_changes_nothing_more() {
    let home = home();
    let gateway = home.start();
    let alice = who(&home, &gateway, "alice", "key-manager", Some("one")).await;
    let before = scrape(&gateway);
    assert_eq!(creating(&alice, "first").await, "ok");
    assert_eq!(creating(&alice, "second").await, USED);
    assert_eq!(outcome(&alice.rotate_key(rotate("first")).await), USED);
    for _ in 0..3 {
        alice.get_key(full("first")).await.unwrap();
        alice.list_keys(proto::ListKeysRequest::default()).await.unwrap();
    }
    // Whoever else comes with that id, and who comes with another.
    let bob = who(&home, &gateway, "bob", "key-manager", Some("one")).await;
    assert_eq!(creating(&bob, "third").await, USED);
    let alice = who(&home, &gateway, "alice", "key-manager", Some("two")).await;
    alice.rotate_key(rotate("first")).await.unwrap();
    let nameless = who(&home, &gateway, "alice", "key-manager", None).await;
    assert_eq!(creating(&nameless, "fourth").await, "Unauthenticated TOKEN_MALFORMED");
    nameless.get_key(full("first")).await.unwrap();
    // Tokens of others are what they were.
    let usual = gateway.client().await;
    assert_eq!(
        (creating(&usual, "fifth").await, creating(&usual, "sixth").await),
        ("ok".into(), "ok".into())
    );

    let failures = scrape(&gateway).since(&before, "skms_auth_failures_total");
    let failures = |reason: &str| failures.get(&format!("reason=\"{reason}\"")).copied();
    assert_eq!((failures("TOKEN_REVOKED"), failures("TOKEN_MALFORMED")), (Some(3), Some(1)));
    assert!(gateway.stop().await.success());
    let refused: Vec<_> = home.audit().into_iter().filter(|record| record["decision"] == "deny").collect();
    let what = |record: &Value| {
        ["caller", "action", "result", "detail"].map(|field| record[field].as_str().unwrap().to_owned())
    };
    let no_id = "no id, and it is good for one change";
    assert_eq!(
        refused.iter().map(what).collect::<Vec<_>>(),
        [
            ["strict/alice", "skms.v1.KeyManagement/CreateKey", "TOKEN_REVOKED", "used before"],
            ["strict/alice", "skms.v1.KeyManagement/RotateKey", "TOKEN_REVOKED", "used before"],
            ["strict/bob", "skms.v1.KeyManagement/CreateKey", "TOKEN_REVOKED", "used before"],
            ["strict/alice", "skms.v1.KeyManagement/CreateKey", "TOKEN_MALFORMED", no_id],
        ]
    );
}

#[tokio::test]
async fn a_call_that_is_denied_does_not_use_a_token_up() {
    let home = home();
    let signers_rotate =
        "permit (principal in Role::\"signer\", action == Action::\"rotate-key\", resource);\n";
    home.replace("policies/signers-rotate.cedar", signers_rotate);
    let gateway = home.start();
    gateway.client().await.create_key(create("ed25519", "key", "")).await.unwrap();
    let alice = who(&home, &gateway, "alice", "signer", Some("one")).await;
    for _ in 0..2 {
        assert_eq!(creating(&alice, "other").await, "PermissionDenied METHOD_NOT_ALLOWED");
    }
    alice.rotate_key(rotate("key")).await.unwrap();
    assert_eq!(outcome(&alice.rotate_key(rotate("key")).await), USED);
    // It is told so only of what it may do.
    assert_eq!(creating(&alice, "other").await, "PermissionDenied METHOD_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_at_once_one_is_made() {
    let home = home();
    let gateway = home.start();
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..8 {
        let alice = who(&home, &gateway, "alice", "key-manager", Some("one")).await;
        calls.spawn(async move { creating(&alice, &format!("key-{call}")).await });
    }
    let mut told = calls.join_all().await;
    told.sort();
    assert_eq!(told, [[USED; 7].as_slice(), &["ok"]].concat());
}
