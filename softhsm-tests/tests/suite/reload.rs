//! What changes while a gateway runs: whom not to let in, the keys of an issuer, and
//! the policies. A change counts within a second, for callers who are known already
//! and whose connections live on; what cannot be used changes nothing.

#![expect(clippy::print_stdout, reason = "how long a change takes is told, not judged")]

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};
use skms::client::Client;
use skms_tests::{
    gateway::{Gateway, Home},
    idp::{AUDIENCE, Idp, claims, now},
};

use crate::ask::{PROGRAM, create, outcome, sign};

/// Reached only by what never happens. A second is promised, but a machine that compiles
/// meanwhile may take more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a change, and asks until the answer is this one. How long the change took is told
/// by the log of the gateway, with the clock that it shares with the test.
async fn changed(gateway: &Gateway, change: impl FnOnce(), expected: &str, ask: impl AsyncFn() -> String) {
    let before = reloaded(gateway).len();
    let made = SystemTime::now();
    change();
    until(expected, ask).await;
    let begun = Instant::now();
    let in_force = loop {
        if let Some(line) = reloaded(gateway).get(before) {
            break humantime::parse_rfc3339(line["timestamp"].as_str().unwrap()).unwrap();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "it is in force, and the log does not say so:\n{}",
            gateway.log()
        );
        tokio::task::yield_now().await;
    };
    println!("in force {} ms after the change", in_force.duration_since(made).unwrap().as_millis());
}

/// What the gateway says of changes that it has put in force.
fn reloaded(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["message"] == "reloaded").collect()
}

/// Asks until the answer is this one.
async fn until(expected: &str, ask: impl AsyncFn() -> String) {
    let begun = Instant::now();
    loop {
        let got = ask().await;
        if got == expected {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} still `{got}` and not `{expected}`");
    }
}

/// Waits for a line in the log that has all of these in it.
async fn logged(gateway: &Gateway, parts: &[&str]) {
    let begun = Instant::now();
    let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
    while !gateway.log().lines().any(has_all) {
        assert!(begun.elapsed() < PATIENCE, "no line with {parts:?}:\n{}", gateway.log());
        tokio::task::yield_now().await;
    }
}

async fn signing(client: &Client) -> String {
    client
        .sign(sign("key", "text"))
        .await
        .map_or_else(|error| outcome::<()>(&Err(error)), |_| "ok".to_owned())
}

/// A gateway with a key, which may be asked again and again by whoever it refuses.
async fn with_a_key(home: &Home) -> Gateway {
    let gateway = home.start_with([("SKMS__RATES__FAILED_AUTHENTICATIONS_PER_MINUTE", "0".into())]);
    gateway.client().await.create_key(create("ed25519", "key", "")).await.unwrap();
    gateway
}

#[tokio::test]
async fn who_is_put_on_the_deny_file_is_refused_on_its_living_connection() {
    let home = Home::software(PROGRAM).configured("[auth]\ndeny_file = \"deny.toml\"\n");
    home.private("deny.toml", "");
    let gateway = with_a_key(&home).await;
    let idp = home.idp();
    let lost = gateway
        .client_of(&idp.sign(&idp.header(), &{
            let mut claims = claims("alice", &["signer"]);
            claims["jti"] = json!("lost");
            claims
        }))
        .await;
    let alice = gateway.client_of(&idp.token("alice", &["signer"])).await;
    let mallory = gateway.client_of(&idp.token("mallory", &["signer"])).await;
    let of_acme = gateway.client_of(&idp.token_in("carol", &["admin"], Some("acme"))).await;
    of_acme.create_key(create("ed25519", "of-acme", "")).await.unwrap();
    let of_acme = async || {
        let signed = of_acme.sign(sign("of-acme", "text")).await;
        signed.map_or_else(|error| outcome::<()>(&Err(error)), |_| "ok".to_owned())
    };
    let all = async || {
        [signing(&lost).await, signing(&mallory).await, of_acme().await, signing(&alice).await].join(" | ")
    };
    let revoked = "Unauthenticated TOKEN_REVOKED";
    assert_eq!(all().await, "ok | ok | ok | ok");
    changed(
        &gateway,
        || home.replace("deny.toml", "tokens = ['lost']\n"),
        &format!("{revoked} | ok | ok | ok"),
        &all,
    )
    .await;
    changed(
        &gateway,
        || home.replace("deny.toml", "subjects = ['test/mallory']\n"),
        &format!("ok | {revoked} | ok | ok"),
        &all,
    )
    .await;
    changed(
        &gateway,
        || home.replace("deny.toml", "tenants = ['acme']\n"),
        &format!("ok | ok | {revoked} | ok"),
        &all,
    )
    .await;
    // A slip of the pen lets nobody back in.
    home.replace("deny.toml", "tenants = []\nsubject = ['test/mallory']\n");
    logged(&gateway, &["cannot reload", "deny.toml", "line 2", "subject"]).await;
    assert_eq!(all().await, format!("ok | ok | {revoked} | ok"));
    changed(&gateway, || home.replace("deny.toml", ""), "ok | ok | ok | ok", &all).await;
}

#[tokio::test]
async fn the_keys_of_an_issuer_come_and_go_without_a_restart() {
    let home = Home::software(PROGRAM);
    let gateway = with_a_key(&home).await;
    let second = Idp::new("second");
    let old = gateway.client_of(&home.idp().token("alice", &["signer"])).await;
    let new = gateway.client_of(&second.token("alice", &["signer"])).await;
    let both = async || [signing(&old).await, signing(&new).await].join(" | ");
    let unsigned = "Unauthenticated TOKEN_SIGNATURE_INVALID";
    assert_eq!(both().await, format!("ok | {unsigned}"));
    changed(&gateway, || home.publish(&[home.idp(), &second]), "ok | ok", &both).await;
    changed(&gateway, || home.publish(&[&second]), &format!("{unsigned} | ok"), &both).await;
    // What is no set of keys takes none away, and brings none.
    for broken in ["{", "[]", "{\"keys\": 1}"] {
        home.replace("jwks.json", broken);
    }
    logged(&gateway, &["cannot reload", "jwks.json"]).await;
    assert_eq!(both().await, format!("{unsigned} | ok"));
    changed(&gateway, || home.publish(&[home.idp()]), &format!("ok | {unsigned}"), &both).await;
}

#[tokio::test]
async fn a_token_that_was_taken_ends_all_the_same() {
    let exact = format!(
        "[auth.issuers.exact]\nissuer = \"https://exact.test\"\naudiences = [\"{AUDIENCE}\"]\n\
         algorithms = [\"ES256\"]\njwks = \"file:jwks.json\"\nleeway = \"0s\"\n"
    );
    let home = Home::software(PROGRAM).configured(&exact);
    let gateway = with_a_key(&home).await;
    let mut claims = claims("alice", &["signer"]);
    let end = now() + 3;
    (claims["iss"], claims["exp"]) = (json!("https://exact.test"), json!(end));
    let alice = gateway.client_of(&home.idp().sign(&home.idp().header(), &claims)).await;
    for _ in 0..3 {
        assert_eq!(signing(&alice).await, "ok");
    }
    let mut last = (now(), signing(&alice).await);
    while last.1 == "ok" {
        assert!(last.0 < end, "it was taken {} s after its end", last.0 - end);
        last = (now(), signing(&alice).await);
    }
    assert_eq!(last.1, "Unauthenticated TOKEN_EXPIRED");
    assert!(now() >= end, "it was refused before its end");
}

#[tokio::test]
async fn policies_are_exchanged_as_a_whole_or_not_at_all() {
    let home = Home::software(PROGRAM);
    let gateway = with_a_key(&home).await;
    let alice = gateway.client_of(&home.idp().token("alice", &["signer"])).await;
    let mine = async || signing(&alice).await;
    let shipped = fs::read_to_string(home.path().join("policies/signer.cedar")).unwrap();
    assert_eq!(mine().await, "ok");

    // Edited, and edited back.
    changed(
        &gateway,
        || home.replace("policies/signer.cedar", &shipped.replace("Action::\"sign-message\",", "")),
        "PermissionDenied METHOD_NOT_ALLOWED",
        &mine,
    )
    .await;
    changed(&gateway, || home.replace("policies/signer.cedar", &shipped), "ok", &mine).await;

    // A file more, and a file less.
    changed(
        &gateway,
        || home.replace("policies/freeze.cedar", "forbid (principal, action, resource is Key);\n"),
        "PermissionDenied KEY_ACCESS_DENIED",
        &mine,
    )
    .await;
    changed(&gateway, || fs::remove_file(home.path().join("policies/freeze.cedar")).unwrap(), "ok", &mine)
        .await;

    // Each of these is refused with its place, and what was in force stays.
    for (file, text, told) in [
        ("signer", "\n\npermit (principal, action, resource\n", "signer.cedar:"),
        (
            "freeze",
            "forbid (principal, action, resource)\nwhen { principal.shoe > 7 };\n",
            "freeze.cedar:2: ",
        ),
        ("freeze", "\n\nforbid (principal, action == Action::\"dance\", resource);\n", "freeze.cedar:3: "),
        ("freeze", "@id(\"signer\")\nforbid (principal, action, resource);\n", "freeze.cedar:1 already"),
    ] {
        let name = format!("policies/{file}.cedar");
        home.replace(&name, text);
        logged(&gateway, &["cannot reload", told]).await;
        assert_eq!(mine().await, "ok", "{text}");
        if file == "signer" {
            home.replace(&name, &shipped);
        } else {
            fs::remove_file(home.path().join(&name)).unwrap();
        }
    }

    // Nothing at all is a slip, too: it would lock everybody out.
    for file in fs::read_dir(home.path().join("policies")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    logged(&gateway, &["cannot reload", "no policy allows anything"]).await;
    assert_eq!(mine().await, "ok");
    // It would not start so.
    assert!(gateway.stop().await.success());
    let Err(log) = home.try_start([]) else { panic!("it serves without policies") };
    assert!(log.contains("no policy allows anything"), "{log}");
}
