//! Every behaviour that is tested from outside, a module for each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics, and so does what prepares it"
)]

mod abuse;
mod adopt;
mod agree;
mod ask;
mod away;
mod backups;
mod batch;
mod chaos;
mod command_line;
mod conformance;
mod crash;
mod create;
mod crowd;
mod csr;
mod encrypt;
mod handshakes;
mod import;
mod impostors;
mod life;
mod lifecycle;
mod list;
mod load;
mod mac;
mod mishaps;
mod nonces;
mod observe;
mod patience;
mod program;
mod public_key;
mod record;
mod refusals;
mod reload;
mod renewal;
mod repeat;
mod replay;
mod roles;
mod room;
mod rotate;
mod shares;
mod sign;
mod start;
mod stop;
mod strangers;
mod streams;
mod system;
mod tidy;
mod tpm;
mod trail;
mod units;
mod vectors;
mod verify;
mod versions;
