//! Keys in a PKCS#11 token.
//!
//! A call comes in at [`Pkcs11Backend`], waits in the pool of `skms-backend`,
//! and runs as one job on one session:
//! `backend` → `batch` → `session` → `resolve` → `sign` · `cipher` · `agree` → the module.
//!
//! | read | for |
//! |---|---|
//! | `module` | one instance of a module in a process, and how it is initialised again |
//! | `selector`, `uri`, `slots` | which token is meant, and in which slot it is |
//! | `keeper`, `session` | the login, the sessions, and what they share |
//! | `mechanism`, `quirks`, `discover`, `trial` | what the token can do, as found at the start |
//! | `template`, `judge`, `public`, `objects` | objects: what they must be, and what they are |
//! | `make`, `material`, `keys` | keys: making, taking over, finding, removing |
//! | `adopt`, `public_half` | keys that others made: taking over, finding again |
//! | `resolve`, `prove` | which object a key is, and that it is no other |
//! | `batch`, `sign`, `cipher`, `agree` | what the device is given and what it must give back |
//! | `error` | return codes as classes, one table |
//!
//! **Invariant:** objects that this gateway did not make are never changed or removed,
//! and used only where they were taken over by name.
//!
//! **Invariant:** a refused PIN is never tried again.
//!
//! **Invariant:** a key that was not shown to be the pinned one is not used.
//!
//! **Invariant:** no search for an object on the way of a call whose key is known.

mod adopt;
mod agree;
mod backend;
mod batch;
mod cipher;
mod config;
mod discover;
mod duty;
mod error;
mod judge;
mod keeper;
mod keys;
mod latch;
mod make;
mod material;
mod mechanism;
mod module;
mod objects;
mod prove;
mod public;
mod public_half;
mod quirks;
mod resolve;
mod selector;
mod session;
mod sign;
mod slots;
mod template;
mod trial;
mod uri;

pub use backend::Pkcs11Backend;
pub use config::Config;
pub use selector::TokenSelector;
