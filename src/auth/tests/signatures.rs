//! Who signed a token, and with what: J1 to J3, J5, J12.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value, json};

use super::{
    CORP, Gate, MESH,
    idp::{self, Draft, ED, P256, P384, Pair, RSA, STRANGER, compact, hmac},
    server::Server,
};
use crate::model::Reason;

#[tokio::test]
async fn j1_a_token_without_a_signature_is_none() {
    let gate = Gate::new();
    for algorithm in ["none", "None", "nOnE", "NONE", "", "es256", "ES256 ", "HS256", "ES512", "Ed25519"] {
        let draft = Draft::new().header("alg", json!(algorithm));
        for forged in [
            draft.forged(|_| Vec::new()),
            draft.forged(|message| P256.sign("", message)),
            draft.forged(|_| vec![0; 64]),
        ] {
            gate.refuses(&forged, Reason::TokenMalformed, algorithm).await;
        }
    }
    for algorithm in [json!(null), json!(256), json!(["ES256"])] {
        let token = Draft::new().header("alg", algorithm).signed();
        gate.refuses(&token, Reason::TokenMalformed, "no text").await;
    }
    let token = Draft::new().without_header("alg").signed();
    gate.refuses(&token, Reason::TokenMalformed, "no algorithm").await;
    let empty = Draft::new().forged(|_| Vec::new());
    gate.refuses(&empty, Reason::TokenMalformed, "a real algorithm and no signature").await;
}

#[tokio::test]
async fn j2_a_public_key_is_no_secret() {
    let gate = Gate::new();
    let (modulus, _) = RSA.rsa();
    let Pair::P256(pair) = &*P256 else { panic!("a P-256 key") };
    let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der>::as_der(
        aws_lc_rs::signature::KeyPair::public_key(pair),
    );
    let der = der.unwrap().as_ref().to_vec();
    let body = base64::prelude::BASE64_STANDARD.encode(&der);
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n", &body[..64], &body[64..]);
    let secrets = [
        pem.clone().into_bytes(),
        pem.replace('\n', "\r\n").into_bytes(),
        pem.trim_end().as_bytes().to_vec(),
        der,
        BASE64.encode(&modulus).into_bytes(),
        modulus,
        RSA.jwk("rsa").to_string().into_bytes(),
        idp::jwks().to_string().into_bytes(),
        Vec::new(),
    ];
    for algorithm in ["HS256", "HS384", "HS512", "ES256", "RS256"] {
        for kid in ["rsa", "p256"] {
            for secret in &secrets {
                let draft = Draft::new().header("alg", json!(algorithm)).header("kid", json!(kid));
                let reason = match algorithm {
                    "ES256" | "RS256" => Reason::TokenSignatureInvalid,
                    _ => Reason::TokenMalformed,
                };
                gate.refuses(&draft.forged(hmac(secret)), reason, algorithm).await;
            }
        }
    }
}

#[tokio::test]
async fn j3_a_key_is_for_its_algorithms_alone() {
    let gate = Gate::new();
    // Not on the list of the issuer, though its key would do.
    for algorithm in ["PS256", "RS384", "RS512", "PS512"] {
        gate.refuses(&Draft::algorithm(algorithm).signed(), Reason::TokenMalformed, algorithm).await;
    }
    // On the list, with the key of another.
    for (algorithm, kid) in [
        ("ES256", "p384"),
        ("ES384", "p256"),
        ("RS256", "p256"),
        ("ES256", "rsa"),
        ("EdDSA", "p256"),
        ("ES256", "ed"),
        ("EdDSA", "rsa"),
    ] {
        let token = Draft::algorithm(algorithm).header("kid", json!(kid)).signed();
        gate.refuses(&token, Reason::TokenSignatureInvalid, &format!("{algorithm} with {kid}")).await;
    }
    // The algorithms of one key type, all on the list, and the key for one of them.
    let all = CORP.replace("\"RS256\"", "\"RS256\", \"PS256\", \"RS384\"");
    let mut keys = json!({"keys": [RSA.jwk("rsa")]});
    let gate = Gate::with(&format!("{all}{MESH}"), &keys);
    for algorithm in ["RS256", "PS256", "RS384"] {
        gate.takes(&Draft::algorithm(algorithm).signed(), algorithm).await;
        let swapped = Draft::algorithm(algorithm);
        let other = if algorithm == "PS256" { "RS256" } else { "PS256" };
        let token = swapped.forged(|message| RSA.sign(other, message));
        gate.refuses(&token, Reason::TokenSignatureInvalid, "signed for another").await;
    }
    keys["keys"][0]["alg"] = json!("RS256");
    let gate = Gate::with(&format!("{all}{MESH}"), &keys);
    gate.takes(&Draft::algorithm("RS256").signed(), "control").await;
    for algorithm in ["PS256", "RS384"] {
        gate.refuses(&Draft::algorithm(algorithm).signed(), Reason::TokenSignatureInvalid, algorithm).await;
    }
}

#[tokio::test]
async fn j3_an_x25519_key_checks_no_signature() {
    let mut key = ED.jwk("ed");
    key["crv"] = json!("X25519");
    let gate = Gate::with(&format!("{CORP}{MESH}"), &json!({"keys": [P256.jwk("p256"), key]}));
    gate.refuses(&Draft::algorithm("EdDSA").signed(), Reason::TokenSignatureInvalid, "X25519").await;
}

#[tokio::test]
async fn j5_a_token_brings_no_key_of_its_own() {
    let gate = Gate::new();
    let lure = Server::json(&json!({"keys": [STRANGER.jwk("p256")]})).await;
    let url = lure.url();
    let chain = json!([base64::prelude::BASE64_STANDARD.encode("certificate")]);
    for (member, value) in [
        ("jwk", STRANGER.jwk("p256")),
        ("jwk", P256.jwk("p256")),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", chain),
        ("jku", Value::Null),
    ] {
        for pair in [&STRANGER, &P256] {
            let draft = Draft { pair, ..Draft::new() }.header(member, value.clone());
            gate.refuses(&draft.signed(), Reason::TokenMalformed, member).await;
        }
    }
    let kid = Draft { pair: &STRANGER, ..Draft::new() }.header("kid", json!(url));
    gate.refuses(&kid.signed(), Reason::TokenSignatureInvalid, "kid").await;
    let iss = Draft { pair: &STRANGER, ..Draft::new() }.claim("iss", json!(url));
    gate.refuses(&iss.signed(), Reason::TokenIssuerUntrusted, "iss").await;
    assert_eq!(lure.connections(), 0, "nothing in a token makes the gateway call anybody");
}

#[tokio::test]
async fn j12_only_the_signature_of_this_token_will_do() {
    let gate = Gate::new();
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let zero = vec![0; 32];
    let der = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let other = Draft::new().claim("sub", json!("bob"));
    let forgeries: Vec<(&str, String)> = vec![
        ("r = 0, s = 0", Draft::new().forged(|_| vec![0; 64])),
        ("r = n", Draft::new().forged(|_| [order.clone(), order.clone()].concat())),
        ("r = n, s = 0", Draft::new().forged(|_| [order.clone(), zero.clone()].concat())),
        ("s = n", Draft::new().forged(|m| [&P256.sign("", m)[..32], &order[..]].concat())),
        ("DER", Draft::new().forged(|m| der.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec())),
        ("a zero more", Draft::new().forged(|m| [&[0][..], &P256.sign("", m)].concat())),
        ("a zero at the end", Draft::new().forged(|m| [&P256.sign("", m)[..], &[0]].concat())),
        ("cut off", Draft::new().forged(|m| P256.sign("", m)[..63].to_vec())),
        ("one byte", Draft::new().forged(|_| vec![1])),
        ("of a stranger", Draft { pair: &STRANGER, ..Draft::new() }.signed()),
        (
            "of another token",
            Draft::new().forged(|_| {
                let signed = other.forged(|message| P256.sign("", message));
                BASE64.decode(signed.rsplit('.').next().unwrap()).unwrap()
            }),
        ),
        ("P-384 for P-256", Draft::new().forged(|m| P384.sign("", m))),
        ("an RSA block of zeros", Draft::algorithm("RS256").forged(|_| vec![0; 256])),
        ("an RSA block of ones", Draft::algorithm("RS256").forged(|_| vec![0xff; 256])),
        ("a short RSA block", Draft::algorithm("RS256").forged(|m| RSA.sign("", m)[1..].to_vec())),
        ("a long RSA block", Draft::algorithm("RS256").forged(|m| [&[0][..], &RSA.sign("", m)].concat())),
        ("zeros of Ed25519", Draft::algorithm("EdDSA").forged(|_| vec![0; 64])),
        ("Ed25519 cut off", Draft::algorithm("EdDSA").forged(|m| ED.sign("", m)[..32].to_vec())),
    ];
    for (case, token) in forgeries {
        gate.refuses(&token, Reason::TokenSignatureInvalid, case).await;
    }
    // A raw signature that begins with a zero, without it.
    let short = loop {
        let draft = Draft::new();
        let (header, claims) = (draft.header.to_string(), draft.claims.to_string());
        let mut starts_with_zero = false;
        let token = compact(header, claims, |message| {
            let signature = P256.sign("", message);
            starts_with_zero = signature[0] == 0;
            signature[usize::from(starts_with_zero)..].to_vec()
        });
        if starts_with_zero {
            break token;
        }
    };
    gate.refuses(&short, Reason::TokenSignatureInvalid, "a zero less").await;
    // What is signed cannot be changed.
    let good = Draft::new().signed();
    gate.takes(&good, "control").await;
    let parts: Vec<_> = good.split('.').collect();
    let claims = String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap().replace("alice", "alicf");
    let changed = format!("{}.{}.{}", parts[0], BASE64.encode(claims), parts[2]);
    gate.refuses(&changed, Reason::TokenSignatureInvalid, "changed").await;
}

#[tokio::test]
async fn weak_and_foreign_keys_of_a_set_are_left_out() {
    let rsa = |modulus: &[u8], exponent: &[u8]| json!({"kty": "RSA", "kid": "rsa", "n": BASE64.encode(modulus), "e": BASE64.encode(exponent)});
    let (modulus, exponent) = RSA.rsa();
    let with = |member: &str, value: Value| {
        let mut key = RSA.jwk("rsa");
        key[member] = value;
        key
    };
    let point = |x: Value, y: Value| json!({"kty": "EC", "crv": "P-256", "kid": "rsa", "x": x, "y": y});
    let good = P256.jwk("p256");
    let bad = [
        rsa(&modulus[..128], &exponent),
        rsa(&modulus, &[1]),
        rsa(&modulus, &[2]),
        rsa(&modulus, &[]),
        rsa(&[], &exponent),
        rsa(&vec![0xff; 1025], &exponent),
        with("use", json!("enc")),
        with("use", json!(1)),
        with("key_ops", json!(["encrypt"])),
        with("key_ops", json!("verify")),
        with("alg", json!("RS512")),
        with("alg", json!("HS256")),
        with("alg", json!(null)),
        with("kid", json!(7)),
        with("d", json!("AQAB")),
        json!({"kty": "oct", "kid": "rsa", "k": "c2VjcmV0", "alg": "HS256"}),
        json!({"kty": "EC", "crv": "P-521", "kid": "rsa", "x": "AA", "y": "AA"}),
        point(good["x"].clone(), good["x"].clone()),
        point(json!("AA"), json!("AA")),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "rsa", "x": "AA"}),
        json!({"kty": "OKP", "crv": "Ed448", "kid": "rsa", "x": "AA"}),
        json!({"kid": "rsa"}),
        json!([]),
        json!("rsa"),
        json!(null),
    ];
    for key in bad {
        let gate = Gate::with(&format!("{CORP}{MESH}"), &json!({"keys": [key.clone(), good]}));
        gate.takes(&Draft::new().signed(), "the good key beside it").await;
        let token = Draft::algorithm("RS256").signed();
        gate.refuses(&token, Reason::TokenSignatureInvalid, &key.to_string()).await;
    }
    for (member, value) in [("use", json!("sig")), ("key_ops", json!(["verify"])), ("alg", json!("RS256"))] {
        let gate = Gate::with(&format!("{CORP}{MESH}"), &json!({"keys": [with(member, value)]}));
        gate.takes(&Draft::algorithm("RS256").signed(), member).await;
    }
}
