//! A verb that was done to a key some time ago, and is made up for.

use std::{sync::Arc, time::SystemTime};

use super::{Key, KeyId, Verb};

/// A verb that was done, as a record tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The key.
    pub key: KeyId,
    /// What was done.
    pub verb: Verb,
    /// The versions that were meant; none: the whole key.
    pub versions: Vec<u32>,
    /// When.
    pub at: SystemTime,
}

impl Key {
    /// The key after a verb that was done to it before, when other versions may have been
    /// there: whatever the verb applies to changes, and nothing refuses.
    #[must_use]
    pub fn made_up_for(&self, turn: &Turn) -> Self {
        let mut key = self.clone();
        let means = |number| turn.versions.is_empty() || turn.versions.contains(&number);
        for version in key.versions.iter_mut().filter(|version| means(version.number)) {
            if let Ok(Some(next)) = version.after(turn.verb, self.destroy_after, turn.at) {
                *version = Arc::new(next);
            }
        }
        if key.is_gone() {
            key.entomb();
        }
        key
    }
}
