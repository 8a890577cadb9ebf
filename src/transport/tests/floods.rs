//! Clients that cost more than they pay.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    raw::{Raw, ping},
    served::{self, Served},
    soon,
};

#[tokio::test]
async fn who_leaves_its_calls_all_the_time_is_cut() {
    let served = Served::start(served::plain(), served::bounds(), &[]).await;
    let mut raw = Raw::opened(served.tcp().await).await.unwrap();
    let mut calls = 0;
    // Each call is served before it is left, so that HTTP/2 itself sees nothing in it.
    loop {
        raw.call(2 * calls + 1, "/slow").await;
        tokio::select! {
            begun = served.begun.acquire() => begun.unwrap().forget(),
            () = ended(&mut raw.stream) => break,
        }
        raw.reset(2 * calls + 1).await;
        calls += 1;
        assert!(calls < 20_000, "it goes on and on");
    }
    assert!(calls > 1000, "it was cut after {calls}");
    // Others are served.
    let mut other = served::Client::over(served.tcp().await).await;
    other.who().await.unwrap();
}

/// Waits for the end, whatever comes before it.
async fn ended(stream: &mut tokio::net::TcpStream) {
    let mut sink = [0; 4096];
    while matches!(stream.read(&mut sink).await, Ok(1..)) {}
}

#[tokio::test]
async fn who_talks_and_does_not_call_is_cut() {
    let served = Served::start(served::plain(), served::bounds(), &[]).await;
    let raw = Raw::opened(served.tcp().await).await.unwrap();
    let (mut reader, mut writer) = raw.stream.into_split();
    let answers = tokio::spawn(async move {
        let mut sink = vec![0; 64 * 1024];
        while matches!(reader.read(&mut sink).await, Ok(1..)) {}
    });
    let pings = ping().repeat(1000);
    let mut sent = 0;
    while soon(writer.write_all(&pings)).await.is_ok() {
        sent += pings.len();
        assert!(sent < 64 * 1024 * 1024, "it goes on and on");
    }
    assert!(sent > 4 * 1024 * 1024 - pings.len(), "it was cut after {sent} bytes");
    soon(answers).await.unwrap();
}

#[tokio::test]
async fn a_long_message_that_is_read_is_no_idle_talk() {
    let served = Served::start(served::plain(), served::bounds(), &[]).await;
    let mut client = served::Client::over(served.tcp().await).await;
    client.call("/read", Bytes::from(vec![7; 12 * 1024 * 1024])).await.unwrap();
}
