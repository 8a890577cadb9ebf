//! Tokens that nobody signed who may: J1 to J3, J5, J12.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};
use skms::model::Reason::{TokenIssuerUntrusted, TokenMalformed, TokenSignatureInvalid};

use super::{
    credential::{Credential, bearer},
    issuer::{BOUND, Draft, ED, P256, P384, RSA, STRANGER, compact, mac},
};

pub(super) fn all(good: &Draft) -> Vec<Credential> {
    [unsigned(good), misused(good), swapped(good), brought(good), malformed(good), of_others(good)].concat()
}

fn unsigned(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    for algorithm in ["none", "None", "nOnE", "NONE", "", "es256", "ES256 ", "HS256", "ES512", "Ed25519"] {
        let draft = good.clone().header("alg", algorithm);
        let name = format!("J1 alg `{algorithm}`");
        all.push(bearer(format!("{name}, no signature"), TokenMalformed, draft.forged(|_| Vec::new())));
        let signed = draft.forged(|message| P256.sign("", message));
        all.push(bearer(format!("{name}, signed"), TokenMalformed, signed));
    }
    for algorithm in [json!(null), json!(256), json!(["ES256"])] {
        let name = format!("J1 alg {algorithm}");
        all.push(bearer(name, TokenMalformed, good.clone().header("alg", algorithm).signed()));
    }
    let absent = good.clone().without_header("alg").signed();
    all.push(bearer("J1 no alg", TokenMalformed, absent));
    all.push(bearer("J1 ES256, no signature", TokenMalformed, good.forged(|_| Vec::new())));
    all.push(bearer("J1 ES256, zeros", TokenSignatureInvalid, good.forged(|_| vec![0; 64])));
    all
}

fn misused(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    for (pair, kid) in [(&RSA, "rsa"), (&P256, "p256"), (&ED, "ed")] {
        for (at, secret) in pair.misused(kid).iter().enumerate() {
            let draft = good.clone().header("alg", "HS256").header("kid", kid);
            let token = draft.forged(|message| mac(secret, message));
            all.push(bearer(format!("J2 HS256 by public key {kid}, form {at}"), TokenMalformed, token));
        }
    }
    for algorithm in ["HS384", "HS512"] {
        let token =
            good.clone().header("alg", algorithm).forged(|message| mac(&P256.misused("p256")[0], message));
        all.push(bearer(format!("J2 {algorithm} by public key"), TokenMalformed, token));
    }
    for algorithm in ["ES256", "RS256"] {
        let token = good.clone().algorithm(algorithm).forged(|message| mac(&RSA.misused("rsa")[0], message));
        all.push(bearer(format!("J2 a MAC called {algorithm}"), TokenSignatureInvalid, token));
    }
    all
}

fn swapped(good: &Draft) -> Vec<Credential> {
    let mut all = Vec::new();
    for algorithm in ["PS256", "PS384", "PS512", "RS384", "RS512"] {
        let token = good.clone().algorithm(algorithm).signed();
        all.push(bearer(format!("J3 {algorithm}, not of its issuer"), TokenMalformed, token));
    }
    for (algorithm, kid) in [
        ("ES256", "p384"),
        ("ES384", "p256"),
        ("RS256", "p256"),
        ("ES256", "rsa"),
        ("EdDSA", "p256"),
        ("ES256", "ed"),
        ("EdDSA", "rsa"),
    ] {
        let token = good.clone().algorithm(algorithm).header("kid", kid).signed();
        all.push(bearer(format!("J3 {algorithm} with key {kid}"), TokenSignatureInvalid, token));
    }
    for (called, made) in [("RS256", "PS256"), ("RS256", "RS384"), ("RS256", "RS512")] {
        let token = good.clone().algorithm(called).forged(|message| RSA.sign(made, message));
        all.push(bearer(format!("J3 {made} called {called}"), TokenSignatureInvalid, token));
    }
    all
}

fn brought(good: &Draft) -> Vec<Credential> {
    // Nothing listens there; that nobody is called is shown where the tokens are checked.
    const URL: &str = "http://127.0.0.1:9/jwks.json";
    let chain = json!([base64::prelude::BASE64_STANDARD.encode("certificate")]);
    let mut all = Vec::new();
    for (name, member, value) in [
        ("its own jwk", "jwk", STRANGER.jwk("p256")),
        ("the issuer's jwk", "jwk", P256.jwk("p256")),
        ("a jku", "jku", json!(URL)),
        ("no jku", "jku", Value::Null),
        ("an x5u", "x5u", json!(URL)),
        ("an x5c", "x5c", chain),
    ] {
        for (by, pair) in [("a stranger", &STRANGER), ("the issuer", &P256)] {
            let token = good.clone().by(pair).header(member, value.clone()).signed();
            all.push(bearer(format!("J5 {name}, signed by {by}"), TokenMalformed, token));
        }
    }
    let stranger = good.clone().by(&STRANGER);
    let kid = stranger.clone().header("kid", URL).signed();
    all.push(bearer("J5 a URL as kid", TokenSignatureInvalid, kid));
    all.push(bearer("J5 a URL as iss", TokenIssuerUntrusted, stranger.claim("iss", URL).signed()));
    all
}

fn malformed(good: &Draft) -> Vec<Credential> {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let zero = vec![0; 32];
    let der = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let (rsa, ed) = (good.clone().algorithm("RS256"), good.clone().algorithm("EdDSA"));
    // A raw signature that begins with a zero, without it.
    let short = loop {
        let mut begins_with_zero = false;
        let token = good.forged(|message| {
            let signature = P256.sign("", message);
            begins_with_zero = signature[0] == 0;
            signature[usize::from(begins_with_zero)..].to_vec()
        });
        if begins_with_zero {
            break token;
        }
    };
    [
        ("r = n, s = n", good.forged(|_| [order.clone(), order.clone()].concat())),
        ("r = n, s = 0", good.forged(|_| [order.clone(), zero.clone()].concat())),
        ("r = 0", good.forged(|m| [&zero[..], &P256.sign("", m)[32..]].concat())),
        ("s = n", good.forged(|m| [&P256.sign("", m)[..32], &order[..]].concat())),
        ("DER", good.forged(|m| der.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec())),
        ("a zero more", good.forged(|m| [&[0][..], &P256.sign("", m)].concat())),
        ("a zero at the end", good.forged(|m| [&P256.sign("", m)[..], &[0]].concat())),
        ("a zero less", short),
        ("cut off", good.forged(|m| P256.sign("", m)[..63].to_vec())),
        ("one byte", good.forged(|_| vec![1])),
        ("P-384 for P-256", good.forged(|m| P384.sign("", m))),
        ("an RSA block of zeros", rsa.forged(|_| vec![0; 256])),
        ("an RSA block of ones", rsa.forged(|_| vec![0xff; 256])),
        ("a short RSA block", rsa.forged(|m| RSA.sign("", m)[1..].to_vec())),
        ("a long RSA block", rsa.forged(|m| [&[0][..], &RSA.sign("", m)].concat())),
        ("an RSA block that was padded by hand", rsa.forged(|_| padded())),
        ("zeros of Ed25519", ed.forged(|_| vec![0; 64])),
        ("Ed25519 cut off", ed.forged(|m| ED.sign("", m)[..32].to_vec())),
    ]
    .map(|(name, token)| bearer(format!("J12 {name}"), TokenSignatureInvalid, token))
    .to_vec()
}

/// What a forger would make for a key of exponent three (Bleichenbacher 2006).
fn padded() -> Vec<u8> {
    let mut block = vec![0xff; 256];
    (block[0], block[1], block[10]) = (0, 1, 0);
    block
}

fn of_others(good: &Draft) -> Vec<Credential> {
    let other = good.clone().claim("sub", "somebody");
    let taken = other.signed();
    let taken = BASE64.decode(taken.rsplit('.').next().unwrap()).unwrap();
    // What is signed cannot be changed.
    let token = good.signed();
    let parts: Vec<_> = token.split('.').collect();
    let claims = good.clone().claim("roles", json!(["admin", "root"])).claims.to_string();
    let changed = format!("{}.{}.{}", parts[0], BASE64.encode(&claims), parts[2]);
    let nested = compact(good.header.to_string(), claims, |_| parts[2].as_bytes().to_vec());
    [
        ("of a stranger", good.clone().by(&STRANGER).signed()),
        ("of another token", good.forged(|_| taken)),
        ("and other claims", changed),
        ("encoded twice", nested),
        ("of a stranger for the other issuer", good.clone().by(&STRANGER).claim("iss", BOUND).signed()),
    ]
    .map(|(name, token)| bearer(format!("J12 a signature {name}"), TokenSignatureInvalid, token))
    .to_vec()
}
