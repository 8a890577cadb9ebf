//! The life of a gateway: it starts, serves, stops, and remembers.

use skms::proto;
use skms_tests::gateway::Home;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");

#[tokio::test]
async fn keys_survive_a_restart_and_sign_as_before() {
    let home = Home::new(PROGRAM);
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
