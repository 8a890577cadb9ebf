//! `skms`: one authenticated, authorised, audited gRPC API in front of key hardware.

pub mod audit;
pub mod auth;
pub mod backends;
pub mod catalog;
pub mod config;
pub mod failpoint;
pub mod gate;
pub mod health;
pub mod keys;
pub mod layers;
pub mod model;
pub mod policy;
pub mod proto;
pub mod rpc;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod transport;
