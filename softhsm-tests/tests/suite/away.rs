//! A token that is pulled out, and comes back: its keys are shown and verified
//! with, nothing else stops, and no key goes to a weaker backend meanwhile.

use std::{fs, time::Duration};

use skms::{client::Client, proto};
use skms_tests::gateway::Home;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::ask::{PROGRAM, create, full, metadata, outcome, request_id, sign, verify};

/// Reached only where the gateway never finds out.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the lists name these backends as unreachable.
async fn unreachable(client: &Client, names: &[&str]) {
    let found = async {
        while client.list_keys(proto::ListKeysRequest::default()).await.unwrap().unreachable != names {}
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_away_is_an_error_and_never_a_reason_to_protect_less() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home =
        Home::new(PROGRAM).configured("[health]\nprobe_interval = \"100ms\"\nprobe_timeout = \"100ms\"\n");
    let gateway = home.start_with([("SKMS__CATALOG__SWEEP_INTERVAL", "100ms".into())]);
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    let signature = client.sign(sign("hsm", "text")).await.unwrap().signature;
    unreachable(&client, &[]).await;

    let token = fs::read_dir(home.softhsm().unwrap().token_dir()).unwrap().next().unwrap().unwrap().path();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&token, &elsewhere).unwrap();
    unreachable(&client, &["hsm"]).await;
    assert_eq!(client.health("backend/hsm").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(client.health("backend/soft").await.unwrap(), ServingStatus::Serving);
    assert_eq!(client.health("").await.unwrap(), ServingStatus::Serving, "one backend answers");
    let shown = client.get_backend("hsm").await.unwrap();
    assert_eq!(shown.availability(), proto::BackendAvailability::Unavailable);
    let shown = client.get_key(full("hsm")).await.unwrap();
    assert_eq!(metadata(&shown).availability(), proto::BackendAvailability::Unavailable);
    assert_eq!(metadata(&shown).state(), proto::KeyState::Enabled, "away is no state");
    // Verifying needs no device.
    assert!(client.verify(verify("hsm", "text", signature)).await.unwrap().valid);
    let named = proto::CreateKeyRequest { request_id: request_id(), ..create("ec-p256", "named", "hsm") };
    // Neither the named backend nor the order of placement falls back.
    let away = [
        client.sign(sign("hsm", "text")).await.err(),
        client.create_key(named.clone()).await.err(),
        client.create_key(create("ec-p256", "placed", "")).await.err(),
        client.rotate_key(crate::ask::rotate("hsm")).await.err(),
    ];
    for error in away {
        let failure = error.unwrap();
        let failure = failure.failure().unwrap();
        assert_eq!(failure.code, Code::Unavailable, "{failure:?}");
        assert!(failure.reason.is_some() && failure.retry_after.is_some(), "{failure:?}");
        assert_eq!(failure.metadata.get("backend").map(String::as_str), Some("hsm"), "{failure:?}");
    }
    client.sign(sign("soft", "text")).await.unwrap();

    fs::rename(&elsewhere, &token).unwrap();
    unreachable(&client, &[]).await;
    client.sign(sign("hsm", "text")).await.unwrap();
    assert_eq!(client.health("backend/hsm").await.unwrap(), ServingStatus::Serving);
    // What failed meanwhile left its ids free, once the sweep has looked at the token.
    let made = tokio::time::timeout(PATIENCE, made(&client, named)).await.unwrap();
    assert_eq!((made.id.as_str(), metadata(&made).primary_version), ("named", 1));
}

/// Asks for a key until nothing of an earlier try stands in the way.
async fn made(client: &Client, request: proto::CreateKeyRequest) -> proto::KeyResponse {
    loop {
        match client.create_key(request.clone()).await {
            Ok(key) => return key,
            refused => assert_eq!(outcome(&refused), "Aborted CONCURRENT_MODIFICATION"),
        }
    }
}
