//! A key as it must be: a list of states, a primary, two minimums. Simple enough to be
//! believed, and written without a look at what it is held against.

use skms::proto::KeyState;

use super::Verb;

use KeyState::{Compromised, DestroyScheduled, Disabled, Enabled};

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Turn(Verb, Vec<u32>),
    Lead(u32),
    Rotate(bool),
    MinProtect(u32),
    MinProcess(u32),
    Sign(u32),
    Verify(u32, bool),
}

/// A key as it must be.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Each with whether it was ever compromised.
    pub(super) versions: Vec<(KeyState, bool)>,
    pub(super) primary: u32,
    pub(super) min_protect: u32,
    pub(super) min_process: u32,
}

/// What a step must be answered.
pub(super) type Answer = Result<(), &'static str>;

fn reason(state: KeyState) -> &'static str {
    match state {
        Disabled => "KEY_DISABLED",
        Compromised => "KEY_COMPROMISED",
        DestroyScheduled => "KEY_DESTROY_SCHEDULED",
        other => panic!("{other:?} is no reason"),
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self { versions: vec![(Enabled, false)], primary: 1, min_protect: 0, min_process: 0 }
    }

    fn state(&self, number: u32) -> Option<KeyState> {
        let at = usize::try_from(number).unwrap().checked_sub(1)?;
        self.versions.get(at).map(|(state, _)| *state)
    }

    /// What the step is answered; with `Ok` the key is another one afterwards.
    pub(super) fn take(&mut self, step: &Step) -> Answer {
        match step {
            Step::Turn(verb, versions) => self.turn(*verb, versions),
            Step::Lead(number) => match self.state(*number) {
                None => Err("KEY_VERSION_NOT_FOUND"),
                Some(Enabled) if *number < self.min_protect.max(self.min_process) => {
                    Err("VERSION_BELOW_MINIMUM")
                }
                Some(Enabled) => {
                    self.primary = *number;
                    Ok(())
                }
                Some(other) => Err(reason(other)),
            },
            Step::Rotate(stage_only) => match self.state(self.primary).unwrap() {
                Enabled => {
                    self.versions.push((Enabled, false));
                    if !stage_only {
                        self.primary = u32::try_from(self.versions.len()).unwrap();
                    }
                    Ok(())
                }
                other => Err(reason(other)),
            },
            Step::MinProtect(minimum) | Step::MinProcess(minimum) if *minimum > self.primary => {
                Err("VERSION_BELOW_MINIMUM")
            }
            Step::MinProtect(minimum) => {
                self.min_protect = *minimum;
                Ok(())
            }
            Step::MinProcess(minimum) => {
                self.min_process = *minimum;
                Ok(())
            }
            Step::Sign(number) => self.may(*number, self.min_protect, false),
            Step::Verify(number, accept) => self.may(*number, self.min_process, *accept),
        }
    }

    fn may(&self, number: u32, minimum: u32, accept_compromised: bool) -> Answer {
        match self.state(number).ok_or("KEY_VERSION_NOT_FOUND")? {
            Compromised if accept_compromised => {}
            Enabled => {}
            other => return Err(reason(other)),
        }
        if number < minimum { Err("VERSION_BELOW_MINIMUM") } else { Ok(()) }
    }

    fn turn(&mut self, verb: Verb, named: &[u32]) -> Answer {
        if named.iter().any(|number| self.state(*number).is_none()) {
            return Err("KEY_VERSION_NOT_FOUND");
        }
        let all: Vec<u32> = (1..=u32::try_from(self.versions.len()).unwrap()).collect();
        let meant = if named.is_empty() {
            all.clone()
        } else {
            all.iter().copied().filter(|n| named.contains(n)).collect()
        };
        let mut after = self.versions.clone();
        let mut no = Vec::new();
        for number in &meant {
            let (state, known) = &mut after[usize::try_from(*number).unwrap() - 1];
            match (verb, *state) {
                (Verb::Enable, Enabled | Disabled) => *state = Enabled,
                (Verb::Disable, Enabled | Disabled) => *state = Disabled,
                (Verb::Compromise, Enabled | Disabled | Compromised) => {
                    (*state, *known) = (Compromised, true);
                }
                // Still to be destroyed; but called off, it is what it is marked as.
                (Verb::Compromise, DestroyScheduled) => *known = true,
                (Verb::Destroy, _) => *state = DestroyScheduled,
                (Verb::Restore, DestroyScheduled) => *state = if *known { Compromised } else { Disabled },
                (Verb::Restore, _) => {}
                (_, other) => no.push((*number, other)),
            }
        }
        if !named.is_empty()
            && let Some((_, state)) = no.iter().find(|(number, _)| *number == self.primary).or(no.first())
        {
            return Err(reason(*state));
        }
        if after == self.versions
            && let Some((_, state)) = no.iter().find(|(number, _)| *number == self.primary)
        {
            return Err(reason(*state));
        }
        let whole = meant == all;
        let leads = meant.contains(&self.primary);
        let lost = match verb {
            Verb::Disable | Verb::Destroy => leads,
            Verb::Restore => !leads && self.state(self.primary) == Some(DestroyScheduled),
            Verb::Enable | Verb::Compromise => false,
        };
        if lost && !whole {
            return Err("PRIMARY_VERSION_REQUIRED");
        }
        self.versions = after;
        Ok(())
    }
}
