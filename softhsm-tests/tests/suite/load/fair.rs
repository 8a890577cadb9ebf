//! One who wants everything, and one who wants little.

use std::time::Instant;

use skms::{
    client::{Client, Token},
    proto,
};
use skms_tests::gateway::{Gateway, Home};
use tokio::{sync::watch, task::JoinSet};

use super::Times;
use crate::ask::{PROGRAM, create, sign};

const CALLS: usize = 300;

async fn as_caller(home: &Home, gateway: &Gateway, name: &str, roles: &[&str]) -> Client {
    gateway.client().await.with_token(Token::new(&home.idp().token(name, roles)).unwrap())
}

/// One signature after the other.
async fn modest(client: &Client) -> Times {
    let mut times = Times::new();
    for number in 0..CALLS {
        let begun = Instant::now();
        client.sign(sign("key", format!("{number}"))).await.unwrap();
        times.add(begun.elapsed());
    }
    times
}

/// Batches of a thousand, four at a time, until it is stopped.
fn greedy(client: &Client, stop: &watch::Sender<bool>) -> JoinSet<u64> {
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (client, stop) = (client.clone(), stop.clone());
        callers.spawn(async move {
            let mut signed = 0;
            let mut stop = stop.subscribe();
            while !*stop.borrow() {
                let requests = (0..1000).map(|item| sign("key", format!("{item}"))).collect();
                let request = proto::BatchSignRequest { requests, ..Default::default() };
                let made = client.batch_sign(request);
                tokio::select! {
                    _ = stop.changed() => {}
                    results = made => signed += results.unwrap().results.len() as u64,
                }
            }
            signed
        });
    }
    callers
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_asks_for_everything_leaves_one_who_asks_for_little_its_turn() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let admin = gateway.client().await;
    admin.create_key(create("rsa-2048", "key", "soft")).await.unwrap();
    let one = as_caller(&home, &gateway, "modest", &["signer"]).await;
    let other = as_caller(&home, &gateway, "greedy", &["signer"]).await;
    let alone = modest(&one).await;
    let stop = watch::Sender::new(false);
    let crowd = greedy(&other, &stop);
    // Until the other has its share of every place.
    for _ in 0..20 {
        one.sign(sign("key", "warm")).await.unwrap();
    }
    let beside = modest(&one).await;
    stop.send_replace(true);
    crowd.join_all().await;
    println!(
        "one signature after the other, RSA-2048: p50 {:.1} ms and p99 {:.1} ms alone, {:.1} ms and {:.1} ms beside four batches of a thousand",
        alone.millis(0.5),
        alone.millis(0.99),
        beside.millis(0.5),
        beside.millis(0.99),
    );
}

/// A role with a weight has as many more turns, where both want all.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_more_weight_gets_more() {
    const SIGNATURES: u64 = 800;
    let home = Home::software(PROGRAM).configured("[rates]\nweights = { payments = 8 }\n");
    let gateway = home.start();
    let admin = gateway.client().await;
    admin.create_key(create("rsa-4096", "key", "soft")).await.unwrap();
    let stop = watch::Sender::new(false);
    let (counted, mut counts) = tokio::sync::mpsc::unbounded_channel();
    let mut callers = JoinSet::new();
    for (number, roles) in [&["signer"][..], &["signer", "payments"]].into_iter().enumerate() {
        let client = as_caller(&home, &gateway, &format!("caller-{number}"), roles).await;
        // Many more than there are threads, so that both always wait.
        for _ in 0..48 {
            let (client, stop, counted) = (client.clone(), stop.subscribe(), counted.clone());
            callers.spawn(async move {
                while !*stop.borrow() {
                    client.sign(sign("key", "text")).await.unwrap();
                    let _ = counted.send(number);
                }
            });
        }
    }
    let mut signed = [0_u64; 2];
    while signed.iter().sum::<u64>() < SIGNATURES {
        signed[counts.recv().await.unwrap()] += 1;
    }
    stop.send_replace(true);
    callers.join_all().await;
    println!("{} signatures without a weight, {} with a weight of 8", signed[0], signed[1]);
    assert!(signed[1] > 3 * signed[0], "{signed:?}");
}
