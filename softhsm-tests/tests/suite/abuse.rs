//! Those who misbehave on the wire: their connections end within their limits, the
//! memory of the gateway does not grow with what they send, and a client that behaves
//! is served meanwhile. What it cost is printed; no time is demanded but the limits.

#![expect(clippy::print_stdout, reason = "what an attack cost is told, not judged")]

mod frames;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skms_tests::{
    gateway::{Gateway, Home},
    pki::Ca,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinHandle};

use self::frames::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, begun, call, connect, ended, frame,
};
use crate::ask::{PROGRAM, create, sign};

/// The limits of the gateway in these tests, short so that they can be waited for …
const LIMITS: &str = "[connections]\nhandshake_timeout = \"1s\"\npreface_timeout = \"1s\"\n\
    idle_timeout = \"2s\"\nfarewell = \"2s\"\n\
    [limits]\noperation_timeout = \"2s\"\ngenerate_timeout = \"2s\"\n";
/// … and how long a connection may take to end then, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much a gateway may grow by what strangers send. Four times what was ever seen.
const GROWTH_KIB: u64 = 64 * 1024;

/// A gateway, and a client of it that behaves.
struct World {
    _home: Home,
    gateway: Gateway,
    /// The address of the plain listener.
    address: String,
    stop: Arc<AtomicBool>,
    good: JoinHandle<Vec<Duration>>,
    before: u64,
}

impl World {
    async fn start() -> Self {
        let home =
            Home::software(PROGRAM).secured(&Ca::new("servers"), &Ca::new("clients")).configured(LIMITS);
        let gateway = home.start();
        let client = gateway.client().await;
        client.create_key(create("ed25519", "key", "soft")).await.unwrap();
        // What it needs for itself is there before it is measured.
        for _ in 0..200 {
            client.sign(sign("key", "text")).await.unwrap();
        }
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let good = tokio::spawn(async move {
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.sign(sign("key", "text")).await.unwrap();
                took.push(begun.elapsed());
            }
            took
        });
        let address = gateway.endpoint().trim_start_matches("http://").to_owned();
        let before = memory(&gateway, "VmRSS:");
        Self { _home: home, gateway, address, stop, good, before }
    }

    /// Says what it cost, and demands that the gateway is as it was.
    async fn end(self, what: &str, begun: Instant) {
        let elapsed = begun.elapsed();
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.good.await.unwrap();
        took.sort_unstable();
        let quantile = |part: usize| took[(took.len() - 1) * part / 100];
        let peak = memory(&self.gateway, "VmHWM:");
        let grown = peak.saturating_sub(self.before);
        println!(
            "{what}: over after {elapsed:.1?}; memory {} MiB and at most {} MiB more; a client that behaves: \
             {} calls, p50 {:.1?}, p99 {:.1?}",
            self.before / 1024,
            grown.div_ceil(1024),
            took.len(),
            quantile(50),
            quantile(99)
        );
        assert!(grown < GROWTH_KIB, "{what}: {grown} KiB more");
        assert!(!took.is_empty(), "{what}: nobody else was served");
        let log = self.gateway.log();
        assert!(!log.contains("panicked"), "{log}");
        self.gateway.client().await.sign(sign("key", "text")).await.unwrap();
    }
}

/// A figure of `/proc/PID/status`, in KiB.
fn memory(gateway: &Gateway, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A call that nobody is let in to make …
const SIGN: &str = "/skms.v1.KeyManagement/SignMessage";
/// … and one that anybody may make, and that waits for its message.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// The id of the n-th stream of a client.
fn id(number: u32) -> u32 {
    2 * number + 1
}

/// Sends what `make` makes for each number, until the other side does not take it any more.
async fn send(stream: &mut TcpStream, count: u32, make: impl Fn(u32) -> Vec<u8>) {
    for number in 0..count {
        let sent = tokio::time::timeout(PATIENCE, stream.write_all(&make(number))).await.unwrap();
        if sent.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once_are_refused_beyond_the_limit() {
    let (world, begun_at) = (World::start().await, Instant::now());
    let mut stream = begun(&world.address).await;
    send(&mut stream, 20_000, |number| frame(HEADERS, END_HEADERS, id(number), &call(CHECK))).await;
    assert!(ended(&mut stream, PATIENCE).await);
    world.end("20,000 streams at once", begun_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let (world, begun_at) = (World::start().await, Instant::now());
    let mut stream = begun(&world.address).await;
    let reset = |number| {
        let opened = frame(HEADERS, END_HEADERS, id(number), &call(CHECK));
        [opened, frame(RST_STREAM, 0, id(number), &8_u32.to_be_bytes())].concat()
    };
    send(&mut stream, 100_000, reset).await;
    assert!(ended(&mut stream, PATIENCE).await);
    world.end("rapid reset, 100,000 streams", begun_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    let (world, begun_at) = (World::start().await, Instant::now());
    let mut stream = begun(&world.address).await;
    stream.write_all(&frame(HEADERS, 0, 1, &call(SIGN))).await.unwrap();
    // A header each, with a name of its own.
    let more = |number: u32| {
        let name = format!("x-{number:08}");
        let mut block = vec![0, u8::try_from(name.len()).unwrap()];
        block.extend_from_slice(name.as_bytes());
        block.extend_from_slice(&[100; 101]);
        frame(CONTINUATION, 0, 1, &block)
    };
    send(&mut stream, 100_000, more).await;
    assert!(ended(&mut stream, PATIENCE).await);
    world.end("CONTINUATION flood, 100,000 frames", begun_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_without_calls_end_the_connection() {
    let (world, begun_at) = (World::start().await, Instant::now());
    let mut stream = begun(&world.address).await;
    let (mut reader, mut writer) = stream.split();
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
    let flood = async {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && writer.write_all(&pings).await.is_ok() {}
        begun.elapsed()
    };
    let drain = async { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await };
    let (lasted, _) = tokio::join!(flood, drain);
    assert!(lasted < PATIENCE, "it may go on for ever");
    world.end("PING flood", begun_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_in_the_middle_is_not_waited_for() {
    let (world, begun_at) = (World::start().await, Instant::now());
    let tls = world.gateway.tls_endpoint().trim_start_matches("https://").to_owned();
    // The first bytes of a TLS handshake, with a length of 512.
    let hello: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    let headers = call(CHECK);
    let half_headers = frame(HEADERS, 0, 1, &headers[..headers.len() / 2]);
    let begins = frame(HEADERS, END_HEADERS, 1, &headers);
    let half_body = [begins.clone(), frame(DATA, 0, 1, &[0, 0, 0, 1, 0, 10, 3])].concat();
    let preface = |rest: &[u8]| [PREFACE, &frame(4, 0, 0, &[]), rest].concat();
    let refused = frame(HEADERS, END_HEADERS, 1, &call(SIGN));
    let table: [(&str, &str, Vec<u8>); 10] = [
        ("a connection and nothing else", &world.address, Vec::new()),
        ("half a preface", &world.address, PREFACE[..10].to_vec()),
        ("another protocol", &world.address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()),
        ("a preface and nothing else", &world.address, preface(&[])),
        ("half the headers of a call", &world.address, preface(&half_headers)),
        ("the headers of a call", &world.address, preface(&begins)),
        ("the headers of a call of nobody", &world.address, preface(&refused)),
        ("half the body of a call", &world.address, preface(&half_body)),
        ("a TLS connection and nothing else", &tls, Vec::new()),
        ("half a handshake", &tls, hello.to_vec()),
    ];
    let mut waiting = tokio::task::JoinSet::new();
    for (what, address, bytes) in table {
        let mut stream = connect(address).await;
        stream.write_all(&bytes).await.unwrap();
        waiting.spawn(async move {
            let begun = Instant::now();
            assert!(ended(&mut stream, PATIENCE).await, "{what}: it is still there");
            (what, begun.elapsed())
        });
    }
    for (what, lasted) in waiting.join_all().await {
        println!("{what}: ended after {lasted:.1?}");
    }
    world.end("stopped in the middle", begun_at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_sockets_keep_nobody_out() {
    const SOCKETS: usize = 1_000;
    let limit = getrlimit(Resource::Nofile);
    let enough = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, enough).unwrap();
    let (world, begun_at) = (World::start().await, Instant::now());
    let mut sockets = tokio::task::JoinSet::new();
    for number in 0..SOCKETS {
        let address = world.address.clone();
        sockets.spawn(async move {
            let mut stream = connect(&address).await;
            // Every other one begins at least. One that is not taken may be closed already.
            if number % 2 == 0 {
                let _ = stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await;
            }
            assert!(ended(&mut stream, PATIENCE).await, "an idle socket is still there");
        });
    }
    sockets.join_all().await;
    world.end("1,000 idle sockets", begun_at).await;
}
