//! A gateway that is restarted again and again, behind a socket that goes on listening.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skms::{
    client::{Client, ClientConfig, Retry},
    proto,
};
use skms_tests::{activated::Outlives, gateway::Home};
use tokio::{sync::watch, task::JoinSet};

use super::Verifier;
use crate::ask::{PROGRAM, create, full, sign};

const RESTARTS: u64 = 6;
const CALLERS: u64 = 8;
/// What is done between two restarts, at least.
const CALLS: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_load_fails_no_call_and_loses_nothing() {
    let home = Home::new(PROGRAM);
    let socket = Outlives::new();
    let mut gateway = home.start_on(&socket);
    assert_eq!(gateway.endpoint(), format!("http://{}", socket.address()));
    // One more try than none.
    let retry = Retry { attempts: 2, first_wait: Duration::from_millis(50), ..Retry::default() };
    let config: ClientConfig = gateway.client_config().with_retry(retry);
    let client = Client::connect(config).await.unwrap();
    let key = client.create_key(create("ec-p256", "key", "")).await.unwrap();
    let verifier = Verifier::of(&key);
    let (done, stop) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, verifier) = (client.clone(), verifier.clone());
        let (done, stop) = (Arc::clone(&done), stop.subscribe());
        callers.spawn(async move {
            let (mut made, mut number) = (Vec::new(), 0_u64);
            while !*stop.borrow() {
                let message = format!("{caller} {number}");
                if number % 16 == 0 {
                    let id = format!("key-{caller}-{number}");
                    made.push(client.create_key(create("ec-p256", &id, "soft")).await.unwrap().id);
                } else {
                    let signed = client.sign(sign("key", message.clone())).await.unwrap();
                    verifier.demand(message.as_bytes(), &signed.signature);
                }
                done.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
            made
        });
    }
    for restart in 1..=RESTARTS {
        while done.load(Ordering::Relaxed) < restart * CALLS {
            assert!(callers.try_join_next().is_none(), "a call failed");
            tokio::task::yield_now().await;
        }
        assert!(gateway.stop().await.success());
        gateway = home.start_on(&socket);
    }
    stop.send_replace(true);
    let made: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    for id in &made {
        assert_eq!(client.get_key(full(id)).await.unwrap().id, *id);
    }
    let all =
        client.list_keys(proto::ListKeysRequest { page_size: 1000, ..Default::default() }).await.unwrap();
    assert_eq!(all.keys.len(), made.len() + 1);
    println!(
        "{} calls over {RESTARTS} restarts, none failed; {} keys made, none lost and none twice",
        done.load(Ordering::Relaxed),
        made.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_is_configured_for_is_named() {
    let home = Home::software(PROGRAM);
    let socket = Outlives::new();
    let mut command = socket.command(std::path::Path::new(PROGRAM));
    command.env("LISTEN_FDNAMES", "other").args(["serve", "--config"]).arg(home.config());
    let ended = crate::program::run(command, b"");
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let address = socket.address().to_string();
    assert!(
        ended.stderr.contains(&address) && ended.stderr.contains("no listener is configured"),
        "{ended:?}"
    );
}
