//! What can be changed of a key at once, and what the key is then.
//!
//! **Invariant:** nothing here writes: what a change comes to is found out by the same
//! lines before it is tried, and inside its transaction.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use super::Error;
use crate::model::{Key, KeyId, Labels, Refused, State, Verb, Why};

/// A change of a key.
#[derive(Clone, Debug)]
pub enum Amendment {
    /// What is said of it.
    Said(Change),
    /// The states of some versions; of all of them, where none is named.
    Verb(Verb, Vec<u32>),
    /// The primary version.
    Primary(u32),
}

/// What is changed of what is said of a key; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// All labels.
    pub labels: Option<Labels>,
    /// The sentence for people.
    pub description: Option<String>,
    /// All other names.
    pub aliases: Option<Vec<KeyId>>,
    /// The keys that lose one of these names by it, with the revision in which it was
    /// decided that they may. No other key loses any.
    pub losers: BTreeMap<KeyId, u64>,
    /// Before this time it does not sign.
    pub not_before: Option<Option<SystemTime>>,
    /// From this time on it does not sign.
    pub expires: Option<Option<SystemTime>>,
    /// How often the gateway rotates it.
    pub rotation_period: Option<Option<Duration>>,
    /// When it does so next.
    pub next_rotation: Option<Option<SystemTime>>,
    /// The lowest version that signs.
    pub min_protect: Option<u32>,
    /// The lowest version that verifies.
    pub min_process: Option<u32>,
}

impl Amendment {
    /// The key with the change.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Expires`] and [`Error::NoPeriod`].
    pub fn of(&self, key: &Key, now: SystemTime) -> Result<Key, Error> {
        match self {
            Self::Said(change) => change.of(key, now),
            Self::Verb(verb, versions) => Ok(key.after(*verb, versions, now)?),
            Self::Primary(number) => Ok(key.led_by(*number)?),
        }
    }

    /// Its name in the history of the catalog.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Said(_) => "updated",
            Self::Primary(_) => "primary-set",
            Self::Verb(verb, _) => match verb {
                Verb::Enable => "enabled",
                Verb::Disable => "disabled",
                Verb::MarkCompromised => "compromised",
                Verb::ScheduleDestruction => "destroy-scheduled",
                Verb::Restore => "restored",
                Verb::Destroy => "destroyed",
            },
        }
    }

    /// The one version that it is about; 0: the key.
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Said(_) => 0,
            Self::Primary(number) => *number,
            Self::Verb(_, versions) => match versions.as_slice() {
                [one] => *one,
                _ => 0,
            },
        }
    }
}

impl Change {
    /// The key with the change. Its other names are not held against those of others.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Expires`] and [`Error::NoPeriod`].
    pub fn of(&self, key: &Key, now: SystemTime) -> Result<Key, Error> {
        let refused = |why| Refused { key: key.id.clone(), version: key.primary, why };
        if key.is_gone() {
            return Err(refused(Why::State(State::Destroyed)).into());
        }
        for minimum in [self.min_protect, self.min_process].into_iter().flatten() {
            if minimum > key.primary {
                return Err(refused(Why::PrimaryBelow(minimum)).into());
            }
        }
        let mut key = key.clone();
        set(&mut key.labels, self.labels.as_ref());
        set(&mut key.description, self.description.as_ref());
        set(&mut key.aliases, self.aliases.as_ref());
        set(&mut key.not_before, self.not_before.as_ref());
        set(&mut key.expires, self.expires.as_ref());
        set(&mut key.min_protect, self.min_protect.as_ref());
        set(&mut key.min_process, self.min_process.as_ref());
        if let Some(period) = self.rotation_period {
            key.rotation_period = period;
            // A shorter period is not to wait for the end of a longer one.
            let first = period.and_then(|period| now.checked_add(period));
            key.next_rotation = first.map(|first| key.next_rotation.map_or(first, |next| next.min(first)));
        }
        set(&mut key.next_rotation, self.next_rotation.as_ref());
        if key.next_rotation.is_some() && key.rotation_period.is_none() {
            return Err(Error::NoPeriod);
        }
        if key.rotation_period.is_some() && key.import_only {
            return Err(Error::ImportOnly(key.id));
        }
        let is_changed = self.not_before.is_some() || self.expires.is_some();
        match (key.not_before, key.expires) {
            (Some(not_before), Some(expires)) if is_changed && expires <= not_before => Err(Error::Expires),
            _ => Ok(key),
        }
    }
}

fn set<T: Clone>(field: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        field.clone_from(value);
    }
}
