//! How bytes come in: TCP on loopback and Unix sockets, HTTP/2 only, bounded.
//!
//! The accept loop is our own, over hyper: the limits that matter (streams,
//! resets, frames, connections, a bounded drain) cannot be had from tonic's
//! server.

mod connection;
mod listen_address;
mod listener;
mod peer;
mod preface;

pub use self::{
    connection::serve,
    listen_address::{ListenAddress, ListenAddressError},
    listener::{BindError, Listener},
    peer::Peer,
};
