//! A token that has no room for another key.

use std::{fs, io::ErrorKind, path::Path};

use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, metadata, outcome, rotate, sign};

/// How many objects a token has, whole or not.
fn objects(tokens: &Path) -> usize {
    let token = fs::read_dir(tokens).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let names = fs::read_dir(token.unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".object")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_room_refuses_keys_keeps_nothing_of_them_and_goes_on_signing() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/small.sh"));
    let tokens = home.softhsm().unwrap().token_dir();
    let gateway = home.start_with([("GATEWAY", PROGRAM.into()), ("SMALL", tokens.clone().into())]);
    // The file system, as the process of the gateway sees it.
    let inside = format!("/proc/{}/root{}", gateway.pid(), tokens.display());
    let inside = Path::new(&inside);
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "before", "hsm")).await.unwrap();
    let before = objects(inside);

    let filler = inside.join("filler");
    assert_eq!(fs::write(&filler, vec![0; 2 << 20]).unwrap_err().kind(), ErrorKind::StorageFull);
    for key_type in KEY_TYPES {
        let refused = client.create_key(create(key_type, key_type, "hsm")).await;
        // SoftHSM has no return code for it; devices with one get BACKEND_STORAGE_FULL.
        assert_eq!(outcome(&refused), "Internal BACKEND_ERROR", "{key_type}");
        assert_eq!(objects(inside), before, "{key_type}");
    }
    assert_eq!(outcome(&client.rotate_key(rotate("before")).await), "Internal BACKEND_ERROR");
    assert_eq!(objects(inside), before);
    assert_eq!(client.sign(sign("before", "text")).await.unwrap().version, 1);

    fs::remove_file(&filler).unwrap();
    for key_type in KEY_TYPES {
        client.create_key(create(key_type, key_type, "hsm")).await.unwrap();
    }
    assert_eq!(metadata(&client.rotate_key(rotate("before")).await.unwrap()).primary_version, 2);
    // Two objects a key pair.
    assert_eq!(objects(inside), before + 2 * 4 + 2);
}

const KEY_TYPES: [&str; 5] = ["rsa-2048", "ec-p256", "ed25519", "aes-256", "hmac-sha256"];
