//! How bytes come in: TCP and Unix sockets, TLS, HTTP/2 only, bounded.
//!
//! The accept loop is our own, over hyper: the limits that matter (streams, resets,
//! frames, connections, handshakes, ages, a bounded drain) and the TLS that is replaced
//! while it runs cannot be had from tonic's server.
//!
//! Sockets are opened here, or were before the gateway was started (`activation`).
//!
//! To be read in the order of a connection: `serve` accepts, `room` has a place or not,
//! `tls` shakes hands, `preface` waits for the first word, `connection` ends it all.

mod activation;
mod activity;
mod body;
mod config;
mod connection;
mod descriptors;
mod http2;
mod listen_address;
mod listener;
mod peer;
mod preface;
mod room;
mod serve;
#[cfg(test)]
mod tests;
mod timeout;
pub mod tls;

pub use self::{
    activation::{Passed, PassedError},
    body::Asked,
    config::{ClientCertificates, Config, Connections, Listeners, Mode, ModeError, Name, NameError, Serves},
    listen_address::{ListenAddress, ListenAddressError},
    listener::{BindError, Listener},
    peer::{Peer, Refused, Withdrawn},
    serve::serve,
    timeout::timeout_of,
};
