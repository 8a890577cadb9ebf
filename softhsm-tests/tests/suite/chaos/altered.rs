//! Attributes that the token changes in silence: the key is refused with a clear error,
//! and nothing of it stays.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use cryptoki_sys as p11;
use skms::proto;
use skms_tests::gateway::Home;

use super::{chaos, demand_no_key, home, objects};
use crate::ask::{create, metadata, outcome, rotate, sign};

const YES: &str = "01";
const NO: &str = "00";
/// `secp384r1`, RFC 5480.
const P384: &str = "06052b81040022";
/// An id or a label of others.
const OTHER: &str = "6f74686572";
/// 1,024 and 16, as an unsigned long.
const BITS: &str = "0004000000000000";
const BYTES: &str = "1000000000000000";

const REFUSED: &str = "Internal BACKEND_ERROR";
const INCOMPLETE: &str = "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND";

/// What a token may make of the template of a key of this type.
fn alterations(key_type: &str) -> Vec<(u64, &'static str)> {
    let every = [
        (p11::CKA_TOKEN, NO),
        (p11::CKA_PRIVATE, NO),
        (p11::CKA_SENSITIVE, NO),
        (p11::CKA_EXTRACTABLE, YES),
        (p11::CKA_UNWRAP, YES),
        (p11::CKA_MODIFIABLE, YES),
        (p11::CKA_LABEL, OTHER),
        (p11::CKA_ID, OTHER),
        (p11::CKA_SIGN, if key_type == "aes-256" { YES } else { NO }),
        (p11::CKA_DECRYPT, if key_type == "aes-256" { NO } else { YES }),
        (p11::CKA_DERIVE, YES),
    ];
    let more = match key_type {
        "rsa-2048" => vec![(p11::CKA_SIGN_RECOVER, YES), (p11::CKA_MODULUS_BITS, BITS)],
        "ec-p256" => vec![(p11::CKA_SIGN_RECOVER, YES), (p11::CKA_EC_PARAMS, P384)],
        "aes-256" => vec![(p11::CKA_ENCRYPT, NO), (p11::CKA_WRAP, YES), (p11::CKA_VALUE_LEN, BYTES)],
        _ => vec![(p11::CKA_ENCRYPT, YES), (p11::CKA_WRAP, YES), (p11::CKA_VALUE_LEN, BYTES)],
    };
    every.into_iter().chain(more).collect()
}

/// The function that makes a key of this type.
fn maker(key_type: &str) -> &'static str {
    match key_type {
        "rsa-2048" | "ec-p256" => "C_GenerateKeyPair",
        _ => "C_GenerateKey",
    }
}

const KEY_TYPES: [&str; 4] = ["rsa-2048", "ec-p256", "aes-256", "hmac-sha256"];

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_is_changed_refuses_the_key_and_leaves_nothing() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "before", "hsm")).await.unwrap();
    let (before, mut tried) = (objects(&home), 0);
    for key_type in KEY_TYPES {
        for (attribute, value) in alterations(key_type) {
            let what = format!("{key_type}: {attribute:#x} = {value}");
            let rule = chaos(&home).tell(&format!("on {} every set {attribute} {value}", maker(key_type)));
            let refused = client.create_key(create(key_type, "refused", "hsm")).await;
            assert_eq!(outcome(&refused), REFUSED, "{what}");
            demand_no_key(&client, "refused").await;
            assert_eq!(objects(&home), before, "{what}");
            if key_type == "ec-p256" {
                assert_eq!(outcome(&client.rotate_key(rotate("before")).await), REFUSED, "{what}");
                assert_eq!(objects(&home), before, "{what}");
            }
            chaos(&home).tell(&format!("off {rule}"));
            tried += 1;
        }
    }
    // An honest token makes it, under the very same name.
    client.create_key(create("aes-256", "refused", "hsm")).await.unwrap();
    println!("{tried} alterations, each refused without a trace");
    assert_eq!(client.sign(sign("before", "text")).await.unwrap().version, 1);
}

/// Attributes that never arrive: the token's own default is what was asked for, or the key
/// is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_that_is_dropped_is_as_it_was_asked_for_or_the_key_is_refused() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let (mut made, mut refused) = (0, 0);
    for key_type in KEY_TYPES {
        for (attribute, _) in alterations(key_type) {
            let what = format!("{key_type}: {attribute:#x}");
            let id = format!("{key_type}.{attribute}");
            let before = objects(&home);
            let rule = chaos(&home).tell(&format!("on {} every drop {attribute}", maker(key_type)));
            let answer = client.create_key(create(key_type, &id, "hsm")).await;
            chaos(&home).tell(&format!("off {rule}"));
            if answer.is_ok() {
                made += 1;
                continue;
            }
            refused += 1;
            // The token itself may miss it.
            let answer = outcome(&answer);
            assert!([REFUSED, INCOMPLETE].contains(&answer.as_str()), "{what}: {answer}");
            demand_no_key(&client, &id).await;
            assert_eq!(objects(&home), before, "{what}");
        }
    }
    assert!(refused > 0, "every attribute was left to the token");
    let hidden = home.softhsm().unwrap().list();
    let hidden: Vec<_> = hidden.iter().filter(|object| object.class != "public-key").collect();
    assert_eq!(hidden.len(), made);
    for object in hidden {
        let has = |name: &str| object.attributes.contains(name);
        assert!(has("CKA_SENSITIVE") && has("CKA_PRIVATE") && !has("CKA_EXTRACTABLE"), "{object:?}");
    }
}

/// What the token says of a key that it made is believed by its word, and by what the key
/// then does.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_lies_about_a_new_key_keeps_nothing_of_it() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let point = format!("0441{}", hex::encode(other.public_key().as_ref()));
    let lies = [
        ("ec-p256", p11::CKA_EC_POINT, point.as_str()),
        ("ec-p256", p11::CKA_EC_POINT, "04410400"),
        ("ec-p256", p11::CKA_EC_POINT, "-"),
        ("ec-p256", p11::CKA_SENSITIVE, NO),
        ("ec-p256", p11::CKA_EXTRACTABLE, YES),
        ("ec-p256", p11::CKA_LOCAL, NO),
        ("ec-p256", p11::CKA_NEVER_EXTRACTABLE, NO),
        ("ec-p256", p11::CKA_ALWAYS_SENSITIVE, NO),
        ("ec-p256", p11::CKA_KEY_TYPE, "0000000000000000"),
        ("aes-256", p11::CKA_SENSITIVE, NO),
        ("aes-256", p11::CKA_EXTRACTABLE, YES),
        ("rsa-2048", p11::CKA_MODULUS, "00"),
        ("rsa-2048", p11::CKA_PUBLIC_EXPONENT, "03"),
    ];
    let before = objects(&home);
    for (key_type, attribute, value) in lies {
        let rule = chaos(&home).tell(&format!("on C_GetAttributeValue every lie {attribute} {value}"));
        let refused = client.create_key(create(key_type, "refused", "hsm")).await;
        chaos(&home).tell(&format!("off {rule}"));
        let what = format!("{key_type}: {attribute:#x} = {value}");
        assert_eq!(outcome(&refused), REFUSED, "{what}");
        demand_no_key(&client, "refused").await;
        assert_eq!(objects(&home), before, "{what}");
    }
}

/// Imported material is held to the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_attributes_are_changed_leaves_nothing() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let before = objects(&home);
    for (key_type, material) in materials() {
        for (attribute, value) in alterations(key_type) {
            // What only a key that is made is told of.
            if [p11::CKA_MODULUS_BITS, p11::CKA_VALUE_LEN].contains(&attribute) {
                continue;
            }
            let rule = chaos(&home).tell(&format!("on C_CreateObject every set {attribute} {value}"));
            let request = proto::ImportKeyRequest {
                key_type: key_type.into(),
                key_id: "refused".into(),
                params: create(key_type, "refused", "hsm").params,
                material: Some(proto::import_key_request::Material::Plain(material.clone().into())),
                ..Default::default()
            };
            let refused = client.import_key(request).await;
            chaos(&home).tell(&format!("off {rule}"));
            let what = format!("{key_type}: {attribute:#x} = {value}");
            assert!(refused.is_err(), "{what}");
            demand_no_key(&client, "refused").await;
            assert_eq!(objects(&home), before, "{what}");
        }
    }
}

fn materials() -> [(&'static str, Vec<u8>); 4] {
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let ec = ec.to_pkcs8v1().unwrap();
    [
        ("rsa-2048", rsa.as_ref().to_vec()),
        ("ec-p256", ec.as_ref().to_vec()),
        ("aes-256", vec![7; 32]),
        ("hmac-sha256", vec![8; 32]),
    ]
}

/// A token without room says so at either of the two objects of a key pair.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_token_leaves_nothing_of_a_key() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home: Home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "before", "hsm")).await.unwrap();
    let before = objects(&home);
    for (function, moment) in [
        ("C_GenerateKeyPair", "answer"),
        ("C_GenerateKeyPair", "answer-after"),
        ("C_GenerateKey", "answer"),
        ("C_GenerateKey", "answer-after"),
    ] {
        let rule = format!("on {function} every {moment} {}", p11::CKR_DEVICE_MEMORY);
        let rule = chaos(&home).tell(&rule);
        let key_type = if function == "C_GenerateKey" { "aes-256" } else { "ec-p256" };
        let full = client.create_key(create(key_type, "refused", "hsm")).await;
        assert_eq!(outcome(&full), "ResourceExhausted BACKEND_STORAGE_FULL", "{function} {moment}");
        demand_no_key(&client, "refused").await;
        assert_eq!(objects(&home), before, "{function} {moment}");
        chaos(&home).tell(&format!("off {rule}"));
        assert_eq!(client.sign(sign("before", "text")).await.unwrap().version, 1);
    }
    assert_eq!(metadata(&client.rotate_key(rotate("before")).await.unwrap()).primary_version, 2);
}
