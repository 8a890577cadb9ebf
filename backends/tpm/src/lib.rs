//! Keys in a TPM 2.0, through its enhanced system API (`tss-esapi`).
//!
//! A TPM stores next to nothing. It makes a storage key of its seed, wraps every other key
//! under that, and the wrapped key goes to the catalog and comes back with every call. What
//! was used last stays loaded.
//!
//! | read | for |
//! |---|---|
//! | `device` | the one thread, its connection, and how a TPM that was reset is reached again |
//! | `template` | what the TPM is asked to make, and what a key is bound to |
//! | `blob` | the format in which a key is kept |
//! | `resolve`, `loaded`, `kept` | from a blob to a key that can be used |
//! | `make`, `material`, `wrap` | making keys, and taking in what was made elsewhere |
//! | `sign`, `cipher` | using them |
//! | `attest` | what the TPM says of a key |
//! | `error` | response codes as error classes |
//! | [`log`] | where the log of the software stack goes |
//!
//! AES keys are only kept: a TPM has no AEAD. They are sealed to it and used in the memory
//! of the gateway, which [`Capabilities::kept_only`](skms_backend::Capabilities::kept_only)
//! says, so that such a key is never said to be protected better than one of software.
//!
//! **The way to the TPM.** Everything secret, and every authorization value, goes through
//! one session that is salted with the storage key and encrypts the first parameter each
//! way. Signatures are authorized with a proof in the same session, or, where the
//! configuration says that the way is trusted, with the plain value. Whether the storage
//! key is that of a true TPM when it is seen for the first time is not found out here; from
//! then on another one is noticed.
//!
//! **Libraries.** `tss-esapi` links the TPM software stack of the system, whose
//! `libtss2-esys` uses the `libcrypto` of the system for the cryptography of sessions. It is
//! no part of this program, which links `aws-lc` alone, and sees neither TLS nor the keys of
//! other backends. It writes every error of a TPM to the standard error unless the process
//! was started with the environment that [`log`] tells.
//!
//! **Invariant:** no key is counted by the protection against dictionary attacks, nor is
//! the storage key, so that a TPM is not locked by stops that were not clean.

mod attest;
mod backend;
mod batch;
mod blob;
mod cipher;
mod config;
mod device;
mod discover;
mod duty;
mod error;
mod kept;
mod loaded;
pub mod log;
mod make;
mod material;
mod public;
mod resolve;
mod sign;
mod template;
mod wrap;

pub use self::{
    backend::TpmBackend,
    config::{Config, Tcti},
};
