//! What a gateway says of itself to those who run it: metrics, readiness, lines, traces.

pub(crate) mod exposition;
mod http;
mod lines;
mod monitoring;
mod traces;

use std::{collections::BTreeMap, io::Read as _, net::TcpStream, time::Duration};

use bytes::Bytes;
use rustix::process::Signal;
use skms_tests::gateway::{Gateway, Home};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use self::{exposition::Exposition, http::ask};
use crate::{
    ask::{PROGRAM, create, full, outcome, sign},
    refusals::raw,
};

/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(30);

/// What it measures now.
pub(crate) fn scrape(gateway: &Gateway) -> Exposition {
    let answer = ask(&gateway.admin(), "GET", "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Exposition::read(&answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_counted_by_its_method_and_code() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let before = scrape(&gateway);
    const SIGNATURES: usize = 3;
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        for _ in 0..SIGNATURES {
            client.sign(sign(backend, "text")).await.unwrap();
        }
    }
    assert_eq!(outcome(&client.get_key(full("nobody")).await), "NotFound KEY_NOT_FOUND");
    let channel = gateway.channel().await;
    for path in ["/skms.v1.KeyManagement/Explode", "/a{b=\"c\"}", "/"] {
        raw::call(channel.clone(), path, Bytes::new()).await.unwrap_err();
    }
    raw::call(channel, "/skms.v1.KeyManagement/SignMessage", Bytes::from_static(b"no protobuf"))
        .await
        .unwrap_err();

    let after = scrape(&gateway);
    let backends = home.backends().len();
    let counted = after.since(&before, "skms_requests_total");
    let method = |name: &str, code: &str| format!("rpc=\"skms.v1.KeyManagement/{name}\",code=\"{code}\"");
    let expected = BTreeMap::from([
        (method("CreateKey", "OK"), backends),
        (method("SignMessage", "OK"), backends * SIGNATURES),
        (method("GetKey", "NOT_FOUND"), 1),
        (method("SignMessage", "INVALID_ARGUMENT"), 1),
        // Whatever was asked for.
        ("rpc=\"unknown\",code=\"UNIMPLEMENTED\"".to_owned(), 3),
    ]);
    assert_eq!(counted, expected);
    let timed = after.since(&before, "skms_request_duration_seconds_count");
    assert_eq!(timed.values().sum::<usize>(), expected.values().sum::<usize>());
    assert_eq!(timed["rpc=\"unknown\",class=\"refused\""], 3);
    let malformed = after.since(&before, "skms_requests_malformed_total");
    assert_eq!(
        malformed,
        [("why=\"no_method\"".to_owned(), 3), ("why=\"no_protobuf\"".to_owned(), 1)].into()
    );
    assert_eq!(after.value("skms_requests_in_flight", ""), 0.0);

    // Each signature and each key is one job of its device: measured on both sides.
    for name in ["skms_queue_seconds_count", "skms_device_seconds_count"] {
        let jobs = after.since(&before, name);
        for backend in home.backends() {
            let done = |operation: &str| jobs[&format!("backend=\"{backend}\",operation=\"{operation}\"")];
            assert_eq!((done("generate"), done("sign")), (1, SIGNATURES), "{name} {backend}");
        }
    }
    for backend in home.backends() {
        let label = format!("backend=\"{backend}\"");
        let pool = |name: &str| after.value(name, &label);
        assert_eq!((pool("skms_backend_up"), pool("skms_pool_failed")), (1.0, 0.0));
        assert_eq!(pool("skms_pool_queue_capacity"), 1024.0);
        assert!(pool("skms_pool_contexts") >= 1.0);
    }
    assert_eq!(after.value("skms_ready", ""), 1.0);
    assert!(after.value("skms_process_resident_memory_bytes", "") > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_is_told_whether_the_gateway_lives_and_serves() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let admin = gateway.admin();
    for (method, path, status, body) in [
        ("GET", "/livez", 200, "ok\n"),
        ("GET", "/readyz", 200, "{\"missing\":[]}\n"),
        ("GET", "/readyz?verbose", 200, "{\"missing\":[]}\n"),
        ("HEAD", "/readyz", 200, ""),
        ("HEAD", "/metrics", 200, ""),
        ("GET", "/", 404, "not found\n"),
        ("GET", "/metrics/", 404, "not found\n"),
        ("POST", "/nothing", 404, "not found\n"),
        ("POST", "/metrics", 405, "only GET and HEAD\n"),
        ("DELETE", "/livez", 405, "only GET and HEAD\n"),
    ] {
        let answer = ask(&admin, method, path);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405);
    }
    // A head that never ends is not read to its end.
    let long = format!("/metrics?{}", "x".repeat(16 * 1024));
    assert!(matches!(ask(&admin, "GET", &long).status, 414 | 431));
    // It goes with the gateway.
    assert!(gateway.stop().await.success());
    assert!(TcpStream::connect(&admin).is_err());
}

/// A stop is announced before the calls that were accepted have ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_takes_its_leave_says_so() {
    let home = Home::software(PROGRAM);
    let mut gateway = home.start();
    let admin = gateway.admin();
    // A stream that its caller does not end is waited for.
    let mut reflection = ServerReflectionClient::new(gateway.channel().await);
    let held = reflection.server_reflection_info(tokio_stream::pending()).await.unwrap();
    gateway.signal(Signal::TERM);
    let left = tokio::task::spawn_blocking(move || {
        loop {
            let answer = ask(&admin, "GET", "/readyz");
            if answer.status == 503 {
                return answer.body;
            }
        }
    });
    assert_eq!(
        tokio::time::timeout(PATIENCE, left).await.unwrap().unwrap(),
        "{\"missing\":[\"draining\"]}\n"
    );
    drop((held, reflection));
    tokio::task::spawn_blocking(move || assert!(gateway.ended().success())).await.unwrap();
}

/// A slow request and a silent connection are closed, and keep nobody else waiting.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_finish_a_request_is_not_waited_for() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let admin = gateway.admin();
    let beginnings = ["", "GET", "GET /metrics HTTP/1.1\r\nHost: a\r\n", "POST /metrics HTTP/1.1\r\n"];
    let slow: Vec<_> = beginnings.iter().map(|beginning| http::begin(&admin, beginning)).collect();
    assert_eq!(ask(&admin, "GET", "/livez").status, 200);
    let closed = tokio::task::spawn_blocking(move || {
        for mut stream in slow {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut rest = Vec::new();
            // Closed with or without an answer, and not by our own clock.
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            }
        }
    });
    closed.await.unwrap();
    assert_eq!(ask(&admin, "GET", "/livez").status, 200);
}

#[tokio::test]
async fn nobody_speaks_where_nobody_is_to_listen() {
    let home = Home::software(PROGRAM);
    let gateway = home.start_with([("SKMS__ADMIN__LISTEN", "".into())]);
    gateway.client().await.server_info().await.unwrap();
    assert!(!gateway.log().contains("serving admin"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let other = Home::software(PROGRAM);
    let log = other.try_start([("SKMS__ADMIN__LISTEN", address.clone().into())]).err().unwrap();
    assert!(log.contains("cannot listen on") && log.contains(&address), "{log}");
}
