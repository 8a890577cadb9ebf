//! The states of a version and the one table of legal transitions.

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

    /// The states that may follow this one.
    #[must_use]
    pub const fn successors(self) -> &'static [Self] {
        match self {
            Self::PendingGeneration => &[Self::Enabled, Self::GenerationFailed],
            Self::PendingImport => &[Self::Enabled, Self::ImportFailed],
            Self::Enabled => &[Self::Disabled, Self::Compromised, Self::DestroyScheduled],
            Self::Disabled => &[Self::Enabled, Self::Compromised, Self::DestroyScheduled],
            Self::Compromised => &[Self::DestroyScheduled],
            // A restored version is never enabled at once; one that was
            // compromised stays so.
            Self::DestroyScheduled => &[Self::Disabled, Self::Compromised, Self::Destroyed],
            Self::GenerationFailed | Self::ImportFailed => &[Self::Destroyed],
            Self::Destroyed => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn what_is_destroyed_or_compromised_never_comes_back_into_use() {
        fn reachable(from: State, seen: &mut Vec<State>) {
            for next in from.successors() {
                if !seen.contains(next) {
                    seen.push(*next);
                    reachable(*next, seen);
                }
            }
        }
        let mut after_destruction = Vec::new();
        reachable(State::Destroyed, &mut after_destruction);
        assert_eq!(after_destruction, []);
        assert!(!State::Compromised.successors().contains(&State::Enabled));
        assert!(!State::DestroyScheduled.successors().contains(&State::Enabled));
    }
}
