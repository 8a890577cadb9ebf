//! The nouns that every floor of the gateway shares.
//!
//! **Invariant:** nothing here does I/O, waits, or asks for the time.

mod action;
mod anchor;
mod backend_name;
mod bad_value;
mod certificate;
mod code;
mod import_job;
mod key;
mod key_id;
mod lifecycle;
mod name;
mod order;
mod reason;
mod rpc;
mod state;
mod turn;

pub use action::{Action, Target};
pub use anchor::Anchor;
pub use backend_name::{BackendName, BackendNameError};
pub use bad_value::BadValue;
pub use certificate::ClientCertificate;
pub use code::Code;
pub use import_job::{ImportJob, ImportMethod};
pub use key::{Key, Labels, Origin, Purpose, Version};
pub use key_id::{InvalidKeyId, KeyId};
pub use lifecycle::{Refused, Why};
pub use name::{Name, NameError};
pub use order::{Order, Place, SortBy, UnknownOrder};
pub use reason::Reason;
pub use rpc::{Access, Rpc, Shape};
pub use state::{Effect, State, Verb};
pub use turn::Turn;
