//! Calls that are repeated under one request id: one key, one answer.

use skms::{client::Client, proto};
use skms_tests::gateway::Home;
use tokio::task::JoinSet;

use crate::ask::{PROGRAM, create, full, metadata, outcome, request_id, rotate, sign};

#[tokio::test]
async fn a_repeated_call_gets_the_very_same_answer() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut calls = Vec::new();
    for backend in home.backends() {
        let made = proto::CreateKeyRequest {
            request_id: request_id(),
            metadata: [("env".into(), "prod".into())].into(),
            ..create("ec-p256", "", backend)
        };
        let key = client.create_key(made.clone()).await.unwrap();
        let turned = proto::RotateKeyRequest { request_id: request_id(), ..rotate(&key.id) };
        let rotated = client.rotate_key(turned.clone()).await.unwrap();
        // Neither a later rotation nor a restart changes what was answered.
        client.rotate_key(rotate(&key.id)).await.unwrap();
        calls.push((made, key, turned, rotated));
    }
    let objects = home.softhsm().map(|token| (token.list(), token.object_files()));
    again(&client, &calls).await;
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let client = gateway.client().await;
    again(&client, &calls).await;
    assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), objects);
    for (_, key, ..) in &calls {
        let shown = client.get_key(full(&key.id)).await.unwrap();
        assert_eq!(metadata(&shown).versions.len(), 3);
        assert_eq!(client.sign(sign(&key.id, "text")).await.unwrap().version, 3);
    }
}

type Calls = [(proto::CreateKeyRequest, proto::KeyResponse, proto::RotateKeyRequest, proto::KeyResponse)];

async fn again(client: &Client, calls: &Calls) {
    for (made, key, turned, rotated) in calls {
        assert_eq!(client.create_key(made.clone()).await.unwrap(), *key);
        assert_eq!(client.rotate_key(turned.clone()).await.unwrap(), *rotated);
    }
}

#[tokio::test]
async fn a_request_id_is_for_one_request() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let id = request_id();
        let first = proto::CreateKeyRequest { request_id: id.clone(), ..create("ec-p256", "", backend) };
        let key = client.create_key(first.clone()).await.unwrap();
        let objects = home.softhsm().map(|token| (token.list(), token.object_files()));
        let reused = "InvalidArgument REQUEST_ID_REUSED";
        for other in [
            proto::CreateKeyRequest { key_type: "ed25519".into(), ..first.clone() },
            proto::CreateKeyRequest { key_id: "named".into(), ..first.clone() },
            proto::CreateKeyRequest { metadata: [("a".into(), "b".into())].into(), ..first.clone() },
            proto::CreateKeyRequest { params: None, ..first.clone() },
        ] {
            assert_eq!(outcome(&client.create_key(other).await), reused);
        }
        assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), objects);
        // Another method has ids of its own.
        let turned = proto::RotateKeyRequest { request_id: id, ..rotate(&key.id) };
        let rotated = client.rotate_key(turned.clone()).await.unwrap();
        assert_eq!(metadata(&rotated).primary_version, 2);
        let other = proto::RotateKeyRequest { stage_only: true, ..turned };
        assert_eq!(outcome(&client.rotate_key(other).await), reused);
    }
}

#[tokio::test]
async fn the_same_call_many_times_at_once_makes_one_key() {
    const CALLERS: usize = 16;
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let request = proto::CreateKeyRequest { request_id: request_id(), ..create("ec-p256", "", backend) };
        let mut calls = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, request) = (client.clone(), request.clone());
            calls.spawn(async move { client.create_key(request).await });
        }
        let answers = calls.join_all().await;
        let key = client.create_key(request).await.unwrap();
        for answer in answers {
            match answer {
                Ok(answer) => assert_eq!(answer, key),
                // The first is still at work: a later try gets its answer.
                refused => assert_eq!(outcome(&refused), "Aborted CONCURRENT_MODIFICATION"),
            }
        }
        let filter = format!("backend = {backend}");
        let listed = client.list_keys(proto::ListKeysRequest { filter, ..Default::default() }).await.unwrap();
        assert_eq!(listed.keys.len(), 1);
    }
    if let Some(token) = home.softhsm() {
        assert_eq!(token.list().iter().filter(|object| object.class == "private-key").count(), 1);
    }
}

#[tokio::test]
async fn a_call_that_failed_leaves_its_ids_free() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let (key, id) = (format!("{backend}.key"), request_id());
        client.create_key(create("ed25519", &format!("{backend}.other"), backend)).await.unwrap();
        // Refused for its alias, when its id was already found to be free.
        let mut wrong =
            proto::CreateKeyRequest { request_id: id.clone(), ..create("ec-p256", &key, backend) };
        wrong.params.as_mut().unwrap().aliases = vec![format!("{backend}.other")];
        assert_eq!(outcome(&client.create_key(wrong).await), "AlreadyExists KEY_ALREADY_EXISTS");
        let right = proto::CreateKeyRequest { request_id: id, ..create("ec-p256", &key, backend) };
        assert_eq!(client.create_key(right).await.unwrap().id, key);

        let id = request_id();
        let wrong =
            proto::RotateKeyRequest { expected_primary_version: 9, request_id: id.clone(), ..rotate(&key) };
        assert_eq!(outcome(&client.rotate_key(wrong).await), "Aborted PRIMARY_VERSION_CHANGED");
        let right = proto::RotateKeyRequest { request_id: id, ..rotate(&key) };
        assert_eq!(metadata(&client.rotate_key(right).await.unwrap()).primary_version, 2);
    }
}

/// Making a key under an id that is taken is an error, unless it is the same call.
#[tokio::test]
async fn only_validating_uses_up_no_request_id() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let real = proto::CreateKeyRequest { request_id: request_id(), ..create("ec-p256", "key", "") };
    let only = proto::CreateKeyRequest { validate_only: true, ..real.clone() };
    client.create_key(only).await.unwrap();
    let key = client.create_key(real.clone()).await.unwrap();
    assert_eq!(metadata(&key).primary_version, 1);
    assert_eq!(client.create_key(real.clone()).await.unwrap(), key);
    let without = proto::CreateKeyRequest { request_id: String::new(), ..real };
    assert_eq!(outcome(&client.create_key(without).await), "AlreadyExists KEY_ALREADY_EXISTS");
}

/// A name may mean another key by the time at which a call is repeated.
#[tokio::test]
async fn who_repeats_a_call_by_a_name_that_moved_learns_of_the_key_it_meant_only_if_it_may() {
    let home = Home::software(PROGRAM);
    home.private(
        "policies/teams.cedar",
        "permit (principal in Role::\"lead\",\n  action in [Action::\"rotate-key\", Action::\"disable-key\", \
         Action::\"list-keys\"], resource is Key)\n\
         when { resource.hasTag(\"team\") && resource.getTag(\"team\") == \"red\" };\n",
    );
    let gateway = home.start();
    let admin = gateway.client().await;
    for key in ["first", "second"] {
        let mut request = create("ed25519", key, "");
        request.metadata.insert("team".into(), "red".into());
        admin.create_key(request).await.unwrap();
    }
    let said = |key: &str, path: &str, params: proto::KeyParams, team: &str| proto::UpdateKeyRequest {
        key_id: key.into(),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.into()] }),
        metadata: Some(proto::KeyMetadata {
            params: Some(params),
            labels: [("team".to_owned(), team.to_owned())].into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let named = |key: &str| {
        let params = proto::KeyParams { aliases: vec!["current".into()], ..Default::default() };
        said(key, "params.aliases", params, "red")
    };
    admin.update_key(named("first")).await.unwrap();
    let lead = gateway.client_of(&home.idp().token("lead", &["lead"])).await;
    let turned = proto::RotateKeyRequest { request_id: request_id(), ..rotate("current") };
    let disabled =
        proto::DisableKeyRequest { key_id: "current".into(), request_id: request_id(), ..Default::default() };
    let rotated = lead.rotate_key(turned.clone()).await.unwrap();
    assert_eq!(rotated.id, "first");
    lead.disable_key(disabled.clone()).await.unwrap();
    admin.update_key(named("second")).await.unwrap();
    // It may do so with both.
    assert_eq!(lead.rotate_key(turned.clone()).await.unwrap(), rotated);
    assert_eq!(lead.disable_key(disabled.clone()).await.unwrap().id, "first");
    admin.update_key(said("first", "labels", proto::KeyParams::default(), "blue")).await.unwrap();
    assert_eq!(outcome(&lead.rotate_key(turned).await), "NotFound KEY_NOT_FOUND");
    assert_eq!(outcome(&lead.disable_key(disabled).await), "NotFound KEY_NOT_FOUND");
    let shown = admin.get_key(full("second")).await.unwrap();
    assert_eq!((metadata(&shown).latest_version, metadata(&shown).state()), (1, proto::KeyState::Enabled));
}
