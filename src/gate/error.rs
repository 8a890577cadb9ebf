//! Why the door stayed shut.

use super::Exceeded;
use crate::{
    audit,
    auth::Refusal,
    model::{KeyId, Reason},
};

/// An error that has a reason for the record.
pub trait Reasoned {
    /// The reason.
    fn reason(&self) -> Reason;
}

/// Why the door stayed shut.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not.
    #[error("the caller may not do this")]
    Denied,
    /// The caller may not, and is not to learn that there is such a key.
    #[error("there is no key `{name}`")]
    Missing {
        /// As it was asked for.
        name: KeyId,
    },
    /// The caller, or all callers of a key, asked for more than their share.
    #[error("the {} has used up its share; come again later", exceeded.limit.name())]
    RateLimited {
        /// Whose share, and when to come again.
        exceeded: Exceeded,
    },
    /// There can be no record.
    #[error("the call cannot be recorded")]
    Audit {
        /// Why.
        source: audit::Error,
    },
    /// Who calls was let in, and could not prove any more who it is.
    #[error("{}", refusal.text())]
    ProofEnded {
        /// Why not.
        refusal: Refusal,
    },
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Closing,
    /// The caller's deadline passed; what was begun goes on.
    #[error("the deadline passed while the work was still being done")]
    Deadline,
    /// The work panicked.
    #[error("the work failed unexpectedly")]
    Panicked,
}
