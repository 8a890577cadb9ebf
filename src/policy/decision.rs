//! A question and its answer.

use std::sync::Arc;

use crate::model::{Key, KeyId};

/// What an action is to be done to.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// The gateway as a whole.
    Gateway,
    /// A key as it is; or, with the revision 0, as it would be.
    Key(&'a Key),
    /// A key that does not exist. Policies see one without owner, tenant and labels,
    /// so that who may use some keys only does not learn which ones there are.
    Missing(&'a KeyId),
}

/// The answer. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// The ids of the policies that decided, in alphabetical order: those that permit,
    /// or those that forbid. Empty where nothing permits.
    pub policies: Arc<[Arc<str>]>,
}
