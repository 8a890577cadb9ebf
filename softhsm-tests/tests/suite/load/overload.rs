//! Many times as much as there is room for.

use std::{
    fs,
    time::{Duration, Instant},
};

use skms::client::{Client, Error};
use skms_tests::gateway::Home;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{PATIENCE, Times};
use crate::ask::{PROGRAM, create, sign};

/// How long more is asked for than can be done; with `SKMS_TEST_LONG`, a minute.
const SHORT: Duration = Duration::from_secs(8);
const LONG: Duration = Duration::from_secs(60);
const CONNECTIONS: usize = 4;
/// How many times as much.
const TIMES: u32 = 5;

/// The memory of a process now, in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How many signatures a second there are, where there is always one more to make.
async fn capacity(client: &Client) -> f64 {
    const CALLS: u32 = 400;
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..32 {
        let client = client.clone();
        callers.spawn(async move {
            for _ in 0..CALLS / 32 {
                client.sign(sign("key", "text")).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    f64::from(CALLS / 32 * 32) / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_at_once_and_the_rest_is_done() {
    let unlimited = "{ per_second = 0 }";
    let rates = format!("[rates]\ncaller = {unlimited}\nkey = {unlimited}\n");
    let home = Home::software(PROGRAM).configured(&rates);
    let gateway = home.start_with([("SKMS__BACKENDS__SOFTWARE__SOFT__QUEUE", "64".into())]);
    // Of one connection no more than its streams would get there at once.
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(gateway.client().await);
    }
    let client = &clients[0];
    client.create_key(create("rsa-4096", "key", "soft")).await.unwrap();
    let capacity = capacity(client).await;
    let before = memory(gateway.pid());
    let lasts = if std::env::var_os("SKMS_TEST_LONG").is_some() { LONG } else { SHORT };
    // Calls come whether or not others were answered.
    let mut ticks = interval(Duration::from_secs(1).div_f64(capacity * f64::from(TIMES)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (ended, mut outcomes) = mpsc::unbounded_channel();
    let begun = Instant::now();
    let mut asked = 0_u32;
    while begun.elapsed() < lasts {
        ticks.tick().await;
        asked += 1;
        let client = clients[usize::try_from(asked).unwrap() % CONNECTIONS].clone();
        let ended = ended.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let outcome = client.sign(sign("key", "text")).await;
            let _ = ended.send((outcome, begun.elapsed()));
        });
    }
    let during = memory(gateway.pid());
    drop(ended);
    let (mut done, mut refused) = (Times::new(), Times::new());
    let all = async {
        while let Some((outcome, time)) = outcomes.recv().await {
            match outcome {
                Ok(_) => done.add(time),
                Err(error) => {
                    demand_room(&error);
                    refused.add(time);
                }
            }
        }
    };
    timeout(PATIENCE, all).await.unwrap();
    let took = begun.elapsed();
    let goodput = done.0.len() as f64 / took.as_secs_f64();
    println!(
        "{capacity:.0} RSA-4096 signatures a second alone; {asked} asked for in {:.0} s, {TIMES} times as many: {goodput:.0} a second done ({:.0} %), p99 {:.0} ms; {} refused, p50 {:.1} ms, p99 {:.0} ms; {before} KiB before, {during} KiB then",
        took.as_secs_f64(),
        100.0 * goodput / capacity,
        done.millis(0.99),
        refused.0.len(),
        refused.millis(0.5),
        refused.millis(0.99),
    );
    assert_eq!(done.0.len() + refused.0.len(), u64::from(asked));
    assert!(refused.0.len() > u64::from(asked) / 4, "too little was asked for");
    // What waits is bounded by the streams of the connections, and so is what it takes.
    assert!(during.saturating_sub(before) < 128 * 1024, "{before} KiB, {during} KiB");
    client.sign(sign("key", "after")).await.unwrap();
}

/// That it was refused for want of room, and told when to come again.
fn demand_room(error: &Error) {
    let failure = error.failure().unwrap();
    assert_eq!(failure.reason.as_deref(), Some("BACKEND_QUEUE_FULL"), "{error:?}");
    assert!(failure.retry_after.is_some_and(|after| !after.is_zero()), "{error:?}");
}
