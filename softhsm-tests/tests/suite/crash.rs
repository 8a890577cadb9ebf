//! Crashes: a gateway that is killed in the middle of making a key, started again,
//! and asked what is left.
//!
//! **Invariant:** what a client was told is still true: every acknowledged version
//! is there, with the public key of its answer, and signs.
//!
//! **Invariant:** nothing is half there: no intent, no answer that waits, no object
//! in the token without a version, no version without its two objects.
//!
//! | read | for |
//! |---|---|
//! | `ask` | calls that are made again after a crash, under the same request id |
//! | `ledger` | what clients were told, and whether it still holds |
//! | `at_rest` | what lies on disk and in the token when nothing runs |
//! | `failpoints` | a crash at every named point |
//! | `moments` | crashes at random moments, under load |

mod ask;
mod at_rest;
mod failpoints;
mod ledger;
mod moments;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");
