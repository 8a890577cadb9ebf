//! Power cuts under load, and a TPM that does not answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use skms::client::Client;
use skms_tests::{
    gateway::{Gateway, Home},
    swtpm,
};
use tokio::task::JoinSet;

use crate::ask::{PROGRAM, create, outcome, sign, verify};

const CUTS: usize = 50;
const CALLERS: usize = 4;
/// Reached only by a gateway that does not come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a key signs, and says how long that took.
async fn recovered(client: &Client, key: &str) -> Duration {
    let begun = Instant::now();
    let signs = async { while client.sign(sign(key, "again")).await.is_err() {} };
    tokio::time::timeout(PATIENCE, signs).await.unwrap();
    begun.elapsed()
}

/// What callers have been promised.
#[derive(Default)]
struct Promised {
    keys: Mutex<Vec<String>>,
    signatures: AtomicUsize,
    stop: AtomicBool,
}

/// Makes keys and signs with them, whatever befalls the TPM.
async fn keeps_working(client: Client, caller: usize, promised: Arc<Promised>) {
    for round in 0.. {
        if promised.stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("caller-{caller}-{round}");
        if round % 8 == 0 && client.create_key(create("ec-p256", &key, "tpm")).await.is_ok() {
            promised.keys.lock().push(key);
        }
        let some = promised.keys.lock().get(round % 7).cloned();
        if let Some(key) = some
            && let Ok(signed) = client.sign(sign(&key, "text")).await
        {
            assert!(client.verify(verify(&key, "text", signed.signature)).await.unwrap().valid);
            promised.signatures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn ready() -> Option<(Home, Gateway)> {
    if swtpm::left_out() {
        return None;
    }
    // Callers who are refused ask again at once.
    let home = Home::every(PROGRAM).configured("[limits]\noperation_timeout = \"1s\"\n");
    let gateway = home.start();
    Some((home, gateway))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_power_cuts_lose_no_key_and_do_not_lock_the_tpm() {
    let Some((mut home, gateway)) = ready() else { return };
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "first", "tpm")).await.unwrap();
    let promised = Arc::<Promised>::default();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(keeps_working(gateway.client().await, caller, Arc::clone(&promised)));
    }
    let mut took = Vec::new();
    for _ in 0..CUTS {
        // Under load: something is signed between two cuts.
        let before = promised.signatures.load(Ordering::Relaxed);
        let busy = async {
            while promised.signatures.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, busy).await.unwrap();
        let tpm = home.tpm_mut().unwrap();
        tpm.kill();
        tpm.start();
        took.push(recovered(&client, "first").await);
    }
    promised.stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
    let keys = promised.keys.lock().clone();
    for key in keys.iter().map(String::as_str).chain(["first"]) {
        let signed = client.sign(sign(key, "still")).await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        assert!(client.verify(verify(key, "still", signed.signature)).await.unwrap().valid, "{key}");
    }
    assert_eq!(home.tpm().unwrap().lockout_counter(), 0);
    took.sort_unstable();
    println!(
        "{CUTS} power cuts: {} keys promised and all sign, {} signatures meanwhile; back after {:?} in the \
         middle, {:?} at worst",
        keys.len() + 1,
        promised.signatures.load(Ordering::Relaxed),
        took[CUTS / 2],
        took[CUTS - 1],
    );
    // The software stack of the TPM has something to say of every cut, and no line of the log.
    let log = gateway.log();
    let foreign: Vec<_> = log.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(foreign, Vec::<&str>::new());
    assert!(gateway.stop().await.success());
    assert_eq!(home.tpm().unwrap().handles(), Vec::<String>::new());
}

/// Whoever has to find out why a TPM does not answer asks for what its stack says of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_stack_of_the_tpm_logs_is_in_the_log_for_those_who_ask_for_it() {
    if swtpm::left_out() {
        return;
    }
    let mut home = Home::every(PROGRAM);
    let gateway = home.start_with([("SKMS__LOG__LEVEL", "info,tss2=debug".into())]);
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "tpm")).await.unwrap();
    home.tpm_mut().unwrap().kill();
    client.sign(sign("key", "text")).await.unwrap_err();
    let refused = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["target"] == "tss2" && line["message"].as_str().unwrap().contains("Failed to connect")
    };
    let told = async {
        while !gateway.log().lines().any(refused) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tpm_that_stands_still_costs_its_callers_their_time_and_nobody_else_any() {
    let Some((home, gateway)) = ready() else { return };
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
    }
    let tpm = home.tpm().unwrap();
    tpm.stand_still(true);
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        waiting.spawn(async move {
            let begun = Instant::now();
            let answer = client.sign(sign("tpm", "text")).await;
            (outcome(&answer), begun.elapsed())
        });
    }
    let mut others = 0;
    while waiting.try_join_next().is_none() {
        client.sign(sign("soft", "text")).await.unwrap();
        others += 1;
    }
    assert!(others > 10, "{others} signatures of another backend meanwhile");
    for (answer, took) in waiting.join_all().await {
        assert_eq!(answer, "DeadlineExceeded BACKEND_TIMEOUT");
        assert!(took < PATIENCE / 2, "{took:?}");
    }
    tpm.stand_still(false);
    recovered(&client, "tpm").await;
}
