//! A stop: what was accepted is answered, nobody is kept waiting, and the process
//! says by its exit status how it went.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use skms::client::Client;
use skms_tests::gateway::{Gateway, Home};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::Code;

use crate::ask::{PROGRAM, create, sign, verify};

/// Far above what a stop without work takes, and below any grace or keep-alive.
const QUICK: Duration = Duration::from_secs(3);

async fn ended(mut gateway: Gateway) -> (std::process::ExitStatus, Gateway) {
    tokio::task::spawn_blocking(move || (gateway.ended(), gateway)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_flight_are_answered_when_the_gateway_is_told_to_stop() {
    const CALLERS: usize = 64;
    for signal in [Signal::TERM, Signal::INT] {
        let home = Home::new(PROGRAM);
        let gateway = home.start();
        let first = gateway.client().await;
        for backend in home.backends() {
            first.create_key(create("rsa-2048", backend, backend)).await.unwrap();
        }
        let mut clients = vec![first];
        for _ in 1..4 {
            clients.push(gateway.client().await);
        }
        let backends = home.backends();
        let (answered, mut answers) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let client = clients[caller % clients.len()].clone();
            callers.spawn(until_refused(client, backends[caller % backends.len()], answered.clone()));
        }
        // In the midst of it: everybody has been answered once on average.
        for _ in 0..CALLERS {
            answers.recv().await.unwrap();
        }
        gateway.signal(signal);
        let (mut ok, mut told) = (0, 0);
        for (signed, shutting_down) in callers.join_all().await {
            ok += signed;
            told += usize::from(shutting_down);
        }
        let (status, gateway) = ended(gateway).await;
        assert_eq!(status.code(), Some(0), "{}", gateway.log());
        assert!(!gateway.log().contains("grace"), "{}", gateway.log());
        // Every signature that was made reached its caller.
        let records = home.audit();
        let made = records.iter().filter(|record| record["action"] == "sign-message");
        assert!(made.clone().all(|record| record["result"] == "ok"));
        assert_eq!(made.count(), ok);
        println!("{signal:?}: {ok} signatures answered, {told} of {CALLERS} callers told SHUTTING_DOWN");
    }
}

/// Signs until it is refused: how often it was answered, and whether the refusal
/// gave its reason. Any other failure than a clean refusal is a failure of the test.
async fn until_refused(
    client: Client,
    key: &'static str,
    answered: mpsc::UnboundedSender<()>,
) -> (usize, bool) {
    let mut ok = 0;
    loop {
        match client.sign(sign(key, "text")).await {
            Ok(_) => {
                ok += 1;
                let _ = answered.send(());
            }
            Err(error) => {
                let failure = error.failure().unwrap();
                assert_eq!(failure.code, Code::Unavailable, "{failure:?}");
                let reason = failure.reason.as_deref();
                assert!(matches!(reason, None | Some("SHUTTING_DOWN")), "{failure:?}");
                return (ok, reason.is_some());
            }
        }
    }
}

#[tokio::test]
async fn an_idle_client_does_not_delay_a_stop() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let clients = [gateway.client().await, gateway.client().await];
    for client in &clients {
        client.server_info().await.unwrap();
    }
    let begun = Instant::now();
    assert!(gateway.stop().await.success());
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    drop(clients);
}

#[tokio::test]
async fn a_connection_that_never_speaks_does_not_delay_a_stop() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let address = gateway.endpoint().trim_start_matches("http://").to_owned();
    let silent = std::net::TcpStream::connect(&address).unwrap();
    let local = std::os::unix::net::UnixStream::connect(gateway.socket()).unwrap();
    let mut hesitant = std::net::TcpStream::connect(&address).unwrap();
    std::io::Write::write_all(&mut hesitant, b"PRI * HTTP/2.0\r\n").unwrap();
    // All were accepted by the time a later one is served.
    gateway.client().await.server_info().await.unwrap();
    let begun = Instant::now();
    assert!(gateway.stop().await.success());
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    drop((silent, local, hesitant));
}

/// The first signal waits for the call in flight, the second for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    // A few seconds of work on every thread of the backend.
    let mut work = JoinSet::new();
    for _ in 0..32 {
        let client = client.clone();
        work.spawn(async move { client.create_key(create("rsa-4096", "", "")).await });
    }
    // Counted in the text: its last line may be half written.
    let log = home.path().join("audit.jsonl");
    while fs::read_to_string(&log).unwrap().matches("\"phase\":\"intent\"").count() < 8 {
        tokio::task::yield_now().await;
    }
    gateway.signal(Signal::TERM);
    while !gateway.log().contains("SIGTERM: stopping") {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    gateway.signal(Signal::TERM);
    let (status, gateway) = ended(gateway).await;
    assert!(begun.elapsed() < QUICK, "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(130), "{status:?} {}", gateway.log());
    assert_eq!(status.signal(), None);
    work.shutdown().await;
    // And what was acknowledged is there at the next start.
    let gateway = home.start();
    let client = gateway.client().await;
    let signed = client.sign(sign("key", "text")).await.unwrap();
    assert!(client.verify(verify("key", "text", signed.signature)).await.unwrap().valid);
}

#[tokio::test]
async fn a_stopped_gateway_leaves_its_socket_and_catalog_to_the_next() {
    let home = Home::software(PROGRAM);
    for _ in 0..3 {
        let gateway = home.start();
        gateway.client().await.server_info().await.unwrap();
        let socket = gateway.socket().to_owned();
        assert!(socket.exists());
        assert!(gateway.stop().await.success());
        assert!(!socket.exists());
    }
    // One that was killed leaves its socket behind, which is no hindrance.
    let gateway = home.start();
    let socket = gateway.socket().to_owned();
    gateway.kill();
    assert!(socket.exists());
    let gateway = home.start();
    gateway.client().await.server_info().await.unwrap();
}
