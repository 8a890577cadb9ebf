//! What a token looks like: J4, J6 to J8, J13, J16.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::json;

use super::{
    Gate,
    idp::{self, Draft, P256, compact},
    reason,
};
use crate::model::Reason;

#[tokio::test]
async fn j4_a_key_id_is_a_short_text_that_names_a_key() {
    let gate = Gate::new();
    let malformed = [json!(""), json!("k".repeat(257)), json!(["p256"]), json!(1), json!(null), json!({})];
    for kid in malformed {
        let token = Draft::new().header("kid", kid.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &kid.to_string()).await;
    }
    let unknown = [
        "other",
        "P256",
        "p256 ",
        "../../dev/null",
        "' OR 1=1 --",
        "p256\0",
        "https://attacker.test/k",
        &"k".repeat(256),
    ];
    for kid in unknown {
        let token = Draft::new().header("kid", json!(kid)).signed();
        gate.refuses(&token, Reason::TokenSignatureInvalid, kid).await;
    }
    let long = Draft::new().header("kid", json!("k".repeat(10_000))).signed();
    gate.refuses(&long, Reason::TokenMalformed, "10 kB").await;
    let two = Draft::new().edited(|header, _| *header = header.replacen('{', "{\"kid\":\"p384\",", 1));
    gate.refuses(&two, Reason::TokenMalformed, "two kids").await;
}

#[tokio::test]
async fn j4_without_a_key_id_only_one_key_may_be_meant() {
    let absent = || Draft::new().without_header("kid").signed();
    Gate::new().takes(&absent(), "one key for ES256").await;
    let two = json!({"keys": [P256.jwk("p256"), idp::STRANGER.jwk("second")]});
    let gate = Gate::with(&format!("{}{}", super::CORP, super::MESH), &two);
    gate.refuses(&absent(), Reason::TokenSignatureInvalid, "two keys for ES256").await;
    gate.takes(&Draft::new().signed(), "named").await;
}

#[tokio::test]
async fn j6_no_extension_is_understood() {
    let gate = Gate::new();
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ] {
        let token = Draft::new().header(member, value.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &format!("{member}: {value}")).await;
    }
    gate.takes(&Draft::new().header("custom", json!({"a": 1})).signed(), "unknown members are ignored").await;
}

#[tokio::test]
async fn j7_there_are_three_parts_in_the_one_form_of_base64url() {
    let gate = Gate::new();
    let good = Draft::new().signed();
    gate.takes(&good, "control").await;
    let parts: Vec<_> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let last = |text: &str| {
        // One of the bits that stand for nothing.
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (start, end) = text.split_at(text.len() - 1);
        let value = alphabet.find(end).unwrap();
        format!("{start}{}", &alphabet[value ^ 1..][..1])
    };
    // 64 bytes are 86 characters, of which the last has four bits to spare.
    assert_eq!(signature.len(), 86);
    let mut bad = vec![
        String::new(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}.{claims}."),
        "..".to_owned(),
        format!("{good}=="),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.+/{}", &signature[2..]),
        format!(" {good}"),
        format!("{good} "),
        format!("{header}. {claims}.{signature}"),
        format!("{good}\t"),
        format!("\u{feff}{good}"),
        format!("{header}.{claims}.{}", last(signature)),
        format!("{good},{good}"),
        // Nested: the claims are a token.
        compact("{\"alg\":\"ES256\",\"kid\":\"p256\",\"typ\":\"JWT\",\"cty\":\"JWT\"}", &good, |m| {
            P256.sign("", m)
        }),
        compact("{\"alg\":\"ES256\",\"kid\":\"p256\",\"typ\":\"JWT\"}", &good, |m| P256.sign("", m)),
        // Encrypted: five parts and another header.
        format!("{}.a.b.c.d", BASE64.encode("{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}")),
    ];
    for (bytes, in_header) in [(&b"\xef\xbb\xbf"[..], true), (b"\xef\xbb\xbf", false), (b"\xff", false)] {
        let draft = Draft::new();
        let (mut header, mut claims) =
            (draft.header.to_string().into_bytes(), draft.claims.to_string().into_bytes());
        let part = if in_header { &mut header } else { &mut claims };
        part.splice(0..0, bytes.iter().copied());
        bad.push(compact(header, claims, |message| P256.sign("", message)));
    }
    for token in bad {
        gate.refuses(&token, Reason::TokenMalformed, &token).await;
    }
}

#[tokio::test]
async fn j8_what_could_be_read_in_two_ways_is_not_read() {
    let gate = Gate::new();
    let mut cases = Vec::new();
    for (name, value) in [("alg", "\"ES256\""), ("alg", "\"none\""), ("kid", "\"p256\""), ("typ", "\"JWT\"")]
    {
        let first = format!("{{\"{name}\":{value},");
        cases.push(Draft::new().edited(|header, _| *header = header.replacen('{', &first, 1)));
    }
    for (name, value) in [("exp", "1"), ("aud", "\"skms\""), ("sub", "\"bob\""), ("x", "{\"y\":1,\"y\":2}")] {
        let both = format!("{{\"{name}\":{value},");
        cases.push(Draft::new().edited(|_, claims| *claims = claims.replacen('{', &both, 1)));
    }
    let last = format!(",\"exp\":{}}}", idp::now() + 60);
    cases.push(Draft::new().edited(|_, claims| *claims = claims.trim_end_matches('}').to_owned() + &last));
    for depth in [17, 1_000] {
        let deep = format!("{{\"deep\":{}{},", "[".repeat(depth), "]".repeat(depth));
        cases.push(Draft::new().edited(|_, claims| *claims = claims.replacen('{', &deep, 1)));
    }
    let escaped = "{\"\\u0065xp\":1,";
    cases.push(Draft::new().edited(|_, claims| *claims = claims.replacen('{', escaped, 1)));
    for text in ["\"\\ud800\"", "\"\\udc00x\"", "\"a\u{1}b\"", "1e999", "NaN", "01", "'a'"] {
        let odd = format!("{{\"odd\":{text},");
        cases.push(Draft::new().edited(|_, claims| *claims = claims.replacen('{', &odd, 1)));
    }
    for claims in ["[]", "null", "\"text\"", "1", "{}{}", "{", ""] {
        cases.push(Draft::new().edited(|_, text| *text = claims.to_owned()));
    }
    for header in ["[]", "null", "{}", "{\"alg\":\"ES256\"", "{\"alg\":[\"ES256\"]}"] {
        cases.push(Draft::new().edited(|text, _| *text = header.to_owned()));
    }
    for size in [10_000, 1024 * 1024] {
        cases.push(Draft::new().claim("padding", json!("x".repeat(size))).signed());
    }
    let (open, shut) = ("[".repeat(10_000), "]".repeat(10_000));
    cases.push(Draft::new().edited(|_, claims| *claims = format!("{{\"a\":{open}{shut}}}")));
    for token in cases {
        gate.refuses(&token, Reason::TokenMalformed, &token[..token.len().min(300)]).await;
    }
}

#[tokio::test]
async fn j13_only_the_configured_types_are_access_tokens() {
    let config = super::CORP.replace("jwks =", "types = ['at+jwt', 'Custom']\njwks =");
    let gate = Gate::with(&format!("{config}{}", super::MESH), &idp::jwks());
    for typ in [json!("at+jwt"), json!("AT+JWT"), json!("application/at+jwt"), json!("Application/custom")] {
        gate.takes(&Draft::new().header("typ", typ.clone()).signed(), &typ.to_string()).await;
    }
    for typ in [json!("JWT"), json!("logout+jwt"), json!(""), json!("at+jwt2"), json!(1), json!(["at+jwt"])] {
        let token = Draft::new().header("typ", typ.clone()).signed();
        gate.refuses(&token, Reason::TokenMalformed, &typ.to_string()).await;
    }
    let absent = Draft::new().without_header("typ").signed();
    gate.refuses(&absent, Reason::TokenMalformed, "no typ").await;
    let config = super::CORP.replace("jwks =", "types = ['']\njwks =");
    let gate = Gate::with(&format!("{config}{}", super::MESH), &idp::jwks());
    gate.takes(&absent, "no typ where that is configured").await;
    // An ID token is for the client, and an access token of another service for that.
    let id_token = Draft::new().without_header("typ").claim("aud", json!("client-7")).signed();
    gate.refuses(&id_token, Reason::TokenAudienceMismatch, "ID token").await;
}

#[tokio::test]
async fn j16_a_call_has_one_authorization() {
    let gate = Gate::new();
    let token = Draft::new().signed();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let header = format!("{scheme} {token}");
        assert_eq!(gate.headers(&[header.as_bytes()]).await.unwrap().id(), "corp/alice", "{scheme}");
    }
    let good = format!("Bearer {token}");
    for headers in [
        vec![good.clone(), good.clone()],
        vec![good.clone(), String::new()],
        vec![good.clone(), "Basic YTpi".to_owned()],
        vec![format!("{good}, {good}")],
        vec![format!("{good},{token}")],
        vec![String::new()],
        vec!["Bearer".to_owned()],
        vec!["Bearer ".to_owned()],
        vec![format!("Bearer  {token}")],
        vec![format!("Bearer\t{token}")],
        vec![format!(" Bearer {token}")],
        vec![format!("Basic {token}")],
        vec![format!("DPoP {token}")],
        vec![token.clone()],
        vec![format!("Bearer: {token}")],
        vec!["Bearer \u{fc}".to_owned()],
        vec![format!("Bearer {}", "a".repeat(4097))],
    ] {
        let bytes: Vec<_> = headers.iter().map(String::as_bytes).collect();
        assert_eq!(reason(gate.headers(&bytes).await), Reason::TokenMalformed, "{headers:?}");
    }
    assert_eq!(reason(gate.headers(&[b"Bearer \xff\xfe.a.b"]).await), Reason::TokenMalformed);
    assert_eq!(reason(gate.headers(&[]).await), Reason::TokenMissing);
}
