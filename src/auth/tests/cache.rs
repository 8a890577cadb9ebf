//! What changes while tokens are in the cache: J15, and the rotation and reload of files.

use std::{fs, time::Duration};

use serde_json::json;

use super::{
    Gate, certificate,
    idp::{self, Draft, P256, STRANGER},
    reason,
};
use crate::model::Reason;

#[tokio::test]
async fn j15_who_is_denied_is_refused_at_once_and_others_are_not() {
    let gate = Gate::new();
    let token = Draft::new().claim("tenant", json!("payroll")).signed();
    let other = Draft::new().claim("jti", json!("token-2")).claim("sub", json!("bob")).signed();
    for list in [
        "tokens = ['token-1']",
        "subjects = ['corp/alice']",
        "tenants = ['payroll']",
        "tokens = ['x', 'token-1']\nsubjects = ['corp/carol', 'mesh/alice']",
    ] {
        gate.deny("");
        gate.takes(&token, "in the cache").await;
        gate.takes(&other, "in the cache, too").await;
        gate.deny(list);
        gate.refuses(&token, Reason::TokenRevoked, list).await;
        gate.takes(&other, list).await;
    }
    gate.deny("subjects = ['second/alice', 'corp/alic', 'corp/Alice']\ntokens = ['token-', 'TOKEN-1']");
    gate.takes(&token, "not on the list").await;
    // A token that is seen for the first time.
    gate.deny("tokens = ['fresh']");
    let fresh = Draft::new().claim("jti", json!("fresh")).signed();
    gate.refuses(&fresh, Reason::TokenRevoked, "fresh").await;
}

#[tokio::test]
async fn a_denied_certificate_is_refused_with_and_without_a_token() {
    let gate = Gate::new();
    let proxy = certificate("mesh", &["spiffe://test/proxy"]);
    let token = Draft::new().signed();
    assert!(gate.on(None, &proxy).await.is_ok() && gate.on(Some(&token), &proxy).await.is_ok());
    assert!(!gate.authenticator.is_denied_certificate(&proxy));
    gate.deny("certificates = ['00:AF:F0:1']");
    assert!(gate.authenticator.is_denied_certificate(&proxy));
    assert_eq!(reason(gate.on(None, &proxy).await), Reason::TokenRevoked);
    assert_eq!(reason(gate.on(Some(&token), &proxy).await), Reason::TokenRevoked);
    gate.takes(&token, "without it").await;
    gate.deny("subjects = ['mesh/spiffe://test/proxy']");
    assert_eq!(reason(gate.on(None, &proxy).await), Reason::TokenRevoked);
}

#[tokio::test]
async fn a_key_that_is_gone_takes_its_tokens_with_it() {
    let gate = Gate::new();
    let token = Draft::new().signed();
    let ed = Draft::algorithm("EdDSA").signed();
    gate.takes(&token, "before").await;
    gate.takes(&ed, "before").await;
    gate.write("jwks.json", &json!({"keys": [idp::ED.jwk("ed")]}).to_string());
    gate.takes(&token, "nobody has read it yet").await;
    assert!(gate.authenticator.reload().unwrap());
    assert!(!gate.authenticator.reload().unwrap(), "nothing has changed since");
    gate.refuses(&token, Reason::TokenSignatureInvalid, "its key is gone").await;
    gate.takes(&ed, "its key is not").await;
    // The id comes back with another key.
    gate.write("jwks.json", &json!({"keys": [STRANGER.jwk("p256")]}).to_string());
    gate.authenticator.reload().unwrap();
    gate.refuses(&token, Reason::TokenSignatureInvalid, "another key of its id").await;
    gate.takes(&Draft { pair: &STRANGER, ..Draft::new() }.signed(), "of the new key").await;
}

#[tokio::test]
async fn a_token_in_the_cache_ends_when_it_ends() {
    let gate = Gate::new();
    let token = Draft::new().signed();
    gate.takes(&token, "before").await;
    gate.shift(|shift| shift.ahead = Duration::from_secs(595));
    gate.takes(&token, "until its end").await;
    gate.shift(|shift| shift.ahead = Duration::from_secs(606));
    gate.refuses(&token, Reason::TokenExpired, "after it").await;
}

#[tokio::test]
async fn a_bad_file_is_refused_and_the_old_one_stays() {
    let gate = Gate::new();
    let token = Draft::new().signed();
    gate.deny("tokens = ['other']");
    let good = fs::read_to_string(gate.path().join("jwks.json")).unwrap();
    let (one, two) = (P256.jwk("one"), STRANGER.jwk("one"));
    let hs = json!({"kty": "oct", "kid": "p256", "k": "c2VjcmV0", "alg": "HS256"});
    let mut enc = P256.jwk("p256");
    enc["use"] = json!("enc");
    for (text, why) in [
        ("", "it is no JWK set in strict JSON"),
        ("[]", "it is no JWK set in strict JSON"),
        ("{\"keys\":{}}", "it is no JWK set in strict JSON"),
        (&format!("{{\"keys\":[],{}", &good[1..]), "it is no JWK set in strict JSON"),
        (&format!("\u{feff}{good}"), "it is no JWK set in strict JSON"),
        ("{\"keys\":[]}", "none of its keys is for an algorithm of this issuer"),
        (&json!({"keys": [hs]}).to_string(), "none of its keys is for an algorithm of this issuer"),
        (&json!({"keys": [enc]}).to_string(), "none of its keys is for an algorithm of this issuer"),
        (&json!({"keys": [one, two]}).to_string(), "two of its keys have the same `kid`"),
        (&json!({"keys": vec![json!({}); 101]}).to_string(), "it has more than 100 keys"),
    ] {
        gate.write("jwks.json", text);
        let error = gate.authenticator.reload().unwrap_err();
        let path = gate.path().join("jwks.json");
        assert_eq!(error.to_string(), format!("`{}` is no set of keys that can be used", path.display()));
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), why, "{text}");
        gate.takes(&token, "the old keys").await;
    }
    // One bad file does not keep the other from being read.
    gate.write("deny.toml", "tokens = ['token-1']");
    assert!(gate.authenticator.reload().is_err());
    gate.refuses(&token, Reason::TokenRevoked, "the list is in force").await;
    gate.write("jwks.json", &good);
    gate.write("deny.toml", "tokenz = []");
    let error = gate.authenticator.reload().unwrap_err().to_string();
    assert!(error.contains("deny.toml`: line 1: unknown field `tokenz`"), "{error}");
    gate.refuses(&token, Reason::TokenRevoked, "the old list").await;
    fs::remove_file(gate.path().join("deny.toml")).unwrap();
    let error = gate.authenticator.reload().unwrap_err().to_string();
    assert!(error.starts_with("cannot read `") && error.ends_with("deny.toml`"), "{error}");
    gate.refuses(&token, Reason::TokenRevoked, "the old list").await;
    let files = [gate.path().join("deny.toml"), gate.path().join("jwks.json")];
    assert_eq!(gate.authenticator.files(), files);
}
