//! Who is calling.
//!
//! **Invariant:** a [`Caller`] can be made nowhere else.
//!
//! Until callers can prove who they are, the gateway listens only where the
//! operating system keeps strangers out (loopback and Unix sockets), and every
//! caller is the local one.

mod arrival;
mod caller;

pub use arrival::Arrival;
pub use caller::{Caller, Method};
