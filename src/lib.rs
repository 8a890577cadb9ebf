//! `skms`: one authenticated, authorised, audited gRPC API in front of key hardware.

pub mod cli;
pub mod client;
pub mod proto;
