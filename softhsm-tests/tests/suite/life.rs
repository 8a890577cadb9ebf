//! The life of a gateway: it starts, serves, stops, and remembers.

use skms::proto;
use skms_tests::gateway::Home;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");

#[tokio::test]
async fn a_watcher_of_health_is_told_and_does_not_delay_the_stop() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut watching =
        client.health_checks().watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let serving = watching.message().await.unwrap().unwrap();
    assert_eq!(serving.status(), ServingStatus::Serving);
    gateway.signal(rustix::process::Signal::TERM);
    let mut told = Vec::new();
    while let Ok(Some(answer)) = watching.message().await {
        told.push(answer.status());
    }
    assert_eq!(told.last(), Some(&ServingStatus::NotServing));
    let log = gateway.log_to_the_end().await;
    assert!(log.contains("\"stopped\"") && !log.contains("grace"), "{log}");
}

#[tokio::test]
async fn keys_survive_a_restart_and_sign_as_before() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let request = proto::CreateKeyRequest {
            key_type: "ec-p256".into(),
            key_id: format!("key-{backend}"),
            params: Some(proto::KeyParams { backend: backend.into(), ..Default::default() }),
            ..Default::default()
        };
        client.create_key(request).await.unwrap();
    }
    assert!(gateway.stop().await.success());
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let request = proto::SignRequest {
            key_id: format!("key-{backend}"),
            input: Some(proto::sign_request::Input::Message("hello".into())),
            ..Default::default()
        };
        let signed = client.sign(request).await.unwrap();
        let request = proto::VerifyRequest {
            key_id: format!("key-{backend}"),
            input: Some(proto::verify_request::Input::Message("hello".into())),
            signature: signed.signature,
            ..Default::default()
        };
        assert!(client.verify(request).await.unwrap().valid);
    }
}
