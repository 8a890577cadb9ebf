//! What is no key, or not this caller's to bring in the clear.

use skms::proto::{self, ImportMethod};
use skms_tests::gateway::Home;

use super::{
    material::{OpenSsl, job, plain, wrapped},
    with_caller,
};
use crate::ask::{PROGRAM, outcome};

const INVALID: &str = "InvalidArgument IMPORT_MATERIAL_INVALID";

#[tokio::test]
async fn whatever_is_wrong_with_material_is_one_answer_and_leaves_nothing() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let openssl = OpenSsl::new();
    let made = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256Aes256, "job")).await.unwrap();
    let direct = client.create_import_job(job(ImportMethod::RsaOaep3072Sha256, "direct")).await.unwrap();
    let key = openssl.make("ec-p256");
    let good = openssl.wrap(&made, &key);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let secret = openssl.make("aes-128");
    let cases = [
        ("no job knows it", "ec-p256", "job", vec![7; 500]),
        ("shorter than RSA", "ec-p256", "job", vec![7; 100]),
        ("RSA alone", "ec-p256", "job", good[..384].to_vec()),
        ("cut off", "ec-p256", "job", good[..good.len() - 1].to_vec()),
        ("longer", "ec-p256", "job", [&good[..], &[0; 8]].concat()),
        ("the padding of RSA", "ec-p256", "job", changed(9)),
        ("the wrapped key", "ec-p256", "job", changed(400)),
        ("the method of another job", "ec-p256", "direct", good.clone()),
        ("of another type", "ec-p384", "job", good.clone()),
        ("of another family", "ed25519", "job", good.clone()),
        ("a pair as a secret key", "hmac-sha256", "job", good.clone()),
        ("a secret key as a pair", "ec-p256", "direct", openssl.oaep(&direct.public_key, &secret)),
        ("too short a secret key", "aes-256", "direct", openssl.oaep(&direct.public_key, &secret)),
        ("no key at all", "ec-p256", "job", openssl.wrap(&made, b"nothing of the kind")),
        ("a key that was cut off", "ec-p256", "job", openssl.wrap(&made, &key[..key.len() - 1])),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (what, key_type, job, ciphertext) in cases {
        let refused = client.import_key(wrapped(key_type, "new", job, &ciphertext)).await;
        assert_eq!(outcome(&refused), INVALID, "{what}");
        told.insert(refused.unwrap_err().failure().unwrap().message.clone());
    }
    let bits = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -outform DER";
    let small = openssl.run(bits, &[]);
    for (key_type, material) in [("rsa-2048", &small), ("ec-p256", &secret), ("x25519", &vec![7; 32])] {
        let refused = client.import_key(plain(key_type, "new", material)).await;
        assert_eq!(outcome(&refused), INVALID, "{key_type}");
        told.insert(refused.unwrap_err().failure().unwrap().message.clone());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let keys = client.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys;
    assert!(keys.is_empty(), "{keys:?}");
    // The name is free, and the job is as good as before.
    client.import_key(wrapped("ec-p256", "new", "job", &good)).await.unwrap();
}

#[tokio::test]
async fn material_in_the_clear_takes_a_permission_of_its_own() {
    let home = Home::software(PROGRAM);
    let (_gateway, admin, manager) = with_caller(&home, &["key-manager"]).await;
    let openssl = OpenSsl::new();
    let key = openssl.make("ed25519");
    let refused = manager.import_key(plain("ed25519", "key", &key)).await;
    assert_eq!(outcome(&refused), "PermissionDenied KEY_ACCESS_DENIED");
    let job = manager.create_import_job(job(ImportMethod::RsaOaep3072Sha256, "job")).await.unwrap();
    let wrapping = openssl.wrap(&job, &key);
    // A job is its maker's, even where others may do everything else.
    assert_eq!(outcome(&admin.import_job("job").await), "NotFound IMPORT_JOB_NOT_FOUND");
    let foreign = admin.import_key(wrapped("ed25519", "key", "job", &wrapping)).await;
    assert_eq!(outcome(&foreign), "NotFound IMPORT_JOB_NOT_FOUND");
    manager.import_key(wrapped("ed25519", "key", "job", &wrapping)).await.unwrap();
    admin.import_key(plain("ed25519", "other", &key)).await.unwrap();
}

#[tokio::test]
async fn fields_that_do_not_go_together_are_refused() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let good = || plain("ec-p256", "key", b"none");
    type Spoil = fn(&mut proto::ImportKeyRequest);
    let cases: [(Spoil, &str); 10] = [
        (|r| r.material = None, "FIELD_REQUIRED"),
        (|r| r.material = plain("", "", b"").material, "FIELD_REQUIRED"),
        (|r| r.material = plain("", "", &[0; 13_000]).material, "PAYLOAD_TOO_LARGE"),
        (|r| r.material = wrapped("", "", "", b"x").material, "FIELD_REQUIRED"),
        (|r| r.material = wrapped("", "", "No Job", b"x").material, "FIELD_INVALID"),
        (|r| r.etag = "x".into(), "PARAMETER_NOT_APPLICABLE"),
        (|r| r.stage_only = true, "PARAMETER_NOT_APPLICABLE"),
        (|r| r.new_version = true, "PARAMETER_NOT_APPLICABLE"),
        (|r| (r.new_version, r.params) = (true, None), "KEY_NOT_FOUND"),
        (|r| r.key_type.clear(), "FIELD_REQUIRED"),
    ];
    for (spoil, reason) in cases {
        let mut request = good();
        spoil(&mut request);
        let got = outcome(&client.import_key(request).await);
        assert_eq!(got.split(' ').next_back(), Some(reason), "{got}");
    }
    let unspecified = client.create_import_job(proto::CreateImportJobRequest::default()).await;
    assert_eq!(outcome(&unspecified), "InvalidArgument FIELD_REQUIRED");
    let checked = proto::ImportKeyRequest { validate_only: true, ..good() };
    client.import_key(checked).await.unwrap();
    let checked = proto::ImportKeyRequest { validate_only: true, ..wrapped("ec-p256", "key", "none", b"x") };
    assert_eq!(outcome(&client.import_key(checked).await), "NotFound IMPORT_JOB_NOT_FOUND");
}
