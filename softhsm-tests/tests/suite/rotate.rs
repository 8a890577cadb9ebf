//! RotateKey: the primary moves, nothing that was signed is lost, and of two
//! callers who mean the same step one learns that it was made.

use std::collections::BTreeSet;

use skms::proto;
use skms_tests::gateway::Home;
use tokio::task::JoinSet;

use crate::ask::{PROGRAM, create, full, metadata, outcome, rotate, sign, verify};

#[tokio::test]
async fn a_rotation_moves_the_primary_and_keeps_the_old_versions_in_use() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let first = client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let old = client.sign(sign(backend, "text")).await.unwrap();
        let second = client.rotate_key(rotate(backend)).await.unwrap();
        assert_ne!(first.public_key, second.public_key);
        assert_ne!(metadata(&first).etag, metadata(&second).etag);
        assert_eq!((metadata(&second).primary_version, metadata(&second).latest_version), (2, 2));

        let new = client.sign(sign(backend, "text")).await.unwrap();
        assert_eq!((old.version, new.version), (1, 2));
        let named = proto::SignRequest { version: 1, ..sign(backend, "text") };
        let named = client.sign(named).await.unwrap();
        assert_eq!(named.version, 1);
        for (signature, asked, matched) in [
            (&old.signature, 0, 1),
            (&old.signature, 1, 1),
            (&old.signature, 2, 0),
            (&named.signature, 0, 1),
            (&new.signature, 0, 2),
            (&new.signature, 1, 0),
        ] {
            let request =
                proto::VerifyRequest { version: asked, ..verify(backend, "text", signature.clone()) };
            let verified = client.verify(request).await.unwrap();
            assert_eq!((verified.valid, verified.version), (matched != 0, matched), "asked for {asked}");
        }

        let shown = client.get_key(full(backend)).await.unwrap();
        let versions = &metadata(&shown).versions;
        let keys: Vec<_> = versions.iter().map(|version| version.public_key.as_str()).collect();
        assert_eq!(keys, [&first.public_key, &second.public_key]);
        for (number, version) in (1..).zip(versions) {
            assert_eq!((version.version, version.backend.as_str()), (number, backend));
            assert_eq!(version.state(), proto::KeyState::Enabled);
            assert_eq!(version.origin(), proto::KeyOrigin::Generated);
            assert!(
                version
                    .generate_time
                    .is_some_and(|made| made.seconds >= version.create_time.unwrap().seconds)
            );
        }
    }
}

#[tokio::test]
async fn a_staged_version_signs_only_when_it_is_named() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let first = client.create_key(create("ed25519", backend, backend)).await.unwrap();
        let request = proto::RotateKeyRequest { stage_only: true, ..rotate(backend) };
        let staged = client.rotate_key(request).await.unwrap();
        assert_eq!((metadata(&staged).primary_version, metadata(&staged).latest_version), (1, 2));
        assert_eq!(staged.public_key, first.public_key);
        assert_eq!(client.sign(sign(backend, "text")).await.unwrap().version, 1);
        let named = proto::SignRequest { version: 2, ..sign(backend, "text") };
        let signed = client.sign(named).await.unwrap();
        assert_eq!(signed.version, 2);
        // Version 0 means the primary and older ones; the staged one is newer.
        let request = verify(backend, "text", signed.signature.clone());
        assert!(!client.verify(request.clone()).await.unwrap().valid);
        let request = proto::VerifyRequest { version: 2, ..request };
        assert!(client.verify(request).await.unwrap().valid);
        // The next rotation goes past it.
        let third = client.rotate_key(rotate(backend)).await.unwrap();
        assert_eq!((metadata(&third).primary_version, metadata(&third).latest_version), (3, 3));
    }
}

#[tokio::test]
async fn a_guard_that_does_not_hold_stops_the_rotation_before_the_device() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let first = client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let second = client.rotate_key(rotate(backend)).await.unwrap();
        let before = home.softhsm().map(|token| (token.list(), token.object_files()));
        let (stale, fresh) = (metadata(&first).etag.clone(), metadata(&second).etag.clone());
        for (etag, primary, expected) in [
            (stale.as_str(), 0, "Aborted ETAG_MISMATCH"),
            ("no-etag", 0, "Aborted ETAG_MISMATCH"),
            (stale.as_str(), 2, "Aborted ETAG_MISMATCH"),
            ("", 1, "Aborted PRIMARY_VERSION_CHANGED"),
            ("", 3, "Aborted PRIMARY_VERSION_CHANGED"),
            (fresh.as_str(), 1, "Aborted PRIMARY_VERSION_CHANGED"),
        ] {
            let request = proto::RotateKeyRequest {
                etag: etag.into(),
                expected_primary_version: primary,
                ..rotate(backend)
            };
            assert_eq!(outcome(&client.rotate_key(request).await), expected, "{etag} {primary}");
        }
        let shown = client.get_key(full(backend)).await.unwrap();
        assert_eq!(metadata(&shown).etag, fresh);
        assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), before);

        let request = proto::RotateKeyRequest { etag: fresh, expected_primary_version: 2, ..rotate(backend) };
        let third = client.rotate_key(request).await.unwrap();
        assert_eq!(metadata(&third).primary_version, 3);
    }
}

#[tokio::test]
async fn rotations_at_once_each_make_a_version() {
    const CALLERS: u32 = 6;
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..CALLERS {
            let client = client.clone();
            calls.spawn(async move { client.rotate_key(rotate(backend)).await.unwrap() });
        }
        let keys = calls.join_all().await;
        let etags: BTreeSet<_> = keys.iter().map(|key| metadata(key).etag.clone()).collect();
        assert_eq!(etags.len(), keys.len());
        let shown = client.get_key(full(backend)).await.unwrap();
        let numbers: Vec<_> = metadata(&shown).versions.iter().map(|version| version.version).collect();
        assert_eq!(numbers, Vec::from_iter(1..=CALLERS + 1));
        assert_eq!(metadata(&shown).primary_version, CALLERS + 1);
    }
}

#[tokio::test]
async fn of_rotations_at_once_that_expect_the_same_primary_one_is_made() {
    const CALLERS: usize = 6;
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..CALLERS {
            let client = client.clone();
            let request = proto::RotateKeyRequest { expected_primary_version: 1, ..rotate(backend) };
            calls.spawn(async move { client.rotate_key(request).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, CALLERS - 1));
        for refused in &refused {
            assert_eq!(outcome(refused), "Aborted PRIMARY_VERSION_CHANGED");
        }
        let shown = client.get_key(full(backend)).await.unwrap();
        assert_eq!(metadata(&shown).versions.len(), 2);
        // What the others made is not left behind.
        if let (Some(token), "hsm") = (home.softhsm(), backend) {
            let private = token.list().iter().filter(|object| object.class == "private-key").count();
            assert_eq!(private, 2);
        }
    }
}
