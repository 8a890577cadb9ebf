//! Keys behind a URL: J18.

use std::{fs, sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    CORP, Gate, MESH,
    idp::{self, Draft, P256, STRANGER},
    reason,
    server::{Answer, Server},
};
use crate::model::Reason;

/// A gate whose issuer has its keys at the server.
fn gate(server: &Server, more: &str) -> Gate {
    let config = CORP.replace("file:jwks.json", &server.url()).replace("jwks =", &format!("{more}\njwks ="));
    Gate::with(&format!("{config}{MESH}"), &json!({}))
}

/// Lets the cool-down pass.
fn pass(gate: &Gate, seconds: u64) {
    gate.shift(|shift| shift.older += Duration::from_secs(seconds));
}

#[tokio::test]
async fn j18_a_new_key_is_fetched_once_for_all_who_need_it() {
    let server = Server::json(&json!({"keys": [P256.jwk("p256")]})).await;
    let gate = gate(&server, "");
    let (old, new) =
        (Draft::new().signed(), Draft { pair: &STRANGER, ..Draft::new() }.header("kid", json!("new")));
    let new = new.signed();
    // Nothing was fetched before; the first who come wait for the one request.
    let first = futures_util::future::join_all((0..50).map(|_| gate.token(&old))).await;
    assert!(first.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);

    server.answer(Answer::json(&json!({"keys": [P256.jwk("p256"), STRANGER.jwk("new")]})));
    gate.refuses(&new, Reason::TokenSignatureInvalid, "within the cool-down").await;
    assert_eq!(server.connections(), 1);
    pass(&gate, 10);
    gate.takes(&new, "rotated").await;
    gate.takes(&old, "the old key is still there").await;
    assert_eq!(server.connections(), 2);

    server.answer(Answer::json(&json!({"keys": [STRANGER.jwk("new")]})));
    pass(&gate, 10);
    let unknown = Draft::new().header("kid", json!("x")).signed();
    gate.refuses(&unknown, Reason::TokenSignatureInvalid, "another look at the keys").await;
    gate.refuses(&old, Reason::TokenSignatureInvalid, "its key was withdrawn").await;
    gate.takes(&new, "still there").await;
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn j18_a_storm_of_unknown_keys_makes_one_request() {
    let server = Server::json(&idp::jwks()).await;
    let gate = gate(&server, "");
    let tokens: Vec<_> = (0..1000)
        .map(|kid| Draft::new().header("kid", json!(format!("kid-{kid}"))).forged(|_| vec![1; 64]))
        .collect();
    let storm = async || {
        let refused = futures_util::future::join_all(tokens.iter().map(|token| gate.token(token))).await;
        assert!(refused.into_iter().all(|result| reason(result) == Reason::TokenSignatureInvalid));
    };
    for round in 1..=3 {
        storm().await;
        storm().await;
        assert_eq!(server.connections(), round, "one in each cool-down");
        pass(&gate, 10);
    }
    gate.takes(&Draft::new().signed(), "others are not disturbed").await;
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn j18_an_outage_is_bridged_and_then_fails_closed() {
    let server = Server::json(&idp::jwks()).await;
    let gate = gate(&server, "");
    let draft = || Draft::new().claim("exp", json!(idp::now() + 3000)).claim("iat", json!(idp::now() - 600));
    let cached = draft().signed();
    gate.takes(&cached, "before").await;
    server.answer(Answer::with("500 Internal Server Error", "application/json", "{}"));
    // Ages are told by the clock that nobody sets; the tokens have not ended.
    pass(&gate, 2900);
    gate.takes(&cached, "in the cache").await;
    gate.takes(&draft().claim("jti", json!("new")).signed(), "known keys go on").await;
    let before = server.connections();
    let unknown = Draft::new().header("kid", json!("x")).signed();
    gate.refuses(&unknown, Reason::TokenSignatureInvalid, "unknown").await;
    assert_eq!(server.connections(), before + 1, "it was asked and gave nothing");
    gate.takes(&draft().claim("jti", json!("newer")).signed(), "an error does not take the keys away").await;
    // Past max_stale, for a token that was checked before, too.
    pass(&gate, 50);
    let late = draft().claim("exp", json!(idp::now() + 3500)).claim("iat", json!(idp::now())).signed();
    gate.takes(&late, "just before").await;
    pass(&gate, 700);
    for token in [&late, &draft().claim("jti", json!("newest")).signed()] {
        gate.refuses(token, Reason::TokenSignatureInvalid, "too old").await;
    }
    server.answer(Answer::json(&idp::jwks()));
    pass(&gate, 10);
    gate.takes(&late, "the issuer is back").await;
}

#[tokio::test]
async fn j18_a_bad_answer_changes_nothing() {
    let good = idp::jwks();
    let server = Server::json(&good).await;
    let lure = Server::json(&json!({"keys": [STRANGER.jwk("new")]})).await;
    let gate = gate(&server, "");
    let token = Draft::new().signed();
    gate.takes(&token, "before").await;
    let body = json!({"keys": [STRANGER.jwk("new")]}).to_string();
    let redirect = |to: &str| {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-type: application/json\r\n");
        Answer::Whole(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    };
    let with = |kind: &str, body: &str| Answer::with("200 OK", kind, body);
    let keys = |keys: &serde_json::Value| Answer::json(&json!({"keys": keys}));
    let mut enc = STRANGER.jwk("new");
    enc["use"] = json!("enc");
    let mut other = STRANGER.jwk("new");
    other["alg"] = json!("ES384");
    let huge = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let claimed =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 104857600\r\n\r\n".to_vec();
    let bad = [
        ("500", Answer::with("500 Internal Server Error", "application/json", &body)),
        ("404", Answer::with("404 Not Found", "application/json", &body)),
        ("204", Answer::with("204 No Content", "application/json", "")),
        ("redirect", redirect(&lure.url())),
        ("redirect to link-local", redirect("http://169.254.169.254/latest/meta-data")),
        ("HTML", with("text/html", &body)),
        ("no type", Answer::Whole(format!("HTTP/1.1 200 OK\r\n\r\n{body}").into_bytes())),
        ("not JSON", with("application/json", "<html>")),
        ("empty", with("application/json", "")),
        ("no keys", with("application/json", "{}")),
        ("a list", with("application/json", "[]")),
        ("two lists", with("application/json", &format!("{{\"keys\":[],{}", &body[1..]))),
        ("a shared secret", keys(&json!([{"kty": "oct", "kid": "new", "k": "c2VjcmV0", "alg": "HS256"}]))),
        ("for encryption", keys(&json!([enc]))),
        ("for another algorithm", keys(&json!([other]))),
        ("two of one id", keys(&json!([STRANGER.jwk("new"), P256.jwk("new")]))),
        ("too long", Answer::Endless(huge)),
        ("said to be too long", Answer::Endless(claimed)),
        (
            "cut off",
            Answer::Whole(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{".to_vec(),
            ),
        ),
        ("no HTTP", Answer::Whole(b"hello\r\n\r\n".to_vec())),
    ];
    let new = Draft { pair: &STRANGER, ..Draft::new() }.header("kid", json!("new")).signed();
    for (case, answer) in bad {
        server.answer(answer);
        pass(&gate, 10);
        let before = server.connections();
        gate.refuses(&new, Reason::TokenSignatureInvalid, case).await;
        assert_eq!(server.connections(), before + 1, "{case}: it was asked once");
        gate.takes(&token, case).await;
        // So that the keys are seen again before they are too old.
        server.answer(Answer::json(&good));
        pass(&gate, 10);
        gate.refuses(&new, Reason::TokenSignatureInvalid, "the good keys").await;
    }
    assert_eq!(lure.connections(), 0, "no redirect is followed");
    let mixed =
        json!([STRANGER.jwk("new"), {"kty": "oct"}, 7, {"kty": "RSA", "kid": "r", "n": "!", "e": "AQAB"}]);
    server.answer(keys(&mixed));
    pass(&gate, 10);
    gate.takes(&new, "a good key among malformed ones").await;
}

#[tokio::test]
async fn j18_a_slow_answer_keeps_nobody_for_long() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{".to_vec();
    let server = Server::start(Answer::Half(half), None).await;
    let gate = gate(&server, "");
    let begun = std::time::Instant::now();
    let token = Draft::new().signed();
    let refused = futures_util::future::join_all((0..20).map(|_| gate.token(&token))).await;
    assert!(refused.into_iter().all(|result| reason(result) == Reason::TokenSignatureInvalid));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_again() {
    let server = Server::json(&json!({"keys": [STRANGER.jwk("p256")]})).await;
    let gate = gate(&server, "refresh = '100ms'\ncool_down = '100ms'");
    let stop = CancellationToken::new();
    let authenticator = gate.authenticator.clone();
    let refresh = tokio::spawn({
        let stop = stop.clone();
        async move { authenticator.refresh(stop).await }
    });
    let token = Draft { pair: &STRANGER, ..Draft::new() }.signed();
    gate.takes(&token, "before").await;
    server.answer(Answer::json(&idp::jwks()));
    // Nobody asks for another key; the old one goes all the same.
    tokio::time::timeout(Duration::from_secs(20), async {
        while gate.token(&token).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    gate.takes(&Draft::new().signed(), "the new key").await;
    stop.cancel();
    refresh.await.unwrap();
}

#[tokio::test]
async fn keys_come_over_tls_from_a_server_that_its_authority_knows() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let server = Server::start(Answer::json(&idp::jwks()), Some(Arc::new(tls))).await;
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right.pem"), folder.path().join("wrong.pem"));
    fs::write(&right, certified.cert.pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&wrong, stranger.cert.pem()).unwrap();
    let with = |ca: &std::path::Path| gate(&server, &format!("jwks_ca = '{}'", ca.display()));
    with(&right).takes(&Draft::new().signed(), "its authority is known").await;
    with(&wrong).refuses(&Draft::new().signed(), Reason::TokenSignatureInvalid, "a stranger").await;
}
