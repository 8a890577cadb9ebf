//! Keys in software.

mod config;

pub use config::Config;
