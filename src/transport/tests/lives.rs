//! When connections end that their clients do not end.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    pki::Ca,
    raw::{GOAWAY, HEADERS, PREFACE, Raw},
    served::{self, Served},
    soon,
};
use crate::transport::{ClientCertificates, Connections};

const SHORT: Duration = Duration::from_millis(500);

async fn over_tls(bounds: Connections) -> (Ca, Served) {
    let directory = tempfile::tempdir().unwrap();
    let server = Ca::root("server");
    served::certify(directory.path(), &server.server());
    let config = served::over_tls(directory.path(), ClientCertificates::None);
    (server, Served::start(config, bounds, &[]).await)
}

async fn plain(bounds: Connections) -> Served {
    Served::start(served::plain(), bounds, &[]).await
}

/// Waits until nothing more comes.
async fn ends(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends() {
    let (_, served) = over_tls(Connections { handshake_timeout: SHORT, ..served::bounds() }).await;
    ends(served.tcp().await).await;
    let mut half = served.tcp().await;
    // The beginning of a ClientHello.
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await.unwrap();
    ends(half).await;
}

#[tokio::test]
async fn who_does_not_begin_is_not_waited_for() {
    let bounds = Connections { preface_timeout: SHORT, ..served::bounds() };
    let (server, served) = over_tls(bounds.clone()).await;
    ends(served.tls(&served::client(&server, None)).await.unwrap()).await;
    let served = plain(bounds).await;
    ends(served.tcp().await).await;
    let mut half = served.tcp().await;
    half.write_all(&PREFACE[..10]).await.unwrap();
    ends(half).await;
}

#[tokio::test]
async fn what_is_no_http2_is_not_served() {
    let served = plain(served::bounds()).await;
    let mut stream = served.tcp().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    ends(stream).await;
}

#[tokio::test]
async fn a_connection_without_calls_is_asked_to_leave_and_then_cut() {
    let bounds = Connections { idle_timeout: SHORT, farewell: SHORT, ..served::bounds() };
    let served = plain(bounds).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    assert!(raw.has(GOAWAY).await);
    // It answers nothing.
    raw.end().await;
}

#[tokio::test]
async fn a_connection_that_never_calls_is_not_kept_as_long_as_others() {
    let served = plain(Connections { first_call_timeout: SHORT, ..served::bounds() }).await;
    let mut calling = Raw::opened(served.tcp().await).await.unwrap();
    calling.call(1, "/who").await;
    assert!(calling.has(HEADERS).await);
    let mut silent = Raw::opened(served.tcp().await).await.unwrap();
    assert!(silent.has(GOAWAY).await);
    // It answers nothing, and there is no call to be waited for.
    silent.end().await;
    calling.call(3, "/who").await;
    assert!(calling.has(HEADERS).await);
}

#[tokio::test]
async fn a_connection_with_a_call_is_not_idle() {
    let served = plain(Connections { idle_timeout: SHORT, ..served::bounds() }).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    raw.call(1, "/slow").await;
    let asked = tokio::time::timeout(SHORT * 4, raw.has(GOAWAY)).await;
    assert!(asked.is_err(), "it was asked to leave");
    served.end.add_permits(1);
    assert!(raw.has(HEADERS).await);
    assert!(raw.has(GOAWAY).await);
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_and_its_calls_end() {
    let served = plain(Connections { max_age: SHORT, ..served::bounds() }).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    raw.call(1, "/slow").await;
    assert!(raw.has(GOAWAY).await);
    served.end.add_permits(1);
    assert!(raw.has(HEADERS).await);
}

#[tokio::test]
async fn a_call_does_not_keep_an_old_connection_for_ever() {
    let bounds = Connections { max_age: SHORT, farewell: SHORT, ..served::bounds() };
    let served = plain(bounds).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    raw.call(1, "/slow").await;
    assert!(raw.has(GOAWAY).await);
    raw.end().await;
}

#[tokio::test]
async fn a_stop_lets_calls_end_and_waits_for_nobody_else() {
    let (server, served) = over_tls(served::bounds()).await;
    // One that is silent before the handshake, one before the preface, one idle.
    let _silent = served.tcp().await;
    let _shaken = served.tls(&served::client(&server, None)).await.unwrap();
    let mut idle = served.client(&served::client(&server, None)).await;
    idle.who().await.unwrap();
    let mut busy = served.client(&served::client(&server, None)).await;
    let call = tokio::spawn(async move { busy.call("/slow", bytes::Bytes::new()).await });
    soon(served.begun.acquire()).await.unwrap().forget();
    served.stop.cancel();
    soon(idle.connection).await.unwrap().unwrap();
    served.end.add_permits(1);
    soon(call).await.unwrap().unwrap();
    assert!(soon(served.drained).await.unwrap());
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_grace() {
    let served = plain(served::bounds()).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    raw.call(1, "/slow").await;
    soon(served.begun.acquire()).await.unwrap().forget();
    served.stop.cancel();
    assert!(!soon(served.drained).await.unwrap());
    raw.end().await;
}
