//! Tokens that say what they should not: J9 to J11, J14, J15, J17.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};
use skms::model::Reason::{
    self, ClientCertificateRequired, TokenAudienceMismatch, TokenExpired, TokenIssuerUntrusted,
    TokenMalformed, TokenNotYetValid, TokenRevoked,
};
use skms_tests::idp::now;

use super::{
    credential::{Credential, bearer},
    issuer::{BOUND, Draft, ISS},
};

/// How far clocks may be apart.
const LEEWAY: u64 = 5;

/// Whom the gateway is told not to let in.
pub(super) const DENIED: &str = "tokens = ['lost']\nsubjects = ['corp/fired']\ntenants = ['left']\n";

pub(super) fn all(good: &Draft) -> Vec<Credential> {
    [ends(good), beginnings(good), parties(good), names(good), bindings(good), denied(good)].concat()
}

/// The same token with one other claim for each of these values.
fn each(what: &str, claim: &str, reason: Reason, good: &Draft, values: &[Value]) -> Vec<Credential> {
    let one = |value: &Value| {
        let name = format!("{what} {claim} {:.80}", value.to_string());
        bearer(name, reason, good.clone().claim(claim, value.clone()).signed())
    };
    values.iter().map(one).collect()
}

fn ends(good: &Draft) -> Vec<Credential> {
    let no_time = [
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
    ];
    let old = good.clone().claim("iat", 0);
    [
        vec![bearer("J9 no exp", TokenMalformed, good.clone().without("exp").signed())],
        each("J9", "exp", TokenMalformed, good, &no_time),
        each("J9", "exp", TokenExpired, &old, &[json!(0), json!(1)]),
        each("J9", "exp", TokenExpired, &old.clone().claim("iat", now() - 3700), &[json!(now() - 3600)]),
        each("J9", "exp", TokenExpired, &old.claim("iat", now() - 60), &[json!(now() - LEEWAY - 1)]),
    ]
    .concat()
}

fn beginnings(good: &Draft) -> Vec<Credential> {
    let no_time =
        [json!(now().to_string()), json!(null), json!(-1), json!(1.5), json!([]), json!(1e300), json!(true)];
    let mut all = Vec::new();
    for claim in ["nbf", "iat"] {
        all.extend(each("J10", claim, TokenMalformed, good, &no_time));
        all.extend(each("J10", claim, TokenNotYetValid, good, &[json!(now() + 300)]));
    }
    let lives = |name: &str, seconds: u64| {
        bearer(name, TokenMalformed, good.clone().claim("exp", now() + seconds).signed())
    };
    all.push(lives("J10 an hour and two seconds", 3602));
    all.push(lives("J10 ten years", 10 * 365 * 86_400));
    let endless = good.clone().claim("exp", now() + 4000).without("iat");
    all.push(bearer("J10 longer than an hour, without iat", TokenMalformed, endless.signed()));
    all
}

fn parties(good: &Draft) -> Vec<Credential> {
    let untrusted = [
        json!("https://other.test"),
        json!(format!("{ISS}/")),
        json!(ISS.to_ascii_uppercase()),
        json!(&ISS[..ISS.len() - 1]),
        json!(format!("{ISS} {BOUND}")),
        json!(""),
        json!("corp"),
        json!("unix"),
        json!("gateway"),
    ];
    let no_issuer = [json!([ISS]), json!(1), json!(null), json!({ "iss": ISS })];
    let others = [
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
    ];
    [
        each("J11", "iss", TokenIssuerUntrusted, good, &untrusted),
        each("J11", "iss", TokenMalformed, good, &no_issuer),
        vec![bearer("J11 no iss", TokenMalformed, good.clone().without("iss").signed())],
        each("J11", "aud", TokenAudienceMismatch, good, &others),
        vec![bearer("J11 no aud", TokenAudienceMismatch, good.clone().without("aud").signed())],
    ]
    .concat()
}

fn names(good: &Draft) -> Vec<Credential> {
    let no_names = [
        json!(""),
        json!(null),
        json!(1),
        json!(["admin"]),
        json!("admin\n"),
        json!("ad\u{0}min"),
        json!("a".repeat(257)),
        json!("\u{85}"),
    ];
    let no_roles = [
        json!("admin  signer"),
        json!(" admin"),
        json!("admin "),
        json!("admin\tsigner\n"),
        json!(1),
        json!(null),
        json!(true),
        json!({"admin": true}),
        json!(["admin", 1]),
        json!(["admin", null]),
        json!([["admin"]]),
        json!([""]),
    ];
    [
        vec![bearer("J17 no sub", TokenMalformed, good.clone().without("sub").signed())],
        each("J17", "sub", TokenMalformed, good, &no_names),
        each("J17", "roles", TokenMalformed, good, &no_roles),
        each("J17", "tenant", TokenMalformed, good, &[json!(["acme"]), json!(null), json!(""), json!(1)]),
        each("J17", "jti", TokenMalformed, good, &[json!(1), json!(""), json!(null), json!("a\u{7}")]),
    ]
    .concat()
}

fn bindings(good: &Draft) -> Vec<Credential> {
    let thumbprint = BASE64.encode([7; 32]);
    let x5t = |text: &str| json!({ "x5t#S256": text });
    let no_binding = [
        json!(null),
        json!("x"),
        json!({}),
        json!([]),
        json!({"x5t#S256": 1}),
        x5t(""),
        x5t(&BASE64.encode([7; 31])),
        x5t(&BASE64.encode([7; 33])),
        x5t(&format!("{thumbprint}=")),
        x5t(&hex::encode([7; 32])),
    ];
    let elsewhere =
        [x5t(&thumbprint), json!({"jkt": "x"}), json!({"x5t#S256": thumbprint, "jkt": thumbprint})];
    let bound = good.clone().claim("iss", BOUND);
    [
        each("J14", "cnf", TokenMalformed, good, &no_binding),
        each("J14", "cnf", ClientCertificateRequired, good, &elsewhere),
        each("J14 of an issuer that binds them all,", "cnf", ClientCertificateRequired, &bound, &elsewhere),
        vec![bearer("J14 bound to nothing", ClientCertificateRequired, bound.signed())],
    ]
    .concat()
}

fn denied(good: &Draft) -> Vec<Credential> {
    [("jti", "lost"), ("sub", "fired"), ("tenant", "left")]
        .map(|(claim, value)| {
            let token = good.clone().claim(claim, value).signed();
            bearer(format!("J15 {claim} `{value}`"), TokenRevoked, token)
        })
        .to_vec()
}
