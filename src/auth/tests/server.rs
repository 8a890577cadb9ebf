//! A server on this machine that gives any answer to a request for keys, and counts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// What it answers.
#[derive(Clone)]
pub(super) enum Answer {
    /// These bytes, then the end.
    Whole(Vec<u8>),
    /// These bytes, and never the end.
    Half(Vec<u8>),
    /// This beginning, then `x` for as long as anybody reads.
    Endless(Vec<u8>),
}

/// The server; it ends with the runtime of its test.
pub(super) struct Server {
    port: u16,
    scheme: &'static str,
    counts: Arc<Counts>,
}

struct Counts {
    answer: Mutex<Answer>,
    connections: AtomicUsize,
}

impl Answer {
    pub(super) fn with(status: &str, kind: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
        Self::Whole((head + body).into_bytes())
    }

    pub(super) fn json(keys: &Value) -> Self {
        Self::with("200 OK", "application/json", &keys.to_string())
    }
}

impl Server {
    pub(super) async fn json(keys: &Value) -> Self {
        Self::start(Answer::json(keys), None).await
    }

    pub(super) async fn start(answer: Answer, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts { answer: Mutex::new(answer), connections: AtomicUsize::new(0) });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(TlsAcceptor::from);
        let server = Self { port, scheme, counts: counts.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counts.connections.fetch_add(1, Ordering::SeqCst);
                let (answer, acceptor) = (counts.answer.lock().clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, answer).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, answer).await;
                            }
                        }
                    }
                });
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}/jwks.json", self.scheme, self.port)
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.counts.answer.lock() = answer;
    }

    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    assert!(request.starts_with(b"GET /jwks.json HTTP/1.1\r\n"));
    let (Answer::Whole(bytes) | Answer::Half(bytes) | Answer::Endless(bytes)) = &answer;
    if stream.write_all(bytes).await.is_err() {
        return;
    }
    match answer {
        Answer::Whole(_) => drop(stream.shutdown().await),
        // Until the other side has enough of it.
        Answer::Half(_) => drop(stream.read_u8().await),
        Answer::Endless(_) => while stream.write_all(&[b'x'; 65536]).await.is_ok() {},
    }
}
