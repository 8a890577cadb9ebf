//! `skms`: one authenticated, authorised, audited gRPC API in front of key hardware.

pub mod client;
pub mod proto;
