//! Streams that outlive what they began with: a token, a permission, the gateway.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use skms::{
    client::{Client, Token},
    proto,
};
use skms_tests::{
    gateway::{Gateway, Home},
    idp::{claims, now},
};

use super::{end, start, to_the_end};
use crate::ask::{PROGRAM, create, sign};

/// A gateway with a key, and a client in the name of a signer.
async fn ready(config: &str) -> (Home, Gateway, Client) {
    let home = Home::software(PROGRAM).configured(config);
    home.private("deny.toml", "");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let signer = client.with_token(Token::new(&home.idp().token("signer", &["signer"])).unwrap());
    (home, gateway, signer)
}

/// Signs on a stream until it ends, and says how.
async fn until_it_ends(client: &Client, then: impl AsyncFnOnce()) -> String {
    let (mut asking, mut answers) = client.sign_stream(start()).await.unwrap();
    asking.ask(sign("key", "first")).await.unwrap();
    answers.next().await.unwrap().unwrap().1.unwrap();
    then().await;
    loop {
        let _ = asking.ask(sign("key", "more")).await;
        match answers.next().await {
            Ok(Some((_, Ok(_)))) => {}
            // It was on its way when the time of the stream was over.
            Ok(Some((_, Err(late)))) if late.reason.as_deref() == Some("BACKEND_TIMEOUT") => {}
            Ok(Some((_, Err(failure)))) => return format!("item {}", failure.reason.unwrap()),
            Ok(None) => return "ok".to_owned(),
            Err(error) => return end::<()>(&Err(error)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_that_it_began_with() {
    let (home, _gateway, client) = ready("").await;
    let mut short = claims("signer", &["signer"]);
    // It is taken for the leeway of five seconds.
    (short["iat"], short["exp"]) = (json!(now() - 9), json!(now() - 2));
    let token = home.idp().sign(&home.idp().header(), &short);
    let client = client.with_token(Token::new(&token).unwrap());
    assert_eq!(until_it_ends(&client, async || ()).await, "Unauthenticated TOKEN_EXPIRED");
    let last = home.audit().pop().unwrap();
    assert_eq!((&last["result"], &last["action"]), (&json!("TOKEN_EXPIRED"), &json!("sign-message")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_caller_is_denied() {
    let (home, gateway, client) = ready("[auth]\ndeny_file = \"deny.toml\"\n").await;
    let deny = async || {
        home.replace("deny.toml", "subjects = [\"test/signer\"]\n");
        gateway.signal(Signal::HUP);
    };
    assert_eq!(until_it_ends(&client, deny).await, "Unauthenticated TOKEN_REVOKED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_are_asked_for_each_item() {
    let (home, gateway, client) = ready("").await;
    let forbid = async || {
        let policies = home.path().join("policies");
        let rule = "@id(\"frozen\")\nforbid (principal, action == Action::\"sign-message\", resource);\n";
        fs::write(policies.join("frozen.cedar"), rule).unwrap();
        gateway.signal(Signal::HUP);
    };
    assert_eq!(until_it_ends(&client, forbid).await, "item KEY_ACCESS_DENIED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_answers_what_a_stream_has_asked_for() {
    let (home, gateway, client) = ready("").await;
    let (mut asking, mut answers) = client.sign_stream(start()).await.unwrap();
    let (mut idle, mut silence) = client.verify_stream(proto::VerifyStreamStart::default()).await.unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = 0_u64;
        while asking.ask(sign("key", format!("{asked}"))).await.is_ok() {
            asked += 1;
        }
        asked
    });
    for _ in 0..200 {
        answers.next().await.unwrap().unwrap().1.unwrap();
    }
    gateway.signal(Signal::TERM);
    let mut signed = 200;
    let ended = loop {
        match answers.next().await {
            Ok(Some((_, answer))) => {
                answer.unwrap();
                signed += 1;
            }
            ended => break ended.map(drop),
        }
    };
    assert_eq!(end(&ended), "Unavailable SHUTTING_DOWN");
    assert_eq!(end(&silence.next().await.map(drop)), "Unavailable SHUTTING_DOWN");
    assert!(asked.await.unwrap() >= signed);
    idle.ask(proto::VerifyRequest::default()).await.unwrap_err();
    let mut gateway = gateway;
    assert!(tokio::task::spawn_blocking(move || gateway.ended()).await.unwrap().success());
    // Nothing was signed that nobody has.
    let records = home.audit();
    let made = records.iter().filter(|line| line["action"] == "sign-message" && line["result"] == "ok");
    assert_eq!(made.count(), usize::try_from(signed).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_for_as_long_as_it_may_and_not_longer() {
    let (_home, _gateway, client) =
        ready("[limits]\nstream_timeout = \"2s\"\noperation_timeout = \"1s\"\n").await;
    assert_eq!(until_it_ends(&client, async || ()).await, "DeadlineExceeded BACKEND_TIMEOUT");
}

/// Whoever leaves costs no place, and others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_its_streams_leaves_nothing_behind() {
    let (_home, _gateway, client) = ready("").await;
    for round in 0..200 {
        let (mut asking, mut answers) = client.sign_stream(start()).await.unwrap();
        for number in 0..round % 7 {
            asking.ask(sign("key", format!("{round} {number}"))).await.unwrap();
        }
        if round % 7 > 0 && round % 2 == 0 {
            let _ = answers.next().await;
        }
    }
    let (mut asking, mut answers) = client.sign_stream(start()).await.unwrap();
    asking.ask(sign("key", "last")).await.unwrap();
    drop(asking);
    let (order, answered) = to_the_end(&mut answers).await;
    assert_eq!((order, answered.values().all(Result::is_ok)), (vec![1], true));
}
