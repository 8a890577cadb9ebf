//! Backups of a gateway: made beside it while it works, brought back, and what a catalog
//! that was brought back or copied does not do.

use std::{fs, os::unix::process::ExitStatusExt as _, path::PathBuf, process::Stdio};

use rustix::process::Signal;
use skms::{client::Client, proto};
use skms_tests::gateway::{Gateway, Home};
use tokio::task::JoinSet;

use crate::{
    ask::{PROGRAM, create, outcome, rotate, sign, stop_and_set_states, verify},
    program::{self, Ended},
};

const PLAINTEXT: &[u8] = b"a plaintext";

/// Runs the command line with the backup key of this home.
fn skms(home: &Home, line: &str) -> Ended {
    home.private("backup.key", &"0123456789abcdef".repeat(4));
    let mut command = home.command();
    command.current_dir(home.path()).args(line.split_whitespace()).args(["--key", "file:backup.key"]);
    program::run(command, b"")
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// Takes the catalog away, with all that is beside it.
fn lose(home: &Home) {
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-nonces"] {
        // Not all of them are always there.
        let _ = fs::remove_file(home.path().join(name));
    }
}

/// What was made with the keys of a backend before something happened to the catalog.
struct Made {
    backend: &'static str,
    signature: Vec<u8>,
    ciphertext: Vec<u8>,
}

async fn make(client: &Client, home: &Home) -> Vec<Made> {
    let mut made = Vec::new();
    for backend in home.backends() {
        client.create_key(create("ec-p256", &format!("{backend}-ec"), backend)).await.unwrap();
        let mut aes = create("aes-256", &format!("{backend}-aes"), backend);
        aes.params.as_mut().unwrap().purpose = proto::KeyPurpose::EncryptDecrypt.into();
        client.create_key(aes).await.unwrap();
        let signature =
            client.sign(sign(&format!("{backend}-ec"), "message")).await.unwrap().signature.to_vec();
        let ciphertext = client.encrypt(encrypt(backend)).await.unwrap().ciphertext.to_vec();
        made.push(Made { backend, signature, ciphertext });
    }
    made
}

fn encrypt(backend: &str) -> proto::EncryptRequest {
    let (key_id, plaintext) = (format!("{backend}-aes"), PLAINTEXT.into());
    proto::EncryptRequest { key_id, plaintext, ..Default::default() }
}

/// Everything that was made is still good for what it was, and nothing is encrypted under
/// a counter that may have gone on elsewhere.
async fn demand_usable(client: &Client, made: &[Made]) {
    for Made { backend, signature, ciphertext } in made {
        let ec = format!("{backend}-ec");
        assert!(client.verify(verify(&ec, "message", signature.clone())).await.unwrap().valid);
        client.sign(sign(&ec, "again")).await.unwrap();
        let decrypt = proto::DecryptRequest {
            key_id: format!("{backend}-aes"),
            ciphertext: ciphertext.clone().into(),
            ..Default::default()
        };
        assert_eq!(client.decrypt(decrypt.clone()).await.unwrap().plaintext, PLAINTEXT);
        // A software backend makes a key for each message, and counts nothing.
        if *backend == "hsm" {
            let refused = outcome(&client.encrypt(encrypt(backend)).await);
            assert!(refused.ends_with("KEY_USAGE_LIMIT_EXCEEDED"), "{refused}");
            client.rotate_key(rotate(&format!("{backend}-aes"))).await.unwrap();
        }
        client.encrypt(encrypt(backend)).await.unwrap();
        assert_eq!(client.decrypt(decrypt).await.unwrap().plaintext, PLAINTEXT);
    }
}

/// Rotates and encrypts until it is stopped.
fn load(client: &Client, home: &Home) -> JoinSet<()> {
    let mut load = JoinSet::new();
    for backend in home.backends() {
        let client = client.clone();
        load.spawn(async move {
            client.create_key(create("ec-p256", &format!("{backend}-busy"), backend)).await.unwrap();
            loop {
                client.rotate_key(rotate(&format!("{backend}-busy"))).await.unwrap();
                client.encrypt(encrypt(backend)).await.unwrap();
            }
        });
    }
    load
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_brings_every_key_back_into_an_empty_place() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let made = make(&client, &home).await;
    let mut load = load(&client, &home);
    let config = home.config();
    let line = format!("backup --config {} --output json --out", config.display());
    let mut listed = serde_json::Value::Null;
    for number in 0..5 {
        listed = done(skms(&home, &format!("{line} backup{number}"))).json();
    }
    load.shutdown().await;
    assert!(gateway.stop().await.success());
    // What devices keep is listed, and nothing else.
    let in_devices = listed["device_versions"].as_array().unwrap();
    assert!(in_devices.iter().all(|version| version["backend"] == "hsm"), "{listed}");
    for key in ["hsm-ec", "hsm-aes"].iter().filter(|_| home.softhsm().is_some()) {
        assert!(in_devices.iter().any(|version| version["key_id"] == *key), "{listed}");
    }
    // The master key is in none of them.
    let master = fs::read_to_string(home.path().join("master.key")).unwrap();
    let master = hex::decode(master.trim()).unwrap();
    for number in 0..5 {
        let backup = fs::read(home.path().join(format!("backup{number}"))).unwrap();
        assert!(!backup.windows(master.len()).any(|window| window == master));
        lose(&home);
        done(skms(&home, &format!("restore --config {} --in backup{number}", config.display())));
        let gateway = home.start();
        let client = gateway.client().await;
        let keys = client.get_key(crate::ask::full("soft-ec")).await;
        assert!(keys.is_ok(), "{number}: {keys:?}");
        if number == 4 {
            demand_usable(&client, &made).await;
        }
        assert!(gateway.stop().await.success());
    }
}

#[tokio::test]
async fn what_was_taken_out_of_use_since_does_not_come_back() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let states = ["compromised", "destroy-scheduled", "disabled"];
    for state in states {
        client.create_key(create("ec-p256", state, "soft")).await.unwrap();
    }
    let config = home.config();
    done(skms(&home, &format!("backup --config {} --out backup", config.display())));
    client.create_key(create("ec-p256", "later", "soft")).await.unwrap();
    let gateway = stop_and_set_states(&home, gateway, &states.map(|state| (state, state))).await;
    let restore = format!("restore --config {} --in backup --output json", config.display());
    let refused = skms(&home, &format!("{restore} --replace"));
    assert_eq!(refused.code, Some(6), "a gateway has it open: {refused:?}");
    assert!(gateway.stop().await.success());
    assert_eq!(skms(&home, &restore).code, Some(6));

    let report = done(skms(&home, &format!("{restore} --replace"))).json();
    let worse = ["compromised.1 compromised", "destroy-scheduled.1 destroy-scheduled", "disabled.1 disabled"];
    assert_eq!((&report["worse"], &report["kept"]), (&worse.to_vec().into(), &vec!["later"].into()));
    let gateway = home.start();
    let client = gateway.client().await;
    for state in states {
        let refused = outcome(&client.sign(sign(state, "message")).await);
        assert!(refused.starts_with("FailedPrecondition KEY_"), "{state}: {refused}");
    }
    client.sign(sign("later", "message")).await.unwrap();
}

#[tokio::test]
async fn what_the_log_tells_was_taken_out_of_use_does_not_come_back_into_an_empty_place() {
    let home = Home::new(PROGRAM).configured("[limits]\nmin_destroy_scheduled_duration = \"1s\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let keys = ["stays", "compromised", "gone", "going", "spared", "disabled", "rotated"];
    for backend in home.backends() {
        for key in keys {
            let mut request = create("ec-p256", &format!("{backend}-{key}"), backend);
            let seconds = if key == "gone" { 1 } else { 24 * 60 * 60 };
            request.params.as_mut().unwrap().destroy_scheduled_duration =
                Some(prost_types::Duration { seconds, nanos: 0 });
            client.create_key(request).await.unwrap();
        }
    }
    // What was undone before the backup is over.
    for backend in home.backends() {
        let key_id = format!("{backend}-stays");
        let request = proto::DisableKeyRequest { key_id: key_id.clone(), ..Default::default() };
        client.disable_key(request).await.unwrap();
        client.enable_key(proto::EnableKeyRequest { key_id, ..Default::default() }).await.unwrap();
    }
    let config = home.config();
    done(skms(&home, &format!("backup --config {} --out backup", config.display())));
    for backend in home.backends() {
        let id = |key: &str| format!("{backend}-{key}");
        for key in ["gone", "going", "spared"] {
            let request = proto::ScheduleKeyDestructionRequest { key_id: id(key), ..Default::default() };
            client.schedule_key_destruction(request).await.unwrap();
        }
        let request = proto::RestoreKeyRequest { key_id: id("spared"), ..Default::default() };
        client.restore_key(request).await.unwrap();
        let request = proto::DisableKeyRequest { key_id: id("disabled"), ..Default::default() };
        client.disable_key(request).await.unwrap();
        let request = proto::MarkKeyCompromisedRequest { key_id: id("compromised"), ..Default::default() };
        client.mark_key_compromised(request).await.unwrap();
        // The backup knows the first version as the primary, and no other.
        client.rotate_key(rotate(&id("rotated"))).await.unwrap();
        let request = proto::MarkKeyCompromisedRequest {
            key_id: id("rotated"),
            versions: vec![1],
            ..Default::default()
        };
        client.mark_key_compromised(request).await.unwrap();
        let gone = |key: &proto::KeyMetadata| key.versions[0].state() == proto::KeyState::Destroyed;
        crate::lifecycle::until(&client, &id("gone"), gone).await;
    }
    assert!(gateway.stop().await.success());
    lose(&home);
    let restore = format!("restore --config {} --in backup --output json", config.display());
    let log = home.path().join("audit.jsonl");
    let away = home.path().join("elsewhere.jsonl");
    fs::rename(&log, &away).unwrap();
    let refused = skms(&home, &restore);
    assert!(refused.code == Some(1) && refused.stderr.contains("--danger-without-audit-log"), "{refused:?}");
    // One that was begun after the backup tells less than what has happened.
    let text = fs::read_to_string(&away).unwrap();
    let late: String = text.split_inclusive('\n').skip(text.lines().count() - 2).collect();
    fs::write(&log, late).unwrap();
    let refused = skms(&home, &restore);
    assert!(refused.code == Some(1) && refused.stderr.contains("begins later"), "{refused:?}");
    fs::rename(&away, &log).unwrap();

    let report = done(skms(&home, &restore)).json();
    let mut expected: Vec<_> = home
        .backends()
        .into_iter()
        .flat_map(|backend| {
            [
                "compromised.1 compromised",
                "disabled.1 disabled",
                "going.1 destroy-scheduled",
                "gone.1 destroyed",
                "rotated.1 compromised",
                "spared.1 disabled",
            ]
            .map(|told| format!("{backend}-{told}"))
        })
        .collect();
    expected.sort();
    assert_eq!(report["made_up_for"], serde_json::Value::from(expected), "{report}");
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        for (key, expected) in [
            ("stays", "ok"),
            ("compromised", "FailedPrecondition KEY_COMPROMISED"),
            ("gone", "FailedPrecondition KEY_DESTROYED"),
            ("going", "FailedPrecondition KEY_DESTROY_SCHEDULED"),
            ("spared", "FailedPrecondition KEY_DISABLED"),
            ("disabled", "FailedPrecondition KEY_DISABLED"),
            ("rotated", "FailedPrecondition KEY_COMPROMISED"),
        ] {
            let signed = client.sign(sign(&format!("{backend}-{key}"), "text")).await;
            let got = if signed.is_ok() { "ok".to_owned() } else { outcome(&signed) };
            assert_eq!(got, expected, "{backend}-{key}");
        }
    }
}

/// Copies the catalog to another file, and puts that in its place.
async fn copied_by_hand(home: &Home, gateway: Gateway) -> Gateway {
    assert!(gateway.stop().await.success());
    let (path, copy) = (home.path().join("catalog.db"), home.path().join("copy.db"));
    fs::copy(&path, &copy).unwrap();
    fs::rename(&copy, &path).unwrap();
    home.start()
}

#[tokio::test]
async fn a_catalog_that_was_copied_by_hand_encrypts_after_a_rotation() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let made = make(&gateway.client().await, &home).await;
    let gateway = copied_by_hand(&home, gateway).await;
    let told =
        gateway.log().lines().any(|line| line.contains("until you rotate them") && line.contains("hsm-aes"));
    assert_eq!(told, home.softhsm().is_some(), "{}", gateway.log());
    demand_usable(&gateway.client().await, &made).await;
    // It is at home there now.
    assert!(gateway.stop().await.success());
    let client = home.start();
    for made in &made {
        client.client().await.encrypt(encrypt(made.backend)).await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_leaves_the_old_catalog_or_the_new_one() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    gateway.client().await.create_key(create("ec-p256", "old", "soft")).await.unwrap();
    let config = home.config();
    done(skms(&home, &format!("backup --config {} --out backup", config.display())));
    gateway.client().await.create_key(create("ec-p256", "new", "soft")).await.unwrap();
    assert!(gateway.stop().await.success());
    let whole = home.path().join("whole.db");
    fs::copy(home.path().join("catalog.db"), &whole).unwrap();

    for replace in [false, true] {
        for (point, passes, is_done) in [
            ("catalog.before-commit", 0, false),
            ("catalog.after-commit", 0, replace),
            ("catalog.before-commit", 1, false),
            ("catalog.after-commit", 1, true),
        ] {
            // Into a catalog that is there there is one commit; else it is also put in its place.
            if replace && passes > 0 {
                continue;
            }
            lose(&home);
            if replace {
                fs::copy(&whole, home.path().join("catalog.db")).unwrap();
            }
            crash(&home, &config, replace, &format!("{point}={passes}*off->return"));
            let there = home.path().join("catalog.db").exists();
            assert_eq!(there, replace || is_done, "{point} {passes}");
            if !there {
                done(skms(&home, &format!("restore --config {} --in backup", config.display())));
            }
            let gateway = home.start();
            let client = gateway.client().await;
            client.sign(sign("old", "message")).await.unwrap();
            assert_eq!(client.sign(sign("new", "message")).await.is_ok(), replace, "{point} {passes}");
            assert!(gateway.stop().await.success());
        }
    }
}

fn crash(home: &Home, config: &PathBuf, replace: bool, failpoints: &str) {
    let mut command = home.command();
    command.current_dir(home.path()).env("FAILPOINTS", failpoints);
    command.args(["restore", "--in", "backup", "--key", "file:backup.key", "--config"]).arg(config);
    command.args(replace.then_some("--replace")).stdin(Stdio::null());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.signal(), Some(Signal::KILL.as_raw()), "{failpoints}: {ended:?}");
}
