//! A device that refuses what is well-formed is at fault, whatever it calls that: no caller
//! is blamed for it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use cryptoki_sys as p11;
use skms::proto;

use super::{chaos, demand_no_key, home, objects};
use crate::ask::{create, der_of, outcome};

const REFUSED: &str = "Internal BACKEND_ERROR";

/// Codes that say that the input is wrong.
const CODES: [p11::CK_RV; 4] = [
    p11::CKR_DATA_INVALID,
    p11::CKR_DATA_LEN_RANGE,
    p11::CKR_ENCRYPTED_DATA_INVALID,
    p11::CKR_SIGNATURE_INVALID,
];

#[tokio::test(flavor = "multi_thread")]
async fn material_that_was_read_is_not_invalid_because_the_device_says_so() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let material = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let import = || proto::ImportKeyRequest {
        key_type: "ec-p256".into(),
        key_id: "key".into(),
        params: create("ec-p256", "key", "hsm").params,
        material: Some(proto::import_key_request::Material::Plain(material.as_ref().to_vec().into())),
        ..Default::default()
    };
    for code in CODES {
        for function in ["C_CreateObject", "C_Sign"] {
            let rule = chaos(&home).tell(&format!("on {function} every answer {code}"));
            assert_eq!(outcome(&client.import_key(import()).await), REFUSED, "{function} {code:#x}");
            chaos(&home).tell(&format!("off {rule}"));
            demand_no_key(&client, "key").await;
            assert_eq!(objects(&home), 0, "{function} {code:#x}");
        }
    }
    client.import_key(import()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_that_was_checked_is_not_invalid_because_the_device_says_so() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let mut request = create("ec-p256", "key", "hsm");
    request.params.get_or_insert_default().purpose = proto::KeyPurpose::KeyAgreement.into();
    let made = client.create_key(request).await.unwrap();
    let derive = || proto::DeriveSharedSecretRequest {
        key_id: "key".into(),
        peer_public_key: der_of(&made.public_key).into(),
        hkdf: Some(proto::Hkdf {
            hash: proto::HashAlgorithm::Sha256.into(),
            length_bytes: 32,
            ..Default::default()
        }),
        ..Default::default()
    };
    for code in CODES {
        let rule = chaos(&home).tell(&format!("on C_DeriveKey every answer {code}"));
        assert_eq!(outcome(&client.derive_shared_secret(derive()).await), REFUSED, "{code:#x}");
        chaos(&home).tell(&format!("off {rule}"));
        client.derive_shared_secret(derive()).await.unwrap();
    }
}
