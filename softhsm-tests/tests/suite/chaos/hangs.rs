//! A module that does not come back from a call.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use skms::client::{Client, ClientConfig};
use tokio::task::JoinSet;
use tonic::Code;

use super::{chaos, home};
use crate::ask::{create, sign};

/// How long the callers wait.
const PATIENCE: Duration = Duration::from_millis(400);
/// Many more than there are sessions.
const CALLERS: usize = 64;

/// How much later than its deadline each of these calls is answered.
async fn lateness(client: &Client) -> Duration {
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move {
            let begun = Instant::now();
            let late = client.sign(sign("hsm", format!("{number}"))).await.err().unwrap();
            assert_eq!(late.failure().unwrap().code, Code::DeadlineExceeded, "{late:?}");
            begun.elapsed().saturating_sub(PATIENCE)
        });
    }
    callers.join_all().await.into_iter().max().unwrap()
}

/// The 99th percentile of signatures in software, in microseconds.
async fn beside(client: &Client) -> u64 {
    let mut times = Histogram::<u64>::new(3).unwrap();
    for number in 0..300 {
        let begun = Instant::now();
        client.sign(sign("soft", format!("{number}"))).await.unwrap();
        times.record(u64::try_from(begun.elapsed().as_micros()).unwrap()).unwrap();
    }
    times.value_at_quantile(0.99)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_module_that_hangs_hears_at_the_deadline_and_others_wait_for_nothing() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in ["hsm", "soft"] {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    let config: ClientConfig = gateway.client_config().with_call_timeout(PATIENCE);
    let hurried = Client::connect(config).await.unwrap();
    let alone = beside(&client).await;
    // One call does not come back: the others have the other sessions.
    chaos(&home).tell("on C_Sign nth 1 hang");
    let one = client.clone();
    let hung = tokio::spawn(async move { one.sign(sign("hsm", "hung")).await });
    chaos(&home).tell("hanging 1");
    for number in 0..50 {
        client.sign(sign("hsm", format!("{number}"))).await.unwrap();
    }
    chaos(&home).tell("release");
    hung.await.unwrap().unwrap();
    // None comes back.
    chaos(&home).tell("clear");
    chaos(&home).tell("on C_Sign every hang");
    let late = lateness(&hurried).await;
    let meanwhile = beside(&client).await;
    chaos(&home).tell("clear");
    chaos(&home).tell("release");
    for number in 0..50 {
        client.sign(sign("hsm", format!("after {number}"))).await.unwrap();
    }
    println!(
        "{CALLERS} callers of a module that hangs: answered {} ms after their deadline at most; beside it p99 {alone} us alone and {meanwhile} us then",
        late.as_millis()
    );
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_hang_are_replaced_and_where_all_hang_callers_are_refused_at_once() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start_with([("SKMS__BACKENDS__PKCS11__HSM__HANG_LIMIT", "400ms".into())]);
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "hsm", "hsm")).await.unwrap();
    let pool = async || {
        let backends = client.list_backends().await.unwrap();
        backends.into_iter().find(|backend| backend.name == "hsm").unwrap().pool.unwrap()
    };
    let sessions = pool().await.contexts;
    let hang = async |calls: u32| {
        let mut hung = JoinSet::new();
        chaos(&home).tell("on C_Sign every hang");
        for _ in 0..calls {
            let client = client.clone();
            hung.spawn(async move { client.sign(sign("hsm", "hung")).await });
        }
        hung
    };
    let quarantined = async |number: u32| {
        while pool().await.quarantined != number {
            tokio::task::yield_now().await;
        }
    };
    // As many as there are sessions hang; others take their places.
    let hung = hang(sessions).await;
    quarantined(sessions).await;
    chaos(&home).tell("clear");
    for number in 0..50 {
        client.sign(sign("hsm", format!("{number}"))).await.unwrap();
    }
    // So do those; nobody takes theirs.
    let again = hang(sessions).await;
    quarantined(2 * sessions).await;
    let begun = Instant::now();
    let refused = client.sign(sign("hsm", "refused")).await.err().unwrap();
    let failure = refused.failure().unwrap();
    assert_eq!((failure.code, failure.reason.as_deref()), (Code::Unavailable, Some("BACKEND_UNAVAILABLE")));
    assert!(failure.retry_after.is_some(), "{failure:?}");
    let at_once = begun.elapsed();
    // The device comes back, and with it everything.
    chaos(&home).tell("clear");
    chaos(&home).tell("release");
    quarantined(0).await;
    for number in 0..50 {
        client.sign(sign("hsm", format!("after {number}"))).await.unwrap();
    }
    for ended in hung.join_all().await.into_iter().chain(again.join_all().await) {
        // Whoever still waits has the signature.
        ended.unwrap();
    }
    println!(
        "{} calls that hang: {sessions} sessions replaced, then refused after {} ms",
        2 * sessions,
        at_once.as_millis()
    );
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_open_holds_nobody_up() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "hsm", "hsm")).await.unwrap();
    // Every session is lost. The first that is opened then is that of the login.
    chaos(&home).tell("on C_OpenSession nth 2 hang");
    chaos(&home).tell("remove");
    chaos(&home).tell("insert");
    let one = client.clone();
    let hung = tokio::spawn(async move { one.sign(sign("hsm", "hung")).await });
    chaos(&home).tell("hanging 1");
    for number in 0..20 {
        client.sign(sign("hsm", format!("{number}"))).await.unwrap();
    }
    chaos(&home).tell("release");
    hung.await.unwrap().unwrap();
    assert!(gateway.stop().await.success());
}
