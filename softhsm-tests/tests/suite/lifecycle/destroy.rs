//! The end of material: on time, with a device away, through crashes.

use std::{fs, os::unix::process::ExitStatusExt as _};

use rusqlite::Connection;
use rustix::process::Signal;
use skms::{client::Client, failpoint, proto};
use skms_tests::gateway::Home;

use super::{Verb, states, turn, until};
use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, sign, verify};

use proto::KeyState::{DestroyScheduled, Destroyed, Enabled};

/// A gateway that destroys soon.
fn home(home: Home) -> Home {
    home.configured("[limits]\nmin_destroy_scheduled_duration = \"1s\"\n")
}

fn short_lived(id: &str, backend: &str) -> proto::CreateKeyRequest {
    let mut request = create("ec-p256", id, backend);
    let params = request.params.as_mut().unwrap();
    params.destroy_scheduled_duration = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    request
}

/// How often this was done, or refused for this reason, by the gateway itself.
fn recorded(home: &Home, key: &str, result: &str) -> usize {
    let records = home.audit().into_iter().filter(|record| {
        record["action"] == "destroy-key"
            && record["key"] == key
            && record["result"] == result
            && record["authenticated_by"] == "gateway"
            && record["scheduled"] == true
    });
    records.count()
}

async fn listed(client: &Client, show_destroyed: bool) -> Vec<String> {
    let request = proto::ListKeysRequest { show_destroyed, ..Default::default() };
    client.list_keys(request).await.unwrap().keys.into_iter().map(|key| key.id).collect()
}

#[tokio::test]
async fn a_key_whose_time_has_come_leaves_its_id_and_nothing_else() {
    let home = home(Home::every(PROGRAM));
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let objects = home.softhsm().map(|token| (token.list(), token.object_files()));
        let mut request = short_lived(backend, backend);
        request.params.as_mut().unwrap().aliases = vec![format!("{backend}-alias")];
        request.metadata = [("team".to_owned(), "infra".to_owned())].into();
        client.create_key(request).await.unwrap();
        client.rotate_key(rotate(backend)).await.unwrap();
        Verb::Destroy.ask(&client, turn(backend, &[1])).await.unwrap();
        until(&client, backend, |key| key.versions[0].state() == Destroyed).await;
        assert_eq!(states(&client, backend).await, [Destroyed, Enabled]);
        client.sign(sign(backend, "text")).await.unwrap();
        let first = proto::SignRequest { version: 1, ..sign(backend, "text") };
        assert_eq!(outcome(&client.sign(first).await), "FailedPrecondition KEY_DESTROYED");

        Verb::Destroy.ask(&client, turn(backend, &[])).await.unwrap();
        let gone = until(&client, backend, |key| key.state() == Destroyed).await;
        assert!(metadata(&gone).versions.iter().all(|version| version.destroy_event_time.is_some()));
        assert_eq!(metadata(&gone).labels.get("team").map(String::as_str), Some("infra"));
        assert_eq!(metadata(&gone).params.as_ref().unwrap().aliases, [""; 0]);
        let destroyed = "FailedPrecondition KEY_DESTROYED";
        assert_eq!(outcome(&client.sign(sign(backend, "text")).await), destroyed);
        assert_eq!(outcome(&client.verify(verify(backend, "text", "no")).await), destroyed);
        assert_eq!(outcome(&client.rotate_key(rotate(backend)).await), destroyed);
        assert_eq!(outcome(&client.set_primary_version(super::lead(backend, 2)).await), destroyed);
        for verb in Verb::ALL {
            assert_eq!(outcome(&verb.ask(&client, turn(backend, &[])).await), destroyed, "{verb:?}");
        }
        let update = super::update(backend, &["params.description"], proto::KeyMetadata::default());
        assert_eq!(outcome(&client.update_key(update).await), destroyed);

        assert_eq!(listed(&client, false).await, [""; 0]);
        assert!(listed(&client, true).await.contains(&backend.to_owned()));
        let retired = "AlreadyExists KEY_ID_RETIRED";
        assert_eq!(outcome(&client.create_key(create("ec-p256", backend, "")).await), retired);
        let mut alias = create("ec-p256", "other", "");
        alias.params.as_mut().unwrap().aliases = vec![backend.to_owned()];
        assert_eq!(outcome(&client.create_key(alias.clone()).await), retired);
        // The alias is free again.
        let reused = format!("{backend}-alias");
        client
            .create_key(proto::CreateKeyRequest { validate_only: true, ..create("ec-p256", &reused, "") })
            .await
            .unwrap();
        assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), objects);
        assert_eq!(recorded(&home, backend, "ok"), 2);
    }
    assert!(gateway.stop().await.success());
    let catalog = Connection::open(home.path().join("catalog.db")).unwrap();
    let left: i64 = catalog
        .query_row("SELECT count(*) FROM versions WHERE tag IS NOT NULL OR blob IS NOT NULL", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
    drop(catalog);
    // Neither does a restart bring anything of it back.
    let gateway = home.start();
    let shown = gateway.client().await.get_key(full("soft")).await.unwrap();
    assert_eq!(metadata(&shown).state(), Destroyed);
}

#[tokio::test]
async fn a_sealed_key_is_in_no_file_of_the_catalog_after_its_end() {
    let home = home(Home::software(PROGRAM));
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(short_lived("key", "soft")).await.unwrap();
    client.create_key(create("ec-p256", "other", "soft")).await.unwrap();
    gateway.kill();
    let path = home.path().join("catalog.db");
    let blob: Vec<u8> = {
        let catalog = Connection::open(&path).unwrap();
        catalog.query_row("SELECT blob FROM versions WHERE key_id = 'key'", [], |row| row.get(0)).unwrap()
    };
    let held = || {
        let files =
            ["catalog.db", "catalog.db-wal"].map(|name| fs::read(home.path().join(name)).unwrap_or_default());
        files.iter().any(|file| file.windows(blob.len()).any(|part| part == blob))
    };
    assert!(held(), "it is somewhere before");
    let gateway = home.start();
    let client = gateway.client().await;
    Verb::Destroy.ask(&client, turn("key", &[])).await.unwrap();
    until(&client, "key", |key| key.state() == Destroyed).await;
    assert!(!held());
    client.sign(sign("other", "text")).await.unwrap();
}

#[tokio::test]
async fn a_device_that_is_away_is_asked_again_and_nothing_comes_back_meanwhile() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home(Home::new(PROGRAM));
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(short_lived(backend, backend)).await.unwrap();
    }
    let token = fs::read_dir(home.softhsm().unwrap().token_dir()).unwrap().next().unwrap().unwrap().path();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&token, &elsewhere).unwrap();
    for backend in home.backends() {
        Verb::Destroy.ask(&client, turn(backend, &[])).await.unwrap();
    }
    // The other backend does not wait for it.
    until(&client, "soft", |key| key.state() == Destroyed).await;
    let failing = async {
        while home
            .audit()
            .iter()
            .filter(|record| {
                record["action"] == "destroy-key" && record["key"] == "hsm" && record["code"] == "UNAVAILABLE"
            })
            .count()
            < 2
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::PATIENCE, failing).await.unwrap();
    assert_eq!(states(&client, "hsm").await, [DestroyScheduled]);
    let late = Verb::Restore.ask(&client, turn("hsm", &[])).await;
    assert_eq!(outcome(&late), "FailedPrecondition KEY_DESTROY_SCHEDULED");
    fs::rename(&elsewhere, &token).unwrap();
    until(&client, "hsm", |key| key.state() == Destroyed).await;
    assert_eq!(home.softhsm().unwrap().list().len(), 0);
    assert_eq!(recorded(&home, "hsm", "ok"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destruction_that_is_cut_short_is_done_after_the_crash() {
    let home = home(Home::new(PROGRAM));
    let points: Vec<_> =
        failpoint::ALL.into_iter().filter(|point| point.starts_with("destroy-key.")).collect();
    assert_eq!(points.len(), 3);
    for backend in home.backends() {
        for point in &points {
            let key = format!("{backend}-{point}");
            let mut gateway = home.start_with([("FAILPOINTS", format!("{point}=return").into())]);
            let client = gateway.client().await;
            client.create_key(short_lived(&key, backend)).await.unwrap();
            Verb::Destroy.ask(&client, turn(&key, &[])).await.unwrap();
            let status = tokio::task::block_in_place(|| gateway.ended());
            assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{point}:\n{}", gateway.log());
            let gateway = home.start();
            let client = gateway.client().await;
            until(&client, &key, |key| key.state() == Destroyed).await;
            // Every attempt was announced before it was begun.
            let announced = home.audit().into_iter().filter(|record| {
                record["action"] == "destroy-key"
                    && record["key"] == key.as_str()
                    && record["phase"] == "intent"
            });
            assert!(announced.count() >= 1);
            assert!(gateway.stop().await.success());
        }
    }
    if let Some(token) = home.softhsm() {
        assert_eq!((token.list().len(), token.object_files()), (0, 0));
    }
}

#[tokio::test]
async fn a_destruction_is_called_off_before_its_time_also_after_a_crash() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let before = client.sign(sign("key", "text")).await.unwrap().signature;
    Verb::Destroy.ask(&client, turn("key", &[])).await.unwrap();
    gateway.kill();
    let gateway = home.start();
    let client = gateway.client().await;
    Verb::Restore.ask(&client, turn("key", &[])).await.unwrap();
    Verb::Enable.ask(&client, turn("key", &[])).await.unwrap();
    assert!(client.verify(verify("key", "text", before)).await.unwrap().valid);
    let short = short_lived("short", "");
    assert_eq!(outcome(&client.create_key(short).await), "InvalidArgument FIELD_INVALID");
}
