//! What a token says: J9 to J11, J17, J19.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CORP, Gate, MESH,
    idp::{self, Draft, ISS, now},
};
use crate::model::Reason;

/// Far enough from the edge that a slow machine does not cross it.
const SLACK: u64 = 3;
const LEEWAY: u64 = 5;

#[tokio::test]
async fn j9_a_token_has_an_end_that_is_a_time() {
    let gate = Gate::new();
    for exp in [
        json!("never"),
        json!((now() + 60).to_string()),
        json!(now() as f64 + 60.5),
        json!(-1),
        json!(-1e300),
        json!(1e308),
        json!(u64::MAX),
        json!([now() + 60]),
        json!({}),
        json!(null),
        json!(true),
        json!(now() as f64 + 60.0),
    ] {
        let token = Draft::new().claim("exp", exp.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &exp.to_string()).await;
    }
    gate.refuses(&Draft::new().without("exp").signed(), Reason::TokenMalformed, "absent").await;
    for exp in [0, 1, now() - 3600, now() - LEEWAY - 1] {
        let token =
            Draft::new().claim("iat", json!(exp.saturating_sub(60))).claim("exp", json!(exp)).signed();
        gate.refuses(&token, Reason::TokenExpired, &exp.to_string()).await;
    }
    for exp in [json!(now() + 60), json!(now() - LEEWAY + SLACK)] {
        let token = Draft::new().claim("iat", json!(now() - 60)).claim("exp", exp.clone()).signed();
        gate.takes(&token, &exp.to_string()).await;
    }
}

#[tokio::test]
async fn j10_a_token_has_begun_and_does_not_live_too_long() {
    let gate = Gate::new();
    for claim in ["nbf", "iat"] {
        for value in [json!(now().to_string()), json!(null), json!(-1), json!(1.5), json!([]), json!(1e300)] {
            let token = Draft::new().claim(claim, value.clone()).signed();
            gate.refuses(&token, Reason::TokenMalformed, &format!("{claim}: {value}")).await;
        }
        for ahead in [LEEWAY + 1 + SLACK, 300] {
            let token = Draft::new().claim(claim, json!(now() + ahead)).signed();
            gate.refuses(&token, Reason::TokenNotYetValid, claim).await;
        }
        gate.takes(&Draft::new().claim(claim, json!(now() + LEEWAY - 1)).signed(), "within the leeway").await;
    }
    let lives = |seconds: u64| Draft::new().claim("iat", json!(now())).claim("exp", json!(now() + seconds));
    gate.takes(&lives(3600).signed(), "an hour").await;
    gate.refuses(&lives(3602).signed(), Reason::TokenMalformed, "longer").await;
    gate.refuses(&lives(10 * 365 * 86400).signed(), Reason::TokenMalformed, "ten years").await;
    gate.takes(&lives(3590).without("iat").signed(), "without iat").await;
    gate.refuses(&lives(3620).without("iat").signed(), Reason::TokenMalformed, "longer, without iat").await;
    let backwards = Draft::new().claim("iat", json!(now() + 3)).claim("exp", json!(now() + 1)).signed();
    gate.refuses(&backwards, Reason::TokenMalformed, "ends before it was issued").await;
}

#[tokio::test]
async fn j11_issuer_and_audience_match_to_the_letter() {
    let gate = Gate::new();
    for iss in ["https://other.test", "https://idp.test/", "HTTPS://IDP.TEST", "https://idp.tes", "", "corp"]
    {
        let token = Draft::new().claim("iss", json!(iss)).signed();
        gate.refuses(&token, Reason::TokenIssuerUntrusted, iss).await;
    }
    for iss in [json!([ISS]), json!(1), json!(null), json!({"iss": ISS})] {
        let token = Draft::new().claim("iss", iss.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &iss.to_string()).await;
    }
    gate.refuses(&Draft::new().without("iss").signed(), Reason::TokenMalformed, "no iss").await;
    for aud in [
        json!("other"),
        json!("skm"),
        json!("skmss"),
        json!("SKMS"),
        json!("skms kms"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([["skms"]]),
        json!(["skms", 1]),
        json!({"aud": "skms"}),
        json!(1),
        json!(null),
    ] {
        let token = Draft::new().claim("aud", aud.clone()).signed();
        gate.refuses(&token, Reason::TokenAudienceMismatch, &aud.to_string()).await;
    }
    gate.refuses(&Draft::new().without("aud").signed(), Reason::TokenAudienceMismatch, "no aud").await;
    for aud in [json!("skms"), json!("kms"), json!(["other", "kms"]), json!(["skms"])] {
        gate.takes(&Draft::new().claim("aud", aud.clone()).signed(), &aud.to_string()).await;
    }
}

#[tokio::test]
async fn the_keys_of_one_issuer_do_not_speak_for_another() {
    let second = "[issuers.second]\nissuer = 'https://second.test'\naudiences = ['skms']\nalgorithms = ['ES256']\n\
                  jwks = 'file:second.json'\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("second.json"),
        json!({"keys": [idp::STRANGER.jwk("p256")]}).to_string(),
    )
    .unwrap();
    let second = second.replace("file:", &format!("file:{}/", folder.path().display()));
    let gate = Gate::with(&format!("{CORP}{second}{MESH}"), &idp::jwks());
    let of = |pair, iss: &str| Draft { pair, ..Draft::new() }.claim("iss", json!(iss)).signed();
    let second = "https://second.test";
    assert_eq!(gate.takes(&of(&idp::STRANGER, second), "second").await.id(), "second/alice");
    assert_eq!(gate.takes(&of(&idp::P256, ISS), "first").await.id(), "corp/alice");
    gate.refuses(&of(&idp::STRANGER, ISS), Reason::TokenSignatureInvalid, "first by second").await;
    gate.refuses(&of(&idp::P256, second), Reason::TokenSignatureInvalid, "second by first").await;
}

#[tokio::test]
async fn a_subject_is_a_name() {
    let gate = Gate::new();
    for sub in [
        json!(""),
        json!(null),
        json!(1),
        json!(["alice"]),
        json!("alice\n"),
        json!("al\u{0}ice"),
        json!("a".repeat(257)),
        json!("\u{85}"),
    ] {
        let token = Draft::new().claim("sub", sub.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &sub.to_string()).await;
    }
    gate.refuses(&Draft::new().without("sub").signed(), Reason::TokenMalformed, "absent").await;
    let token = Draft::new().claim("sub", json!("a/b@c d")).signed();
    assert_eq!(gate.takes(&token, "odd").await.id(), "corp/a/b@c d");
    for jti in [json!(1), json!(""), json!(null), json!("a\u{7}")] {
        let token = Draft::new().claim("jti", jti.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &jti.to_string()).await;
    }
    gate.takes(&Draft::new().without("jti").signed(), "jti is not required").await;
}

#[tokio::test]
async fn j17_roles_are_compared_whole() {
    let gate = Gate::new();
    let roles_of = |caller: super::Caller| caller.roles().iter().cloned().collect::<Vec<_>>();
    for (claim, expected) in [
        (json!("sign verify"), vec!["sign", "verify"]),
        (json!("signverify"), vec!["signverify"]),
        (json!(["sign verify"]), vec!["sign verify"]),
        (json!(["sign", "verify"]), vec!["sign", "verify"]),
        (json!("Sign"), vec!["Sign"]),
        (json!("s\u{456}gn"), vec!["s\u{456}gn"]),
        (json!("sign,verify"), vec!["sign,verify"]),
        (json!([]), vec![]),
        (json!(""), vec![]),
    ] {
        let token = Draft::new().claim("roles", claim.clone()).signed();
        assert_eq!(roles_of(gate.takes(&token, &claim.to_string()).await), expected, "{claim}");
    }
    assert!(gate.takes(&Draft::new().without("roles").signed(), "no roles").await.roles().is_empty());
    for claim in [
        json!("sign  verify"),
        json!(" sign"),
        json!("sign "),
        json!("sign\tverify\n"),
        json!(1),
        json!(null),
        json!(true),
        json!({"sign": true}),
        json!(["sign", 1]),
        json!(["sign", null]),
        json!([["sign"]]),
        json!([""]),
    ] {
        let token = Draft::new().claim("roles", claim.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &claim.to_string()).await;
    }
}

#[tokio::test]
async fn claims_are_mapped_as_configured() {
    let config = CORP.replace(
        "tenant_claim = \"tenant\"",
        "subject_claim = 'azp'\nroles_claim = 'realm_access.roles'\ntenant_claim = 'https://corp.test/tenant'\n\
         tenant = 'common'",
    );
    let gate = Gate::with(&format!("{config}{MESH}"), &idp::jwks());
    let draft = || {
        Draft::new()
            .claim("azp", json!("robot"))
            .claim("realm_access", json!({"roles": ["signer", "admin"]}))
            .claim("https://corp.test/tenant", json!("payroll"))
    };
    let caller = gate.takes(&draft().signed(), "mapped").await;
    assert_eq!((caller.id(), caller.tenant()), ("corp/robot", Some("payroll")));
    assert_eq!(caller.roles().iter().collect::<Vec<_>>(), ["admin", "signer"]);
    let caller = gate.takes(&draft().without("https://corp.test/tenant").signed(), "default").await;
    assert_eq!(caller.tenant(), Some("common"));
    let absent = gate.takes(&draft().claim("realm_access", json!({})).signed(), "no roles").await;
    assert!(absent.roles().is_empty());
    for (claim, value) in [
        ("realm_access", json!("signer")),
        ("realm_access", json!([])),
        ("realm_access", json!({"roles": 1})),
        ("azp", json!(1)),
        ("https://corp.test/tenant", json!(["payroll"])),
        ("https://corp.test/tenant", Value::Null),
        ("https://corp.test/tenant", json!("")),
    ] {
        let token = draft().claim(claim, value.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &format!("{claim}: {value}")).await;
    }
    gate.refuses(&draft().without("azp").signed(), Reason::TokenMalformed, "nobody").await;
    gate.refuses(&draft().without("sub").signed(), Reason::TokenMalformed, "sub is required all the same")
        .await;
}

#[tokio::test]
async fn j19_a_clock_that_jumps_brings_nothing_back() {
    const HOUR: Duration = Duration::from_secs(3600);
    const DECADE: Duration = Duration::from_secs(10 * 365 * 86400);
    for jump in [HOUR, DECADE] {
        let gate = Gate::new();
        let token = Draft::new().signed();
        gate.takes(&token, "now").await;
        gate.shift(|shift| shift.ahead = jump);
        gate.refuses(&token, Reason::TokenExpired, "the clock is ahead").await;
        gate.refuses(&Draft::new().claim("jti", json!("x")).signed(), Reason::TokenExpired, "a new one")
            .await;

        // The time passes, and somebody turns the clock back.
        let gate = Gate::new();
        gate.takes(&token, "now").await;
        gate.shift(|shift| (shift.older, shift.behind) = (HOUR, jump));
        gate.refuses(&token, Reason::TokenExpired, "ended, whatever the clock says").await;
        let early = Draft::new().claim("jti", json!("x")).signed();
        gate.refuses(&early, Reason::TokenNotYetValid, "the clock is behind").await;
    }
}
