//! The nouns that every floor of the gateway shares.
//!
//! **Invariant:** nothing here does I/O, waits, or asks for the time.

mod action;
mod backend_name;
mod bad_value;
mod key;
mod key_id;
mod reason;
mod state;

pub use action::Action;
pub use backend_name::{BackendName, BackendNameError};
pub use bad_value::BadValue;
pub use key::{Key, Labels, Origin, Purpose, Version};
pub use key_id::{InvalidKeyId, KeyId};
pub use reason::Reason;
pub use state::State;
