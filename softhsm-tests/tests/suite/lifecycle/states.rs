//! The verbs, and what each use of a key answers in each state.

use skms::{client::Client, proto};
use skms_tests::gateway::Home;

use super::{Verb, lead, states, turn};
use crate::ask::{PROGRAM, create, full, metadata, outcome, request_id, rotate, sign, verify};

use proto::KeyState::{Compromised, DestroyScheduled, Disabled, Enabled};

/// Every use of the whole key is refused for the same reason.
async fn refuses(client: &Client, key: &str, reason: &str) {
    let expected = format!("FailedPrecondition {reason}");
    assert_eq!(outcome(&client.sign(sign(key, "text")).await), expected);
    assert_eq!(outcome(&client.verify(verify(key, "text", "no signature")).await), expected);
    let impossible = proto::VerifyRequest { algorithm: 20, ..verify(key, "text", "no signature") };
    assert_eq!(outcome(&client.verify(impossible).await), expected, "the state before all else");
    assert_eq!(outcome(&client.rotate_key(rotate(key)).await), expected);
}

#[tokio::test]
async fn each_state_is_one_reason_for_every_use() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for key in home.backends() {
        client.create_key(create("ec-p256", key, key)).await.unwrap();
        let old = client.sign(sign(key, "text")).await.unwrap().signature;
        client.rotate_key(rotate(key)).await.unwrap();
        let first = |version| proto::SignRequest { version, ..sign(key, "text") };
        let check = |version| proto::VerifyRequest { version, ..verify(key, "text", old.clone()) };

        Verb::Disable.ask(&client, turn(key, &[1])).await.unwrap();
        assert_eq!(outcome(&client.sign(first(1)).await), "FailedPrecondition KEY_DISABLED");
        assert_eq!(outcome(&client.verify(check(1)).await), "FailedPrecondition KEY_DISABLED");
        assert!(!client.verify(check(0)).await.unwrap().valid, "a disabled version is not tried");
        assert_eq!(client.sign(sign(key, "text")).await.unwrap().version, 2);
        let disabled = Verb::Disable.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(metadata(&disabled).state(), Disabled);
        refuses(&client, key, "KEY_DISABLED").await;
        let enabled = Verb::Enable.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(metadata(&enabled).state(), Enabled);
        assert!(client.verify(check(0)).await.unwrap().valid);

        Verb::Compromise.ask(&client, turn(key, &[1])).await.unwrap();
        assert_eq!(outcome(&client.sign(first(1)).await), "FailedPrecondition KEY_COMPROMISED");
        assert_eq!(outcome(&client.verify(check(1)).await), "FailedPrecondition KEY_COMPROMISED");
        assert!(!client.verify(check(0)).await.unwrap().valid);
        let accepted = proto::VerifyRequest { accept_compromised: true, ..check(0) };
        let verified = client.verify(accepted).await.unwrap();
        assert_eq!((verified.valid, verified.version_state()), (true, Compromised));
        for verb in [Verb::Enable, Verb::Disable] {
            let refused = verb.ask(&client, turn(key, &[1])).await;
            assert_eq!(outcome(&refused), "FailedPrecondition KEY_COMPROMISED", "{verb:?}");
        }

        let scheduled = Verb::Destroy.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(metadata(&scheduled).state(), DestroyScheduled);
        let time = metadata(&scheduled).destroy_time.unwrap().seconds;
        let now = prost_types::Timestamp::from(std::time::SystemTime::now()).seconds;
        assert!((now + 30 * 86_400 - 60..=now + 30 * 86_400).contains(&time), "in thirty days: {time}");
        refuses(&client, key, "KEY_DESTROY_SCHEDULED").await;
        let refused = client.set_primary_version(lead(key, 1)).await;
        assert_eq!(outcome(&refused), "FailedPrecondition KEY_DESTROY_SCHEDULED");
        // A second call does not put it off.
        let again = Verb::Destroy.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(again, scheduled);
        Verb::Restore.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(states(&client, key).await, [Compromised, Disabled]);
        refuses(&client, key, "KEY_DISABLED").await;
        Verb::Enable.ask(&client, turn(key, &[])).await.unwrap();
        assert_eq!(states(&client, key).await, [Compromised, Enabled]);
    }
}

#[tokio::test]
async fn the_primary_goes_with_all_others_or_not_at_all() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    let required = "FailedPrecondition PRIMARY_VERSION_REQUIRED";
    for verb in [Verb::Disable, Verb::Destroy] {
        assert_eq!(outcome(&verb.ask(&client, turn("key", &[2])).await), required, "{verb:?}");
    }
    client.set_primary_version(lead("key", 1)).await.unwrap();
    assert_eq!(client.sign(sign("key", "text")).await.unwrap().version, 1);
    Verb::Destroy.ask(&client, turn("key", &[2])).await.unwrap();
    assert_eq!(outcome(&Verb::Destroy.ask(&client, turn("key", &[1])).await), required);
    assert_eq!(states(&client, "key").await, [Enabled, DestroyScheduled]);
    Verb::Destroy.ask(&client, turn("key", &[1, 2])).await.unwrap();
    assert_eq!(outcome(&Verb::Restore.ask(&client, turn("key", &[2])).await), required);
    Verb::Restore.ask(&client, turn("key", &[1])).await.unwrap();
    assert_eq!(states(&client, "key").await, [Disabled, DestroyScheduled]);
}

#[tokio::test]
async fn a_primary_that_others_know_is_stopped_alone_and_replaced() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    let marked = Verb::Compromise.ask(&client, turn("key", &[2])).await.unwrap();
    assert_eq!(metadata(&marked).state(), Compromised);
    let stopped = "FailedPrecondition KEY_COMPROMISED";
    assert_eq!(outcome(&client.sign(sign("key", "text")).await), stopped);
    assert_eq!(outcome(&client.rotate_key(rotate("key")).await), stopped);
    let refused = client.set_primary_version(lead("key", 2)).await;
    assert_eq!(outcome(&refused), "FailedPrecondition KEY_COMPROMISED");
    let expected = proto::SetPrimaryVersionRequest { expected_primary_version: 1, ..lead("key", 1) };
    assert_eq!(outcome(&client.set_primary_version(expected).await), "Aborted PRIMARY_VERSION_CHANGED");
    let moved = client.set_primary_version(lead("key", 1)).await.unwrap();
    assert_eq!((metadata(&moved).primary_version, metadata(&moved).latest_version), (1, 2));
    assert_eq!(client.sign(sign("key", "text")).await.unwrap().version, 1);
    let third = client.rotate_key(rotate("key")).await.unwrap();
    assert_eq!(metadata(&third).primary_version, 3);
}

#[tokio::test]
async fn a_verb_is_guarded_repeated_and_tried_like_every_mutation() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let made = client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let stale = metadata(&made).etag.clone();
    client.rotate_key(rotate("key")).await.unwrap();
    for verb in Verb::ALL {
        let guarded = super::Turn { etag: stale.clone(), ..turn("key", &[1]) };
        assert_eq!(outcome(&verb.ask(&client, guarded).await), "Aborted ETAG_MISMATCH", "{verb:?}");
    }
    let before = client.get_key(full("key")).await.unwrap();
    let tried = super::Turn { validate_only: true, ..turn("key", &[]) };
    let tried = Verb::Disable.ask(&client, tried).await.unwrap();
    assert_eq!(metadata(&tried).state(), Disabled, "as it would be");
    assert_eq!(client.get_key(full("key")).await.unwrap(), before);

    let once = super::Turn { request_id: request_id(), ..turn("key", &[]) };
    let first = Verb::Disable.ask(&client, once.clone()).await.unwrap();
    Verb::Enable.ask(&client, turn("key", &[])).await.unwrap();
    assert_eq!(Verb::Disable.ask(&client, once.clone()).await.unwrap(), first);
    assert_eq!(states(&client, "key").await, [Enabled, Enabled]);
    let other = super::Turn { versions: vec![1], ..once };
    assert_eq!(outcome(&Verb::Disable.ask(&client, other).await), "InvalidArgument REQUEST_ID_REUSED");

    // What is as it is meant to be is no error, and no change.
    let shown = client.get_key(full("key")).await.unwrap();
    let same = Verb::Enable.ask(&client, turn("key", &[])).await.unwrap();
    assert_eq!(metadata(&same).etag, metadata(&shown).etag);
    let same = client.set_primary_version(lead("key", 2)).await.unwrap();
    assert_eq!(metadata(&same).etag, metadata(&shown).etag);
}

#[tokio::test]
async fn versions_are_named_once_and_exist() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let before = client.get_key(full("key")).await.unwrap();
    let many: Vec<u32> = (1..=101).collect();
    for (versions, expected) in [
        (&[0][..], "InvalidArgument FIELD_INVALID"),
        (&[1, 1], "InvalidArgument FIELD_INVALID"),
        (&many, "InvalidArgument FIELD_INVALID"),
        (&[2], "NotFound KEY_VERSION_NOT_FOUND"),
        (&[1, u32::MAX], "NotFound KEY_VERSION_NOT_FOUND"),
    ] {
        for verb in Verb::ALL {
            let refused = verb.ask(&client, turn("key", versions)).await;
            assert_eq!(outcome(&refused), expected, "{verb:?} {versions:?}");
        }
    }
    for (version, expected) in [(0, "InvalidArgument FIELD_REQUIRED"), (2, "NotFound KEY_VERSION_NOT_FOUND")]
    {
        assert_eq!(outcome(&client.set_primary_version(lead("key", version)).await), expected);
    }
    for verb in Verb::ALL {
        assert_eq!(outcome(&verb.ask(&client, turn("nobody", &[])).await), "NotFound KEY_NOT_FOUND");
    }
    assert_eq!(client.get_key(full("key")).await.unwrap(), before);
}

#[tokio::test]
async fn a_verb_is_on_record_with_its_versions_before_it_is_done() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    client.rotate_key(rotate("key")).await.unwrap();
    let before = home.audit().len();
    Verb::Disable.ask(&client, turn("key", &[1])).await.unwrap();
    Verb::Disable.ask(&client, turn("key", &[2])).await.unwrap_err();
    client.set_primary_version(lead("key", 2)).await.unwrap();
    let found: Vec<_> = home
        .audit()
        .split_off(before)
        .iter()
        .map(|record| {
            let of = |name: &str| record.get(name).map_or("-".to_owned(), ToString::to_string);
            [of("phase"), of("action"), of("versions"), of("version"), of("result")]
                .join(" ")
                .replace('"', "")
        })
        .collect();
    assert_eq!(
        found,
        [
            "intent disable-key - - -",
            "outcome disable-key [1] - ok",
            "intent disable-key - - -",
            "outcome disable-key [2] - PRIMARY_VERSION_REQUIRED",
            "intent set-primary-version - - -",
            "outcome set-primary-version - 2 ok",
        ]
    );
}

#[tokio::test]
async fn who_only_verifies_does_not_accept_what_others_know() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let verifier = gateway.client_of(&home.idp().token("checker", &["verifier"])).await;
    verifier.verify(verify("key", "text", "no signature")).await.unwrap();
    let accepting = proto::VerifyRequest { accept_compromised: true, ..verify("key", "text", "no") };
    let refused = verifier.verify(accepting.clone()).await;
    assert_eq!(outcome(&refused), "PermissionDenied KEY_ACCESS_DENIED");
    client.verify(accepting).await.unwrap();
    let record = home.audit().into_iter().find(|record| record["denied"] == "verify-compromised").unwrap();
    assert_eq!(
        (record["action"].as_str(), record["decision"].as_str()),
        (Some("verify-signature"), Some("deny"))
    );
}
