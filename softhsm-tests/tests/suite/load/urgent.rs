//! What is to be done before what others ask for.

use skms::{client::Token, proto};
use skms_tests::gateway::Home;

use crate::ask::{PROGRAM, create, outcome, sign};

fn urgent(message: &str) -> proto::SignRequest {
    proto::SignRequest { priority: proto::Priority::High.into(), ..sign("key", message.to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_be_first_takes_a_permission_of_its_own() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let admin = gateway.client().await;
    admin.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let signer = admin.clone().with_token(Token::new(&home.idp().token("signer", &["signer"])).unwrap());
    const DENIED: &str = "PermissionDenied KEY_ACCESS_DENIED";
    admin.sign(urgent("text")).await.unwrap();
    signer.sign(sign("key", "text")).await.unwrap();
    for priority in [proto::Priority::Low, proto::Priority::Normal] {
        let request = proto::SignRequest { priority: priority.into(), ..sign("key", "text") };
        signer.sign(request).await.unwrap();
    }
    assert_eq!(outcome(&signer.sign(urgent("text")).await), DENIED);
    let last = home.audit().pop().unwrap();
    assert_eq!((&last["action"], &last["denied"]), (&"sign-message".into(), &"raise-priority".into()));
    let large = proto::SignRequest { input: None, ..urgent("") };
    assert_eq!(outcome(&signer.sign_large(large.clone(), &b"text"[..]).await), DENIED);
    admin.sign_large(large, &b"text"[..]).await.unwrap();
    // In a batch it is one item; in a batch of all or nothing, all.
    let batch = |all_or_nothing| proto::BatchSignRequest {
        requests: vec![sign("key", "one"), urgent("two"), sign("key", "three")],
        all_or_nothing,
    };
    let signed = async |all_or_nothing| -> Vec<bool> {
        let results = signer.batch_sign(batch(all_or_nothing)).await.unwrap().results;
        let is_signed = |result: &proto::BatchSignResult| {
            matches!(result.result, Some(proto::batch_sign_result::Result::Response(_)))
        };
        results.iter().map(is_signed).collect()
    };
    assert_eq!(signed(false).await, [true, false, true]);
    assert_eq!(signed(true).await, [false, false, false]);
    let results = admin.batch_sign(batch(true)).await.unwrap().results;
    assert_eq!(results.len(), 3);
}
