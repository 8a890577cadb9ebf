//! A token that is taken out of its slot under load, and comes back with other handles.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use tokio::task::JoinSet;

use super::{chaos, home};
use crate::ask::{create, der_of, sign};

const ROUNDS: u64 = 10;
const CALLERS: u64 = 8;
/// How many calls are refused before the token comes back; with `SKMS_TEST_LONG`, it is away
/// for so long.
const REFUSED: u64 = 200;
const AWAY: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_back_is_found_again_with_one_login_and_signs_with_the_right_keys() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start();
    let client = gateway.client().await;
    let mut points = Vec::new();
    for key in 0..4 {
        let made = client.create_key(create("ec-p256", &format!("key-{key}"), "hsm")).await.unwrap();
        let der = der_of(&made.public_key);
        points.push(der[der.len() - 65..].to_vec());
    }
    let points = Arc::new(points);
    let (signed, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, points, stop) = (client.clone(), Arc::clone(&points), Arc::clone(&stop));
        let (signed, refused) = (Arc::clone(&signed), Arc::clone(&refused));
        callers.spawn(async move {
            let mut number = caller;
            while !stop.load(Ordering::Relaxed) {
                number += CALLERS;
                let key = usize::try_from(number % 4).unwrap();
                let message = format!("message {number}");
                match client.sign(sign(&format!("key-{key}"), message.clone())).await {
                    Ok(answer) => {
                        // With no other key than the one that was asked for.
                        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &points[key]);
                        public.verify(message.as_bytes(), &answer.signature).unwrap();
                        signed.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        let code = error.failure().unwrap().code;
                        assert_eq!(code, tonic::Code::Unavailable, "{error:?}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
    }
    let reached = async |counter: &AtomicU64, more: u64| {
        let from = counter.load(Ordering::Relaxed);
        while counter.load(Ordering::Relaxed) < from + more {
            tokio::task::yield_now().await;
        }
    };
    let is_long = std::env::var_os("SKMS_TEST_LONG").is_some();
    let away = if is_long { AWAY } else { Duration::ZERO };
    let (mut longest, mut most) = (Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        reached(&signed, 50).await;
        chaos(&home).tell("remove");
        let gone = Instant::now();
        reached(&refused, REFUSED).await;
        while gone.elapsed() < away {
            reached(&refused, 1).await;
        }
        let logins = chaos(&home).count("C_Login");
        chaos(&home).tell("insert");
        let begun = Instant::now();
        reached(&signed, 1).await;
        longest = longest.max(begun.elapsed());
        reached(&signed, 50).await;
        most = most.max(chaos(&home).count("C_Login") - logins);
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    println!(
        "a token removed and brought back {ROUNDS} times: back after {} ms at most, {most} logins for a return at most; {} signatures, each with its key, and {} refusals",
        longest.as_millis(),
        signed.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
    );
    assert!(most <= 1, "{most} logins");
    assert!(gateway.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_back_while_a_session_is_opened_is_logged_in_to_before_it_is_used() {
    if skms_tests::softhsm::left_out() {
        return;
    }
    let home = home();
    let gateway = home.start_with([("SKMS__BACKENDS__PKCS11__HSM__SESSIONS", "1".into())]);
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "hsm")).await.unwrap();
    let blink = || {
        chaos(&home).tell("remove");
        chaos(&home).tell("insert");
    };
    client.sign(sign("key", "before")).await.unwrap();
    // Whoever finds the session gone opens two: one for the login, one for itself.
    chaos(&home).tell("on C_OpenSession nth 2 hang");
    blink();
    let caller = client.clone();
    let signing = tokio::spawn(async move { caller.sign(sign("key", "message")).await });
    chaos(&home).tell("hanging 1");
    blink();
    chaos(&home).tell("release");
    signing.await.unwrap().unwrap();
    assert!(gateway.stop().await.success());
}
