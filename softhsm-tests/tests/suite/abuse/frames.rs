//! A client that speaks HTTP/2 frame by frame (RFC 9113 §4.1), so that it can misbehave.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

/// The types of frames, and the flags of HEADERS.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Where those who misbehave come from, so that they do not use up the room of those
/// who do not.
const ELSEWHERE: &str = "127.0.0.2:0";

/// A connection from elsewhere, on which nothing was said yet.
pub(super) async fn connect(address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ELSEWHERE.parse().unwrap()).unwrap();
    let address: SocketAddr = address.parse().unwrap();
    socket.connect(address).await.unwrap()
}

/// The same, after both sides have begun with HTTP/2.
pub(super) async fn begun(address: &str) -> TcpStream {
    let mut stream = connect(address).await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let mut first = [0; 9];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first[3], SETTINGS);
    stream
}

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, uncompressed (RFC 7541 §6.2.2).
pub(super) fn call(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", "Bearer of-nobody"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Reads until the other side has ended the connection. Whether it did within `limit`.
pub(super) async fn ended(stream: &mut TcpStream, limit: Duration) -> bool {
    let whole = async {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    };
    tokio::time::timeout(limit, whole).await.is_ok()
}
