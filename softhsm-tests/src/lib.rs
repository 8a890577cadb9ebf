//! The tests of skms: real devices, real servers, real clients.
//!
//! This library is what the tests in `tests/` share. Each test stands beside the
//! behaviour that it is about, in a module of the one binary `tests/suite`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this library is used by tests only, and a test that fails panics"
)]

pub mod activated;
mod bearer;
pub mod chaos;
pub mod conformance;
pub mod gateway;
pub mod idp;
pub mod pki;
pub mod softhsm;
pub mod swtpm;
