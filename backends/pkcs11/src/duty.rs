//! What a key is for, and for nothing else.

use skms_backend::{Operation, Usage};

/// The use of a key without its algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Sign,
    Encrypt,
    Mac,
    Agree,
}

impl Duty {
    pub(crate) const ALL: [Self; 4] = [Self::Sign, Self::Encrypt, Self::Mac, Self::Agree];

    pub(crate) const fn of(usage: &Usage) -> Self {
        match usage {
            Usage::Sign(_) => Self::Sign,
            Usage::Encrypt(_) => Self::Encrypt,
            Usage::Mac => Self::Mac,
            Usage::Agree => Self::Agree,
        }
    }

    /// The duty of the key with which an operation is done; `None` for one without a key.
    pub(crate) const fn behind(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Sign => Some(Self::Sign),
            Operation::Encrypt | Operation::Decrypt => Some(Self::Encrypt),
            Operation::Mac => Some(Self::Mac),
            Operation::Agree => Some(Self::Agree),
            Operation::Open
            | Operation::Probe
            | Operation::Generate
            | Operation::Find
            | Operation::Destroy
            | Operation::Import
            | Operation::Random
            | Operation::Attest => None,
        }
    }
}
