//! Every behaviour that is tested from outside, a module for each.

#![expect(clippy::unwrap_used, reason = "a test that fails panics, and so does what prepares it")]

mod conformance;
mod life;
