//! What is asked about.

use std::sync::Arc;

use crate::{
    model::{Key, KeyId},
    policy::Resource,
};

/// What an action is on.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The gateway itself, or no key in particular.
    Gateway,
    /// A key, with the name by which it was asked for.
    Key(Arc<Key>, KeyId),
    /// A key as it would be if this were done.
    Proposed(Arc<Key>),
    /// A key that does not exist.
    Missing(KeyId),
}

impl Subject {
    pub(super) fn resource(&self) -> Resource<'_> {
        match self {
            Self::Gateway => Resource::Gateway,
            Self::Key(key, _) | Self::Proposed(key) => Resource::Key(key),
            Self::Missing(name) => Resource::Missing(name),
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Key(key, _) | Self::Proposed(key) => Some(key.id.as_str()),
            Self::Missing(name) => Some(name.as_str()),
            Self::Gateway => None,
        }
    }
}
