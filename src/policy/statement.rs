//! One policy, as people find it in its file.

use std::{path::Path, sync::Arc};

/// A policy that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its id: what its annotation `@id` says, and else `FILE#N`, the Nth of its file.
    pub id: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Its file.
    pub file: Arc<Path>,
    /// Its first line, counted from 1.
    pub line: usize,
}

/// What a policy does where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It permits, unless another forbids.
    Permit,
    /// It forbids, whatever others permit.
    Forbid,
}

impl Effect {
    /// The word for it in a policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

impl From<cedar_policy::Effect> for Effect {
    fn from(effect: cedar_policy::Effect) -> Self {
        match effect {
            cedar_policy::Effect::Permit => Self::Permit,
            cedar_policy::Effect::Forbid => Self::Forbid,
        }
    }
}

/// Whether a text can be the id of a policy: it stands in records and in tables.
pub(super) fn is_id(text: &str) -> bool {
    (1..=ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Long enough for a sentence, and short enough for a line of the audit log.
pub(super) const ID_BYTES: usize = 128;
