//! The settings of HTTP/2 (RFC 9113 §6.5.2) and the limits around them.

use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// Calls at once on one connection. hyper's own limit is lost when tonic serves.
const STREAMS: u32 = 256;
/// Streams that a peer may reset before they were accepted (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a peer may make us reset in the life of its connection
/// (RUSTSEC-2024-0003). It happens to good ones, too, when an answer overtakes the
/// rest of a question; many callers share the connection of a proxy.
const LOCAL_RESETS: usize = 1024;
/// All headers of a call. A token has 4 KiB at most.
const HEADER_BYTES: u32 = 8 * 1024;
/// The longest frame: the least that there can be.
const FRAME_BYTES: u32 = 16 * 1024;
/// One message of the usual size travels without waiting for the window.
const STREAM_WINDOW: u32 = 128 * 1024;
/// What one connection may have in flight and in memory.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Answers that wait for a slow reader, by stream.
const SEND_BUFFER: usize = 64 * 1024;
/// A peer that is silent for so long is asked whether it is there …
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// … and given up when it does not say so within this.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .max_header_list_size(HEADER_BYTES)
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
