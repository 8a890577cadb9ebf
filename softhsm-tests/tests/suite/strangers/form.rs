//! Tokens that look wrong, and calls that carry them wrongly: J4, J6 to J8, J13, J16.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::json;
use skms::model::Reason::{TokenAudienceMismatch, TokenMalformed, TokenMissing, TokenSignatureInvalid};
use skms_tests::idp::now;

use super::{
    credential::{Credential, bearer},
    issuer::{Draft, P256, compact},
};

pub(super) fn all(good: &Draft) -> Vec<Credential> {
    [key_ids(good), extensions(good), parts(good), ambiguous(good), types(good), headers(good)].concat()
}

fn key_ids(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    let long = "k".repeat(257);
    for kid in [json!(""), json!(long), json!(["p256"]), json!(1), json!(null), json!({})] {
        let name = format!("J4 kid {:.20}", kid.to_string());
        all.push(bearer(name, TokenMalformed, good.clone().header("kid", kid).signed()));
    }
    for kid in [
        "other",
        "P256",
        "p256 ",
        "../../dev/null",
        "' OR 1=1 --",
        "p256\0",
        "https://attacker.test/k",
        &long[1..],
    ] {
        let token = good.clone().header("kid", kid).signed();
        all.push(bearer(format!("J4 kid `{kid:.20}`"), TokenSignatureInvalid, token));
    }
    let two = good.edited(|header, _| *header = header.replacen('{', "{\"kid\":\"p384\",", 1));
    all.push(bearer("J4 two kids", TokenMalformed, two));
    all
}

fn extensions(good: &Draft) -> Vec<Credential> {
    [
        ("crit", json!(["exp"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
        ("crit", json!("exp")),
        ("crit", json!(null)),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
    ]
    .map(|(member, value)| {
        let name = format!("J6 {member}: {value}");
        bearer(name, TokenMalformed, good.clone().header(member, value).signed())
    })
    .to_vec()
}

fn parts(good: &Draft) -> Vec<Credential> {
    let token = good.signed();
    let parts: Vec<_> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    // One of the bits that stand for nothing: 64 bytes are 86 characters, the last of
    // which has four to spare.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, end) = signature.split_at(85);
    let stray = format!("{start}{}", &alphabet[alphabet.find(end).unwrap() ^ 1..][..1]);
    let inner = |header: &str| compact(header, &token, |message| P256.sign("", message));
    let encoded = |text: &str| BASE64.encode(text);
    let mut all: Vec<Credential> = [
        ("no part", String::new()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{token}.{signature}")),
        ("five parts", format!("{token}.{signature}.{signature}")),
        ("a dot at the end", format!("{token}.")),
        ("a dot before it", format!(".{token}")),
        ("an empty part within", format!("{header}..{claims}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("no header", format!(".{claims}.{signature}")),
        ("no signature", format!("{header}.{claims}.")),
        ("dots", "..".to_owned()),
        ("padding", format!("{token}==")),
        ("padding in the header", format!("{header}=.{claims}.{signature}")),
        ("the other alphabet", format!("{header}.{claims}.+/{}", &signature[2..])),
        ("a blank before it", format!(" {token}")),
        ("a blank after it", format!("{token} ")),
        ("a blank within", format!("{header}. {claims}.{signature}")),
        ("a tab after it", format!("{token}\t")),
        ("a byte order mark", format!("\u{feff}{token}")),
        ("stray bits", format!("{header}.{claims}.{stray}")),
        ("two tokens", format!("{token},{token}")),
        ("a token in it, named so", inner(r#"{"alg":"ES256","kid":"p256","typ":"at+jwt","cty":"JWT"}"#)),
        ("a token in it", inner(r#"{"alg":"ES256","kid":"p256","typ":"at+jwt"}"#)),
        ("encrypted", format!("{}.a.b.c.d", encoded(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#))),
        ("encrypted for nobody", format!("{}..b.c.d", encoded(r#"{"alg":"dir","enc":"A256GCM"}"#))),
        ("JSON", format!(r#"{{"payload":"{claims}","protected":"{header}","signature":"{signature}"}}"#)),
        ("a name and a password", encoded("admin:admin")),
        ("a UUID", "6ba7b812-9dad-4b11-80b4-00c04fd430c8".to_owned()),
        ("text", "let me in, please".to_owned()),
    ]
    .map(|(name, token)| bearer(format!("J7 {name}"), TokenMalformed, token))
    .to_vec();
    for (name, bytes, in_header) in [
        ("a byte order mark in the header", &b"\xef\xbb\xbf"[..], true),
        ("a byte order mark in the claims", b"\xef\xbb\xbf", false),
        ("claims that are not UTF-8", b"\xff", false),
    ] {
        let (mut header, mut claims) =
            (good.header.to_string().into_bytes(), good.claims.to_string().into_bytes());
        let part = if in_header { &mut header } else { &mut claims };
        part.splice(0..0, bytes.iter().copied());
        let token = compact(header, claims, |message| P256.sign("", message));
        all.push(bearer(format!("J7 {name}"), TokenMalformed, token));
    }
    all
}

fn ambiguous(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    let mut add = |name: &str, token: String| all.push(bearer(format!("J8 {name}"), TokenMalformed, token));
    for first in [r#""alg":"ES256""#, r#""alg":"none""#, r#""kid":"p256""#, r#""typ":"at+jwt""#] {
        let edit = |header: &mut String, _: &mut String| {
            *header = header.replacen('{', &format!("{{{first},"), 1);
        };
        add(&format!("twice {first}"), good.edited(edit));
    }
    for first in [
        r#""exp":1"#,
        r#""aud":"skms""#,
        r#""sub":"admin""#,
        r#""roles":["admin"]"#,
        r#""x":{"y":1,"y":2}"#,
        r#""\u0065xp":1"#,
        r#""odd":"\ud800""#,
        r#""odd":"\udc00x""#,
        "\"odd\":\"a\u{1}b\"",
        r#""odd":1e999"#,
        r#""odd":NaN"#,
        r#""odd":01"#,
        r#""odd":'a'"#,
    ] {
        let edit = |_: &mut String, claims: &mut String| {
            *claims = claims.replacen('{', &format!("{{{first},"), 1);
        };
        add(&format!("claims that begin with {first:?}"), good.edited(edit));
    }
    let last = format!(",\"exp\":{}}}", now() + 60);
    add(
        "exp at the end, too",
        good.edited(|_, claims| *claims = claims.trim_end_matches('}').to_owned() + &last),
    );
    for depth in [17, 1_000] {
        let deep = format!("{{\"deep\":{}{},", "[".repeat(depth), "]".repeat(depth));
        add(&format!("{depth} deep"), good.edited(|_, claims| *claims = claims.replacen('{', &deep, 1)));
    }
    for claims in ["[]", "null", "\"text\"", "1", "{}{}", "{", ""] {
        add(&format!("claims `{claims}`"), good.edited(|_, text| *text = claims.to_owned()));
    }
    for header in ["[]", "null", "{}", "{\"alg\":\"ES256\"", "{\"alg\":[\"ES256\"]}"] {
        add(&format!("header `{header}`"), good.edited(|text, _| *text = header.to_owned()));
    }
    // What is longer still does not come through the door of HTTP/2.
    add("4 KiB of claims", good.clone().claim("padding", "x".repeat(4096)).signed());
    all
}

fn types(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    for typ in [
        json!("JWT"),
        json!("id+jwt"),
        json!("rt+jwt"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!(""),
        json!("at+jwt2"),
        json!(1),
        json!(["at+jwt"]),
        json!(null),
    ] {
        let name = format!("J13 typ {typ}");
        all.push(bearer(name, TokenMalformed, good.clone().header("typ", typ).signed()));
    }
    all.push(bearer("J13 no typ", TokenMalformed, good.clone().without_header("typ").signed()));
    let of_another = good.clone().claim("aud", "client-7").claim("azp", "skms").signed();
    all.push(bearer("J13 the token of another service", TokenAudienceMismatch, of_another));
    all
}

fn headers(good: &Draft) -> Vec<Credential> {
    let token = good.signed();
    let right = format!("Bearer {token}");
    let one = |name: &str, value: &[u8]| {
        Credential::of(format!("J16 {name}"), TokenMalformed, &[("authorization", value)])
    };
    let two = |name: &str, first: (&'static str, &str), second: (&'static str, &str)| {
        let headers = [(first.0, first.1.as_bytes()), (second.0, second.1.as_bytes())];
        Credential::of(format!("J16 {name}"), TokenMalformed, &headers)
    };
    let (usual, binary) = ("authorization", "authorization-bin");
    let encoded = BASE64.encode(&right);
    vec![
        two("the same twice", (usual, &right), (usual, &right)),
        two("an empty one before it", (usual, ""), (usual, &right)),
        two("an empty one after it", (usual, &right), (usual, "")),
        two("a password before it", (usual, "Basic YTpi"), (usual, &right)),
        two("a password after it", (usual, &right), (usual, "Basic YTpi")),
        two("another in binary", (usual, &right), (binary, &encoded)),
        Credential::of("J16 in binary alone", TokenMalformed, &[(binary, encoded.as_bytes())]),
        one("twice in one", format!("{right}, {right}").as_bytes()),
        one("twice in one, without the scheme", format!("{right},{token}").as_bytes()),
        one("nothing", b""),
        one("the scheme", b"Bearer"),
        one("the scheme and a blank", b"Bearer "),
        one("two blanks", format!("Bearer  {token}").as_bytes()),
        one("a tab", format!("Bearer\t{token}").as_bytes()),
        one("a colon", format!("Bearer: {token}").as_bytes()),
        one("no scheme", token.as_bytes()),
        one("a password", b"Basic YWRtaW46YWRtaW4="),
        one("another scheme", format!("Basic {token}").as_bytes()),
        one("bound to a key", format!("DPoP {token}").as_bytes()),
        one("a scheme that begins so", format!("Bearers {token}").as_bytes()),
        one("lower case, and no token", b"bearer nobody"),
        one("no ASCII", "Bearer \u{fc}".as_bytes()),
        one("no UTF-8", b"Bearer \xff\xfe.a.b"),
        one("4 KiB and a byte", format!("Bearer {}", "a".repeat(4097)).as_bytes()),
    ]
}

/// What is no proof at all: a caller without any is nobody, unless the kernel vouches
/// for it.
pub(super) fn nothing(good: &Draft) -> Vec<Credential> {
    let token = good.signed();
    let named = |name: &str, headers: &[(&'static str, &[u8])]| Credential::of(name, TokenMissing, headers);
    vec![
        named("nothing", &[]),
        named("a token where none stands", &[("x-authorization", format!("Bearer {token}").as_bytes())]),
        named("a cookie", &[("cookie", format!("authorization={token}").as_bytes())]),
        named("a password for a proxy", &[("proxy-authorization", b"Basic YWRtaW46YWRtaW4=")]),
        named(
            "what a proxy says of the caller",
            &[
                ("x-forwarded-user", b"admin"),
                ("x-forwarded-for", b"127.0.0.1"),
                ("x-forwarded-client-cert", b"By=spiffe://skms;URI=spiffe://admin"),
                ("forwarded", b"for=127.0.0.1"),
            ],
        ),
    ]
}
