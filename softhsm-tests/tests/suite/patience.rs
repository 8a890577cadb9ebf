//! Callers who leave, bodies that never come, devices that take too long: what
//! one of them does must not be paid for by the others.

use std::time::Duration;

use skms::{
    client::{Client, ClientConfig},
    proto,
};
use skms_tests::gateway::{Gateway, Home};
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_types::StatusExt;

use crate::ask::{create, metadata, outcome, sign};

const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");

async fn hurried(gateway: &Gateway, call_timeout: Duration) -> Client {
    Client::connect(ClientConfig { call_timeout, ..gateway.client_config() }).await.unwrap()
}

#[tokio::test]
async fn callers_who_make_keys_and_leave_do_not_stop_those_who_sign() {
    let home = Home::software(PROGRAM).configured("threads = 2\nqueue = 16\n");
    // How much one may ask for is another matter.
    let gateway = home.start_with([("SKMS__RATES__CALLER__PER_SECOND", "0".into())]);
    let patient = gateway.client().await;
    patient.create_key(create("ec-p256", "signer", "soft")).await.unwrap();
    let hurried = hurried(&gateway, Duration::from_millis(50)).await;
    let mut makers = tokio::task::JoinSet::new();
    for number in 0..40 {
        let client = hurried.clone();
        makers
            .spawn(async move { client.create_key(create("rsa-4096", &format!("k{number}"), "soft")).await });
    }
    while makers.join_next().await.is_some() {}
    let signed = patient.sign(sign("signer", "hello")).await;
    assert!(signed.is_ok(), "{}", outcome(&signed));
    // What was not begun for its caller is not begun at all: when all is quiet,
    // there are the keys that were being made when their callers left, and no others.
    let keys = async || patient.list_keys(proto::ListKeysRequest::default()).await.unwrap().keys;
    let pending = |key: &proto::KeyResponse| metadata(key).state() == proto::KeyState::PendingGeneration;
    let quiet = loop {
        let keys = keys().await;
        if !keys.iter().any(pending) {
            break keys;
        }
    };
    let made = quiet.len() - 1;
    assert!(made <= 4, "{made} keys were made for nobody");
}

#[tokio::test]
async fn a_key_that_took_too_long_gives_its_names_back_at_once() {
    let home = Home::software(PROGRAM).configured("[limits]\ngenerate_timeout = \"10ms\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let mut request = create("rsa-4096", "slow", "soft");
    request.request_id = crate::ask::request_id();
    let late = outcome(&client.create_key(request.clone()).await);
    assert!(late.contains("BACKEND_TIMEOUT"), "{late}");
    let again = outcome(&client.create_key(request).await);
    assert!(again.contains("BACKEND_TIMEOUT"), "the same call may be made again: {again}");
    let other = client.create_key(create("ec-p256", "slow", "soft")).await;
    assert!(other.is_ok() || outcome(&other).contains("BACKEND_TIMEOUT"), "{}", outcome(&other));
}

#[tokio::test]
async fn a_body_that_never_comes_is_answered_at_the_deadline() {
    let limits = "[limits]\noperation_timeout = \"100ms\"\ngenerate_timeout = \"100ms\"\n";
    let home = Home::software(PROGRAM).configured(limits);
    let gateway = home.start();
    let channel = gateway.channel().await;
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let silence = tokio_stream::pending::<proto::SignRequest>();
    let path = PathAndQuery::from_static("/skms.v1.KeyManagement/SignMessage");
    let codec = tonic_prost::ProstCodec::<proto::SignRequest, proto::SignResponse>::default();
    let refused = grpc.client_streaming(Request::new(silence), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "BACKEND_TIMEOUT");
}

#[tokio::test]
async fn a_message_that_the_device_cannot_take_whole_is_too_large_and_no_failure() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = Home::new(PROGRAM).configured("[limits]\nmessage_bytes = 1048576\n");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "whole", "hsm")).await.unwrap();
    client.create_key(create("ec-p256", "hashed", "hsm")).await.unwrap();
    let refused = outcome(&client.sign(sign("whole", vec![0; 70_000])).await);
    assert!(refused.contains("PAYLOAD_TOO_LARGE"), "{refused}");
    client.sign(sign("whole", vec![0; 65_536])).await.unwrap();
    client.sign(sign("hashed", vec![0; 1_048_576])).await.unwrap();
}

#[tokio::test]
async fn a_page_fits_into_what_every_client_takes() {
    const KEYS: usize = 170;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for number in 0..KEYS {
        let mut request = create("ed25519", &format!("key-{number}"), "soft");
        request.metadata = (0..64).map(|label| (format!("{label:0>63}"), "v".repeat(256))).collect();
        client.create_key(request).await.unwrap();
    }
    let (mut seen, mut pages, mut token) = (0, 0, String::new());
    loop {
        let request = proto::ListKeysRequest { page_size: 1000, page_token: token, ..Default::default() };
        let page = client.list_keys(request).await.unwrap();
        assert!(prost::Message::encoded_len(&page) < 4 * 1024 * 1024);
        seen += page.keys.len();
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, KEYS);
    assert!(pages > 1, "the keys of this test fill more than one page");
}
