//! How much each may ask for: a caller, all callers of a key, and an address that
//! fails to prove who is there.

use bytes::Bytes;
use skms::{
    client::{Client, Token},
    proto,
};
use skms_tests::gateway::{Bearer, Gateway, Home};
use tonic::{
    Code, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::{
    ask::{PROGRAM, create, full, outcome, refusal, rotate, sign},
    refusals::raw,
};

/// The smallest share that a configuration may give, all of it at once, and next to
/// nothing that comes back.
const SHARE: &str = "{ per_second = 1, burst = 80000 }";
const UNLIMITED: &str = "{ per_second = 0 }";
const LIMITED: &str = "ResourceExhausted RATE_LIMITED";

/// Whose share it is by the details, and whether there is a time to come again.
fn quota(status: &Status) -> (String, bool) {
    assert_eq!(refusal(status), LIMITED);
    let details = status.get_error_details();
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    let retry = details.retry_info().unwrap().retry_delay;
    (violations[0].subject.clone(), retry.is_some_and(|after| !after.is_zero()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_has_used_up_its_share_waits_alone() {
    let home = Home::software(PROGRAM).configured(&format!("[rates]\ncaller = {SHARE}\n"));
    let gateway = home.start();
    let greedy = gateway.client_of(&home.idp().token("greedy", &["admin"])).await;
    let modest = gateway.client_of(&home.idp().token("modest", &["admin"])).await;
    greedy.create_key(create("ed25519", "key", "")).await.unwrap();
    // A list is the dearest of what makes a device do nothing.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut lists = greedy.key_management();
        calls.spawn(async move {
            loop {
                if let Err(status) = lists.list_keys(proto::ListKeysRequest::default()).await {
                    break status;
                }
            }
        });
    }
    while let Some(status) = calls.join_next().await {
        assert_eq!(quota(&status.unwrap()), ("caller".to_owned(), true));
    }
    // It is known by its name and not by its token or connection.
    let again = gateway.client_of(&home.idp().token("greedy", &["admin"])).await;
    assert_eq!(outcome(&again.list_keys(proto::ListKeysRequest::default()).await), LIMITED);
    // To be told that there is no such method is an answer like others.
    let bearer = Bearer::new(&home.idp().token("greedy", &["admin"]));
    let channel = Endpoint::from_shared(gateway.endpoint()).unwrap().connect().await.unwrap();
    let channel = InterceptedService::new(channel, bearer);
    let mut last = None;
    // Less is left than a list costs, and little comes back.
    for _ in 0..60 {
        last = raw::call(channel.clone(), "/skms.v1.KeyManagement/Explode", Bytes::new()).await.err();
    }
    assert_eq!(quota(&last.unwrap()), ("caller".to_owned(), true));
    modest.list_keys(proto::ListKeysRequest::default()).await.unwrap();
    modest.sign(sign("key", "text")).await.unwrap();
    let refused = home.audit().into_iter().filter(|record| record["result"] == "RATE_LIMITED");
    assert!(refused.count() > 0, "nothing is on record");
}

#[tokio::test]
async fn a_key_has_a_share_of_its_own_whoever_uses_it() {
    let config = format!("[rates]\ncaller = {UNLIMITED}\nkey = {SHARE}\n");
    let home = Home::software(PROGRAM).configured(&config);
    let gateway = home.start();
    let admin = gateway.client().await;
    for key in ["wanted", "other"] {
        admin.create_key(create("rsa-2048", key, "")).await.unwrap();
    }
    // Making a version is what costs most.
    let refused = loop {
        if let Err(status) = admin.key_management().rotate_key(rotate("wanted")).await {
            break status;
        }
    };
    assert_eq!(quota(&refused), ("key".to_owned(), true));
    let signer = gateway.client_of(&home.idp().token("signer", &["signer"])).await;
    // What was too little for a version may do for some signatures.
    let refused = loop {
        let answer = outcome(&signer.sign(sign("wanted", "text")).await);
        if answer == LIMITED || !answer.starts_with("SignResponse") {
            break answer;
        }
    };
    assert_eq!(refused, LIMITED);
    // To look at it costs nothing of its share, and the others have theirs.
    signer.get_key(full("wanted")).await.unwrap();
    signer.sign(sign("other", "text")).await.unwrap();
    let results: Vec<_> = home.audit().iter().map(|record| record["result"].clone()).collect();
    assert!(results.contains(&"RATE_LIMITED".into()), "nothing is on record");
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_not_listened_to_but_its_known_callers_are() {
    let home = Home::software(PROGRAM).configured("[rates]\nfailed_authentications_per_minute = 2\n");
    let gateway = home.start();
    let (known, stranger) = (home.idp().token("known", &["admin"]), home.idp().token("stranger", &["admin"]));
    let known = gateway.client_of(&known).await;
    known.server_info().await.unwrap();

    let guess = async |client: &Client| {
        let told = client.clone().with_token(Token::new("a.guess.of").unwrap()).server_info().await;
        outcome(&told)
    };
    for _ in 0..3 {
        assert_eq!(guess(&known).await, "Unauthenticated TOKEN_MALFORMED");
    }
    assert_eq!(guess(&known).await, LIMITED);
    // It is the address that is shut out: with another connection and good proof, too.
    let unheard = gateway.client_of(&stranger).await;
    let status = unheard.system().get_server_info(proto::GetServerInfoRequest {}).await.unwrap_err();
    assert_eq!(quota(&status), ("address".to_owned(), true));
    assert_eq!(status.code(), Code::ResourceExhausted);
    // Who was known before goes on, and so do other addresses and local users.
    known.server_info().await.unwrap();
    known.create_key(create("ed25519", "key", "")).await.unwrap();
    from(&gateway, "127.0.0.9", &stranger).await.unwrap();
    let endpoint = format!("unix:{}", gateway.socket().display()).parse().unwrap();
    let local = Client::connect(skms::client::ClientConfig::new(endpoint)).await.unwrap();
    local.server_info().await.unwrap();
    assert_eq!(guess(&local).await, "Unauthenticated TOKEN_MALFORMED");
    local.server_info().await.unwrap();
}

/// Asks from another address of this machine.
async fn from(gateway: &Gateway, address: &str, token: &str) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(gateway.endpoint()).unwrap();
    let channel: Channel = endpoint.local_address(address.parse().ok()).connect().await.unwrap();
    let channel = InterceptedService::new(channel, Bearer::new(token));
    let mut client = proto::system_service_client::SystemServiceClient::new(channel);
    client.get_server_info(proto::GetServerInfoRequest {}).await.map(drop)
}
