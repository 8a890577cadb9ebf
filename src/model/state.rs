//! The states of a version, and the one table of what each verb makes of them.

use serde::{Deserialize, Serialize};

/// The state of one version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The material is being made.
    PendingGeneration,
    /// Waits for imported material.
    PendingImport,
    /// In use.
    Enabled,
    /// Taken out of use, for now.
    Disabled,
    /// Known to others.
    Compromised,
    /// Will be destroyed.
    DestroyScheduled,
    /// Gone for good.
    Destroyed,
    /// The material could not be made.
    GenerationFailed,
    /// The import failed.
    ImportFailed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::PendingGeneration,
        Self::PendingImport,
        Self::Enabled,
        Self::Disabled,
        Self::Compromised,
        Self::DestroyScheduled,
        Self::Destroyed,
        Self::GenerationFailed,
        Self::ImportFailed,
    ];

    /// The name in listings, filters and the catalog.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingGeneration => "pending-generation",
            Self::PendingImport => "pending-import",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Compromised => "compromised",
            Self::DestroyScheduled => "destroy-scheduled",
            Self::Destroyed => "destroyed",
            Self::GenerationFailed => "generation-failed",
            Self::ImportFailed => "import-failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What is done to a version to change its state. States change through these only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Takes it into use.
    Enable,
    /// Takes it out of use.
    Disable,
    /// Says that others know it.
    MarkCompromised,
    /// Has it destroyed, later.
    ScheduleDestruction,
    /// Calls that off.
    Restore,
    /// Destroys it, when its time has come. The gateway's own.
    Destroy,
}

/// What a verb does to a version in some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It gets this state.
    Becomes(State),
    /// It gets back the state that it had: compromised, where it was that, else
    /// disabled. Nothing comes back into use without a second thought.
    Returns,
    /// It keeps its state, and is known to others from now on: called off, it is
    /// compromised.
    Taints,
    /// It is already as it is meant to be: done, and nothing changes.
    Stays,
    /// The verb does not apply; the state is the reason.
    Refused,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 6] = [
        Self::Enable,
        Self::Disable,
        Self::MarkCompromised,
        Self::ScheduleDestruction,
        Self::Restore,
        Self::Destroy,
    ];

    /// THE TABLE: what each verb does in each state. What is being made becomes
    /// enabled when the device has made it, and by no verb.
    #[must_use]
    pub const fn on(self, state: State) -> Effect {
        use Effect::{Becomes, Refused, Returns, Stays, Taints};
        use State as S;
        match (self, state) {
            (Self::Enable, S::Disabled) => Becomes(S::Enabled),
            (Self::Enable, S::Enabled) => Stays,
            (Self::Disable, S::Enabled) => Becomes(S::Disabled),
            (Self::Disable, S::Disabled) => Stays,
            (Self::MarkCompromised, S::Enabled | S::Disabled) => Becomes(S::Compromised),
            (Self::MarkCompromised, S::Compromised) => Stays,
            (Self::MarkCompromised, S::DestroyScheduled) => Taints,
            (Self::ScheduleDestruction, S::Enabled | S::Disabled | S::Compromised) => {
                Becomes(S::DestroyScheduled)
            }
            (Self::ScheduleDestruction, S::DestroyScheduled) => Stays,
            // There is no material that anybody could miss.
            (Self::ScheduleDestruction, S::GenerationFailed | S::ImportFailed) => Becomes(S::Destroyed),
            (Self::Restore, S::DestroyScheduled) => Returns,
            // Nothing is scheduled, and so nothing is left to call off.
            (Self::Restore, S::Enabled | S::Disabled | S::Compromised) => Stays,
            (Self::Destroy, S::DestroyScheduled) => Becomes(S::Destroyed),
            (Self::Destroy, S::Destroyed) => Stays,
            (Self::Enable, S::Compromised | S::DestroyScheduled)
            | (Self::Disable, S::Compromised | S::DestroyScheduled)
            | (Self::Destroy, S::Enabled | S::Disabled | S::Compromised)
            | (
                Self::Enable | Self::Disable | Self::MarkCompromised | Self::Restore | Self::Destroy,
                S::GenerationFailed | S::ImportFailed,
            )
            | (
                Self::Enable
                | Self::Disable
                | Self::MarkCompromised
                | Self::ScheduleDestruction
                | Self::Restore,
                S::Destroyed,
            )
            | (_, S::PendingGeneration | S::PendingImport) => Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What may follow what, as the API says it, once more and without the verbs.
    const LEGAL: &[(State, State)] = &[
        (State::Enabled, State::Disabled),
        (State::Disabled, State::Enabled),
        (State::Enabled, State::DestroyScheduled),
        (State::Disabled, State::DestroyScheduled),
        (State::DestroyScheduled, State::Destroyed),
        (State::DestroyScheduled, State::Disabled),
        (State::Enabled, State::Compromised),
        (State::Disabled, State::Compromised),
        (State::Compromised, State::DestroyScheduled),
        (State::DestroyScheduled, State::Compromised),
        (State::GenerationFailed, State::Destroyed),
        (State::ImportFailed, State::Destroyed),
    ];

    fn followers(verb: Verb, state: State) -> Vec<State> {
        match verb.on(state) {
            Effect::Becomes(next) => vec![next],
            Effect::Returns => vec![State::Disabled, State::Compromised],
            Effect::Taints | Effect::Stays | Effect::Refused => Vec::new(),
        }
    }

    fn name(state: State) -> &'static str {
        state.name()
    }

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn the_verbs_make_every_legal_transition_and_no_other() {
        let mut made = BTreeSet::new();
        for (verb, state) in Verb::ALL.iter().flat_map(|verb| State::ALL.map(|state| (*verb, state))) {
            made.extend(followers(verb, state).into_iter().map(|next| (name(state), name(next))));
        }
        assert_eq!(made, LEGAL.iter().map(|(from, to)| (name(*from), name(*to))).collect());
    }

    #[test]
    fn a_verb_that_was_done_can_be_done_again() {
        for (verb, state) in Verb::ALL.iter().flat_map(|verb| State::ALL.map(|state| (*verb, state))) {
            for next in followers(verb, state) {
                // A schedule for what never was: the second is told that it is gone.
                if (verb, next) != (Verb::ScheduleDestruction, State::Destroyed) {
                    assert_eq!(verb.on(next), Effect::Stays, "{verb:?} after {state:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_destroyed_or_compromised_never_comes_back_into_use() {
        fn reachable(from: State, seen: &mut BTreeSet<&'static str>) {
            for next in Verb::ALL.into_iter().flat_map(|verb| followers(verb, from)) {
                if seen.insert(name(next)) {
                    reachable(next, seen);
                }
            }
        }
        let mut after_destruction = BTreeSet::new();
        reachable(State::Destroyed, &mut after_destruction);
        assert!(after_destruction.is_empty());
        for verb in Verb::ALL {
            assert!(!followers(verb, State::Compromised).contains(&State::Enabled));
            assert!(!followers(verb, State::DestroyScheduled).contains(&State::Enabled));
        }
    }
}
