//! Who is calling.
//!
//! ```text
//!   authorization ── bearer ── cache ── jws ── issuer ── claims ──┐
//!                               (keys: published ← file, remote)  │
//!   certificate ──── certificate ─────────────────────────────────┼─ deny ── Caller
//!   uid ──────────── [auth.unix] ─────────────────────────────────┘
//!
//!   Caller ── a change ── replay: its token, where it is good for one
//! ```
//!
//! **Invariant:** a [`Caller`] can be made nowhere else.
//!
//! **Invariant:** nothing that came with a call is believed before a signature over it
//! was checked with a key that the configuration leads to; nothing of it appears in a
//! log, an error or a [`Refusal`].

mod authenticator;
mod bearer;
mod cache;
mod call;
mod caller;
mod certificate;
mod claims;
mod clock;
mod config;
mod deny;
mod error;
mod fetch;
mod issuer;
mod json;
mod jws;
mod keys;
mod published;
mod refusal;
mod remote;
mod replay;
#[cfg(test)]
mod tests;

pub use self::{
    authenticator::{Authenticator, Evidence},
    call::{Call, Standing, Taken},
    caller::{Caller, Method},
    config::{
        Algorithm, Authority, CertificateBound, Config, Identity, Issuer as IssuerConfig, JwksSource,
        JwksSourceError, LocalUser, Name, NameError, SingleUse, Subject,
    },
    error::Error,
    keys::Error as KeysError,
    refusal::Refusal,
};
