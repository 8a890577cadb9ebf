//! Real sockets on loopback, real handshakes.
