//! What a verb makes of a whole key: which versions it means, which of them it
//! changes, and why it is refused.
//!
//! **Invariant:** the primary is disabled or destroyed only together with the whole
//! key, and restored with it: what is not named still signs.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Effect, Key, KeyId, State, Verb, Version};

/// A change of a key that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {version} of the key `{key}` {why}")]
pub struct Refused {
    /// The key.
    pub key: KeyId,
    /// The version that is in the way.
    pub version: u32,
    /// Why.
    pub why: Why,
}

/// Why a change cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// There is no such version.
    #[error("does not exist")]
    Missing,
    /// It is in this state.
    #[error("is {}", .0.name())]
    State(State),
    /// It was to be destroyed by now.
    #[error("cannot be restored any more: the time for that is over")]
    TooLate,
    /// It is the primary, and others would be left without it.
    #[error("is the primary: make another one that first, or mean the whole key")]
    Primary,
    /// It is below this minimum.
    #[error("is below the minimum of {0}")]
    BelowMinimum(u32),
    /// It would be the primary below this minimum.
    #[error("is the primary, and would be below the minimum of {0}")]
    PrimaryBelow(u32),
}

impl Key {
    /// The key after a verb at this time. `versions` are those that are meant; none:
    /// the whole key. Of named versions every one must allow the verb. Of a whole key
    /// those change that allow it, and where none does, the primary says why.
    ///
    /// # Errors
    /// What is in the way.
    pub fn after(&self, verb: Verb, versions: &[u32], now: SystemTime) -> Result<Self, Refused> {
        if let Some(&missing) = versions.iter().find(|&&number| number == 0 || self.version(number).is_none())
        {
            return Err(self.refused(missing, Why::Missing));
        }
        let means = |version: &Version| versions.is_empty() || versions.contains(&version.number);
        let mut key = self.clone();
        let (mut changed, mut refused) = (false, None);
        for version in key.versions.iter_mut().filter(|version| means(version)) {
            match version.after(verb, self.destroy_after, now) {
                Ok(Some(next)) => {
                    *version = Arc::new(next);
                    changed = true;
                }
                Ok(None) => {}
                // The primary speaks for the key.
                Err(why) if refused.is_none() || version.number == self.primary => {
                    refused = Some(self.refused(version.number, why));
                }
                Err(_) => {}
            }
        }
        let speaks = |refused: &Refused| refused.version == self.primary || self.primary == 0;
        match refused {
            // Where nothing changes, the whole key is as it was meant to be only if its primary is.
            Some(refused) if !versions.is_empty() || (!changed && speaks(&refused)) => return Err(refused),
            _ => {}
        }
        key.leaves_a_primary(self, verb, versions)?;
        if key.is_gone() {
            key.entomb();
        }
        Ok(key)
    }

    /// The key with another primary.
    ///
    /// # Errors
    /// There is no such version, it is not enabled, or it is below a minimum.
    pub fn led_by(&self, number: u32) -> Result<Self, Refused> {
        let version = self.version(number).filter(|_| number != 0);
        let version = version.ok_or_else(|| self.refused(number, Why::Missing))?;
        if version.state != State::Enabled {
            return Err(self.refused(number, Why::State(version.state)));
        }
        let minimum = self.min_protect.max(self.min_process);
        if number < minimum {
            return Err(self.refused(number, Why::BelowMinimum(minimum)));
        }
        Ok(Self { primary: number, ..self.clone() })
    }

    /// When the whole key will be destroyed, if that is scheduled.
    #[must_use]
    pub fn destroys(&self) -> Option<SystemTime> {
        let ends = |version: &Arc<Version>| match version.state {
            State::DestroyScheduled => Some(version.destroys),
            State::Destroyed => Some(None),
            _ => None,
        };
        let times: Option<Vec<_>> = self.versions.iter().map(ends).collect();
        times?.into_iter().flatten().max()
    }

    /// When the gateway is to rotate it: a key that is out of use waits.
    #[must_use]
    pub fn rotates(&self) -> Option<SystemTime> {
        self.next_rotation.filter(|_| self.state() == State::Enabled)
    }

    /// The rotation after the one that is being done: a whole number of periods later,
    /// and not one that was missed.
    #[must_use]
    pub fn rotation_after(&self, now: SystemTime) -> Option<SystemTime> {
        let (due, period) = (self.next_rotation?, self.rotation_period?);
        let late = now.duration_since(due).unwrap_or_default();
        let missed = late.as_millis().checked_div(period.as_millis())?;
        let steps = u32::try_from(missed).ok()?.checked_add(1)?;
        due.checked_add(period.checked_mul(steps)?)
    }

    /// What is left of a key without material: its id, which is never used again, and
    /// who may know of it.
    pub(super) fn entomb(&mut self) {
        self.aliases.clear();
        self.next_rotation = None;
    }

    /// Whether a verb on some versions leaves the others what they need.
    fn leaves_a_primary(&self, before: &Self, verb: Verb, versions: &[u32]) -> Result<(), Refused> {
        let named = |number: u32| versions.contains(&number);
        let gone = |version: &Version| version.state == State::Destroyed;
        let whole = versions.is_empty() || self.versions.iter().all(|each| named(each.number) || gone(each));
        let alone = match verb {
            Verb::Disable | Verb::ScheduleDestruction => named(before.primary),
            // Else the primary would be destroyed, and they would be left without one.
            Verb::Restore => {
                !named(before.primary)
                    && before.version(0).is_some_and(|primary| primary.state == State::DestroyScheduled)
            }
            // What has become known must be stopped at once, whatever it is.
            Verb::MarkCompromised | Verb::Enable | Verb::Destroy => false,
        };
        if alone && !whole { Err(before.refused(before.primary, Why::Primary)) } else { Ok(()) }
    }

    fn refused(&self, version: u32, why: Why) -> Refused {
        Refused { key: self.id.clone(), version, why }
    }
}

impl Version {
    /// The version after a verb; `None`: it is as it was.
    pub(super) fn after(&self, verb: Verb, keeps: Duration, now: SystemTime) -> Result<Option<Self>, Why> {
        let state = match verb.on(self.state) {
            Effect::Refused => return Err(Why::State(self.state)),
            Effect::Stays => return Ok(None),
            Effect::Taints if self.compromised.is_some() => return Ok(None),
            Effect::Taints => return Ok(Some(Self { compromised: Some(now), ..self.clone() })),
            Effect::Becomes(state) => state,
            // From then on the material may be gone.
            Effect::Returns if self.destroys.is_none_or(|destroys| destroys <= now) => {
                return Err(Why::TooLate);
            }
            Effect::Returns if self.compromised.is_some() => State::Compromised,
            Effect::Returns => State::Disabled,
        };
        let mut next = Self { state, ..self.clone() };
        match state {
            State::DestroyScheduled => next.destroys = now.checked_add(keeps),
            State::Compromised => next.compromised = self.compromised.or(Some(now)),
            State::Destroyed => {
                next.destroyed = Some(now);
                next.key = None;
            }
            State::Enabled
            | State::Disabled
            | State::PendingGeneration
            | State::PendingImport
            | State::GenerationFailed
            | State::ImportFailed => {}
        }
        if matches!(verb, Verb::Restore) {
            next.destroys = None;
        }
        Ok(Some(next))
    }
}

#[cfg(test)]
mod tests;
