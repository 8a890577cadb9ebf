//! What versions of a key are compared by: their state.

use super::{Operator, Wrong, state};
use crate::model::{State, Version};

/// One comparison of a version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    state: State,
    negated: bool,
}

impl Comparison {
    pub(super) fn new(field: &str, operator: Operator, value: &str) -> Result<Self, Wrong> {
        if field != "state" {
            return Err(Wrong::field("the only field of a version is `state`"));
        }
        Ok(Self { negated: operator.negates(field)?, state: state(value)? })
    }

    pub(super) fn holds(&self, version: &Version) -> bool {
        (version.state == self.state) != self.negated
    }
}
