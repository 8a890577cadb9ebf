//! Keys in a PKCS#11 token.

mod config;
mod selector;

pub use config::Config;
pub use selector::TokenSelector;
