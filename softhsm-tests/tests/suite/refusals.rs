//! What bad input gets, in one table: for each row the code, the reason and the
//! fields at fault, the id of the request, and nothing done.
//!
//! A row expects `Code REASON field field=OTHER_REASON`. Each leaves one record, with
//! its reason; but none where there is no such method.
//! No row reaches a device: the token holds the same objects afterwards, and
//! nothing was recorded as done.

mod crypto;
mod keys;
mod lists;
pub(crate) mod raw;
mod rows;
mod signatures;

use skms::proto;
use skms_tests::{
    gateway::{Gateway, Home},
    softhsm::{Mechanisms, SoftHsm},
};

use self::rows::{Row, run};
use crate::ask::{PROGRAM, create, rotate};

/// How many rows there are at least: nobody shortens the table unseen.
const ROWS: usize = 340;

#[tokio::test]
async fn bad_input_is_refused_with_its_reason_and_never_reaches_a_device() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    prepare(&home, &gateway).await;
    let token = || home.softhsm().map(|token| (token.list(), token.object_files()));
    let listed = keys_and_etags(&gateway).await;
    let before = (token(), done(&home));

    let mut rows = keys::create();
    rows.extend(keys::get());
    rows.extend(lists::keys());
    rows.extend(lists::versions());
    rows.extend(keys::public());
    rows.extend(keys::rotate());
    rows.extend(signatures::sign());
    rows.extend(signatures::verify());
    rows.extend(keys::system());
    rows.extend(crypto::rows());
    rows.extend(raw::calls());
    let count = rows.len();
    run(&home, &gateway, rows).await;

    assert_eq!((token(), done(&home)), before);
    assert_eq!(keys_and_etags(&gateway).await, listed);
    println!("{count} ways to ask wrongly, each with its reason");
    assert!(count >= ROWS, "{count} rows");
}

/// A device that lacks what a key type or algorithm needs.
#[tokio::test]
async fn what_a_poorer_device_lacks_is_refused_before_it_is_asked() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    const MISSING: &[&str] = &[
        "CKM_RSA_PKCS_PSS",
        "CKM_SHA256_RSA_PKCS_PSS",
        "CKM_SHA384_RSA_PKCS_PSS",
        "CKM_SHA512_RSA_PKCS_PSS",
        "CKM_RSA_PKCS",
        "CKM_RSA_X_509",
        "CKM_EDDSA",
    ];
    let home = Home::with(PROGRAM, Some(SoftHsm::with(Mechanisms::Without(MISSING))));
    let gateway = home.start();
    let client = gateway.client().await;
    let key = client.create_key(create("rsa-2048", "rsa", "hsm")).await.unwrap();
    let offered = crate::ask::metadata(&key).params.clone().unwrap().signature_algorithms;
    assert_eq!(offered, [13, 14, 15], "PKCS #1 v1.5 alone is left");
    let before = (home.softhsm().map(SoftHsm::list), done(&home));
    run(&home, &gateway, keys::poorer()).await;
    assert_eq!((home.softhsm().map(SoftHsm::list), done(&home)), before);
}

/// The keys that the rows are about.
async fn prepare(home: &Home, gateway: &Gateway) {
    let client = gateway.client().await;
    client.create_key(create("aes-256", "secret", "soft")).await.unwrap();
    for (key, key_type, purpose) in crypto::KEYS {
        let mut request = create(key_type, key, "soft");
        request.params.as_mut().unwrap().purpose = purpose.into();
        client.create_key(request).await.unwrap();
    }
    for backend in home.backends() {
        for key_type in ["ec-p256", "ed25519", "rsa-2048"] {
            let mut request = create(key_type, &format!("{backend}.{key_type}"), backend);
            request.params.as_mut().unwrap().aliases = vec![format!("{backend}.{key_type}.alias")];
            request.request_id = rows::USED.into();
            if (backend, key_type) != ("soft", "ec-p256") {
                request.request_id.clear();
            }
            client.create_key(request).await.unwrap();
        }
        let limited = |id: &str, change: &dyn Fn(&mut proto::KeyParams)| {
            let mut request = create("ec-p256", &format!("{backend}.{id}"), backend);
            change(request.params.as_mut().unwrap());
            request
        };
        let future = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
        let past = prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 };
        let early = limited("early", &|params| params.not_before_time = Some(future));
        let late = limited("late", &|params| params.expire_time = Some(past));
        let mut narrow = limited("narrow", &|params| params.signature_algorithms = vec![10, 13]);
        narrow.key_type = "rsa-2048".into();
        for request in [early, late, narrow] {
            client.create_key(request).await.unwrap();
        }
        client.rotate_key(rotate(&format!("{backend}.ec-p256"))).await.unwrap();
    }
}

/// What is recorded as done with a key: no row may add to it.
fn done(home: &Home) -> usize {
    const WITH_KEYS: [&str; 3] = ["create-key", "rotate-key", "sign-message"];
    let done = |record: &&serde_json::Value| {
        record["result"] == "ok" && WITH_KEYS.iter().any(|action| record["action"] == *action)
    };
    home.audit().iter().filter(done).count()
}

async fn keys_and_etags(gateway: &Gateway) -> Vec<(String, String)> {
    let page = gateway.client().await.list_keys(proto::ListKeysRequest::default()).await.unwrap();
    page.keys.iter().map(|key| (key.id.clone(), crate::ask::metadata(key).etag.clone())).collect()
}

/// The rows of both backends: `of` is given the beginning of the keys' names.
fn on_each_backend(of: impl Fn(&'static str) -> Vec<Row>) -> Vec<Row> {
    let mut rows = of("soft");
    if !skms_tests::softhsm::left_out() {
        rows.extend(of("hsm"));
    }
    rows
}
