//! Keys in a PKCS#11 token.
//!
//! A call comes in at [`Pkcs11Backend`], waits in the pool of `skms-backend`,
//! and runs as one job on one session:
//! `backend` → `session` → `keys` · `sign` → the module.
//!
//! | read | for |
//! |---|---|
//! | `module` | one instance of a module in a process, and how it is initialised again |
//! | `selector`, `uri`, `slots` | which token is meant, and in which slot it is |
//! | `keeper`, `session` | the login, the sessions, and what they share |
//! | `mechanism`, `quirks`, `discover` | what the token can do, as found at the start |
//! | `template`, `public`, `keys` | objects: making, reading back, finding, removing |
//! | `sign` | what the device is given and what it must give back |
//! | `error` | return codes as classes, one table |
//!
//! **Invariant:** objects that this gateway did not make are never touched.
//!
//! **Invariant:** a refused PIN is never tried again.
//!
//! **Invariant:** no search for an object on the way of a signature whose key is known.

mod backend;
mod config;
mod discover;
mod error;
mod keeper;
mod keys;
mod mechanism;
mod module;
mod public;
mod quirks;
mod selector;
mod session;
mod sign;
mod slots;
mod template;
mod uri;

pub use backend::Pkcs11Backend;
pub use config::Config;
pub use selector::TokenSelector;
