//! Nonces of keys that a device uses as they are: none is ever used twice, however often
//! the gateway is killed, restarted or asked by many at once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use skms::{client::Client, proto};
use skms_tests::gateway::Home;
use tokio::{sync::mpsc, task::JoinSet};

use crate::ask::{PROGRAM, create, outcome, rotate};

/// How often the gateway is killed; with `SKMS_TEST_LONG`, often.
const KILLS: usize = 4;
const LONG_KILLS: usize = 100;
const CALLERS: usize = 8;

/// Where the number of the version and the nonce stand in a ciphertext.
const VERSION: std::ops::Range<usize> = 22..26;
const NONCE: std::ops::Range<usize> = 27..39;
/// The suite of AES-256-GCM under a nonce.
const SUITE: u8 = 2;

fn encrypt() -> proto::EncryptRequest {
    proto::EncryptRequest { key_id: "key".into(), plaintext: "text".into(), ..Default::default() }
}

/// Encrypts until the gateway is gone, and hands on every ciphertext.
async fn until_gone(client: Client, made: mpsc::UnboundedSender<Bytes>) {
    while let Ok(answer) = client.encrypt(encrypt()).await {
        let _ = made.send(answer.ciphertext);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_nonce_is_used_twice_however_often_the_gateway_is_killed() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let kills = if std::env::var_os("SKMS_TEST_LONG").is_some() { LONG_KILLS } else { KILLS };
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("aes-256", "key", "hsm")).await.unwrap();
    assert!(gateway.stop().await.success());
    let (mut seen, mut last) = (BTreeSet::new(), Bytes::new());
    for round in 0..kills {
        let gateway = home.start();
        if round == kills / 2 {
            // A new version counts anew, under a key of its own.
            gateway.client().await.rotate_key(rotate("key")).await.unwrap();
        }
        let (made, mut ciphertexts) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(until_gone(gateway.client().await, made.clone()));
        }
        drop(made);
        // In the midst of it, at another moment each time, and after the first block of
        // numbers in one of them.
        let enough = if round == 1 { 5000 } else { 40 + 97 * round % 700 };
        let mut taken = Vec::new();
        while taken.len() < enough {
            taken.push(ciphertexts.recv().await.unwrap());
        }
        tokio::task::spawn_blocking(move || gateway.kill()).await.unwrap();
        callers.join_all().await;
        while let Some(ciphertext) = ciphertexts.recv().await {
            taken.push(ciphertext);
        }
        for ciphertext in taken {
            assert_eq!(ciphertext[4], SUITE);
            let pair = (ciphertext.slice(VERSION), ciphertext.slice(NONCE));
            assert!(seen.insert(pair), "a nonce came twice, in round {round}");
            last = ciphertext;
        }
    }
    println!("{} nonces over {kills} kills, none of them twice", seen.len());
    let gateway = home.start();
    let request = proto::DecryptRequest { key_id: "key".into(), ciphertext: last, ..Default::default() };
    assert_eq!(gateway.client().await.decrypt(request).await.unwrap().plaintext, "text");
}

/// A catalog that was put back counts again from where it was.
#[tokio::test]
async fn a_catalog_that_was_put_back_makes_no_nonce_again() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("aes-256", "key", "hsm")).await.unwrap();
    gateway.client().await.encrypt(encrypt()).await.unwrap();
    assert!(gateway.stop().await.success());
    let (catalog, copy) = (home.path().join("catalog.db"), home.path().join("catalog.copy"));
    let copied = |from: &Path, to: &Path| {
        for part in ["", "-wal"] {
            let of = |path: &Path| PathBuf::from(format!("{}{part}", path.display()));
            if std::fs::copy(of(from), of(to)).is_err() {
                let _ = std::fs::remove_file(of(to));
            }
        }
    };
    copied(&catalog, &copy);
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        copied(&copy, &catalog);
        let gateway = home.start();
        let client = gateway.client().await;
        for _ in 0..10 {
            match client.encrypt(encrypt()).await {
                Ok(made) => assert!(seen.insert(made.ciphertext.slice(NONCE)), "a nonce came twice"),
                refused => assert_eq!(outcome(&refused), "ResourceExhausted KEY_USAGE_LIMIT_EXCEEDED"),
            }
        }
        assert!(gateway.stop().await.success());
    }
}

/// SP 800-38D §8.3: there is an end to what one key may encrypt.
#[tokio::test]
async fn a_version_that_has_encrypted_enough_stops_and_still_decrypts() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("aes-256", "key", "hsm")).await.unwrap();
    let before = client.encrypt(encrypt()).await.unwrap().ciphertext;
    assert!(gateway.stop().await.success());
    // As if the others had been used: one is left.
    let catalog = rusqlite::Connection::open(home.path().join("catalog.db")).unwrap();
    assert_eq!(catalog.execute("UPDATE nonces SET next = 4294967295", []).unwrap(), 1);
    drop(catalog);

    let gateway = home.start();
    let client = gateway.client().await;
    client.encrypt(encrypt()).await.unwrap();
    let used_up = "ResourceExhausted KEY_USAGE_LIMIT_EXCEEDED";
    for _ in 0..3 {
        assert_eq!(outcome(&client.encrypt(encrypt()).await), used_up);
    }
    let decrypt = async |ciphertext: &Bytes| {
        let ciphertext = ciphertext.clone();
        let request = proto::DecryptRequest { key_id: "key".into(), ciphertext, ..Default::default() };
        client.decrypt(request).await.unwrap().plaintext
    };
    assert_eq!(decrypt(&before).await, "text");
    client.rotate_key(rotate("key")).await.unwrap();
    let after = client.encrypt(encrypt()).await.unwrap();
    assert_eq!(after.version, 2);
    assert_eq!(decrypt(&after.ciphertext).await, "text");
}
