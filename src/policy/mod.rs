//! May this caller do this with this key?
//!
//! The question is asked twice, and both times Cedar (<https://docs.cedarpolicy.com>)
//! answers it from the same files: [`Policies::may_call`] before the body of a call is
//! decoded, when no key is known yet, and [`Policies::decide`] in the gate, on the key.
//! What no policy permits is denied, and what one forbids stays so.
//!
//! **Invariant:** `may_call` never refuses what `decide` could allow.
//!
//! **Invariant:** a set of policies is taken as a whole or not at all. A bad one is
//! refused with the file and the line of every problem, and the old one stays.
//!
//! **Invariant:** a policy that forbids and cannot be evaluated denies.
//!
//! A decision depends on the caller, the action and the key, and on nothing else: no
//! time, no address. That is why it can be kept.

mod config;
mod decision;
mod entities;
mod error;
mod loaded;
mod look;
mod memory;
mod reduced;
mod room;
mod sources;
mod statement;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use cedar_policy::{Authorizer, PolicySet};
use parking_lot::Mutex;
use tracing::error;

pub use self::{
    config::Config,
    decision::{Decision, Resource},
    error::{Error, Problem},
    statement::{Effect, Statement},
};
use self::{
    entities::Nouns,
    loaded::Loaded,
    memory::{Memory, Question, Seen},
};
use crate::{
    auth::{Caller, Method},
    model::{Action, Key, Target},
    telemetry::metrics,
};

/// The policies that are in force. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Policies(Arc<Inside>);

struct Inside {
    directory: PathBuf,
    nouns: Nouns,
    loaded: ArcSwap<Loaded>,
    /// One reload at a time, so that generations are counted.
    reloading: Mutex<()>,
    memory: Memory,
    evaluations: AtomicU64,
    itself: Decision,
    nobody: Decision,
}

impl Policies {
    /// Reads every `*.cedar` of the directory. Blocks.
    ///
    /// # Errors
    /// The directory or a file cannot be read; a policy is no Cedar, does not fit the
    /// schema or has an id that cannot be; there are too many; or none permits anything.
    pub fn load(config: &Config) -> Result<Self, Error> {
        let nouns = Nouns::new()?;
        let sources = sources::read(&config.directory)?;
        let loaded = Loaded::new(&config.directory, sources, 1, &nouns)?;
        metrics().policies_in_use(1);
        Ok(Self(Arc::new(Inside {
            directory: config.directory.clone(),
            nouns,
            loaded: ArcSwap::from_pointee(loaded),
            reloading: Mutex::new(()),
            memory: Memory::new(),
            evaluations: AtomicU64::new(0),
            itself: Decision { allowed: true, policies: [Arc::from(GATEWAY_ITSELF)].into() },
            nobody: Decision { allowed: false, policies: [].into() },
        })))
    }

    /// Reads the directory again and says whether anything had changed. What is being
    /// decided meanwhile is decided by the old set. Blocks.
    ///
    /// # Errors
    /// Those of [`Self::load`]; then the old set stays in force.
    pub fn reload(&self) -> Result<bool, Error> {
        let inside = &self.0;
        let _alone = inside.reloading.lock();
        let sources = sources::read(&inside.directory)?;
        let old = inside.loaded.load();
        if old.sources == sources {
            return Ok(false);
        }
        let generation = old.generation.saturating_add(1);
        let new = Loaded::new(&inside.directory, sources, generation, &inside.nouns)?;
        inside.loaded.store(Arc::new(new));
        metrics().policies_in_use(generation);
        Ok(true)
    }

    /// Where the policies are. To be watched: a file that is added counts, too.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.0.directory.clone()
    }

    /// The files that are in force.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.loaded.load().sources.iter().map(|source| source.file.to_path_buf()).collect()
    }

    /// The policies that are in force, in the order of the files.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement> {
        self.0.loaded.load().statements().cloned().collect()
    }

    /// How often the set in force was replaced, counted from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.loaded.load().generation
    }

    /// How many questions went to Cedar, because no answer was remembered.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.0.evaluations.load(Ordering::Relaxed)
    }

    /// The first step: whether there can be a key, or the gateway, for which the caller
    /// may do this.
    #[must_use]
    pub fn may_call(&self, caller: &Caller, action: Action) -> Decision {
        match (caller.method(), action.target()) {
            (Method::Gateway, _) => self.0.itself.clone(),
            // It is not in the schema: no policy can allow it.
            (_, Target::Nothing) => self.0.nobody.clone(),
            (_, Target::Key | Target::Gateway) => {
                let loaded = self.0.loaded.load();
                self.remembered(&loaded, caller, action, Some(Seen::Method), || {
                    self.ask(&loaded, &loaded.methods, caller, action, Resource::Gateway)
                })
            }
        }
    }

    /// The second step: whether the caller may do this to that.
    #[must_use]
    pub fn decide(&self, caller: &Caller, action: Action, resource: Resource<'_>) -> Decision {
        let seen = match (caller.method(), action.target(), resource) {
            (Method::Gateway, _, _) => return self.0.itself.clone(),
            (_, Target::Nothing, _) => return self.0.nobody.clone(),
            (_, Target::Key, Resource::Gateway)
            | (_, Target::Gateway, Resource::Key(_) | Resource::Missing(_)) => {
                error!(action = action.name(), "an action was decided on what it is not done to");
                return self.0.nobody.clone();
            }
            (_, Target::Gateway, Resource::Gateway) => Some(Seen::Gateway),
            // What is only proposed has no revision that tells it from other proposals.
            (_, Target::Key, Resource::Key(key)) if key.revision == 0 => None,
            (_, Target::Key, Resource::Key(key)) => Some(Seen::Key(key.id.clone(), key.revision)),
            // Else callers could fill the memory with ids that they make up.
            (_, Target::Key, Resource::Missing(_)) => None,
        };
        let loaded = self.0.loaded.load();
        self.remembered(&loaded, caller, action, seen, || {
            self.ask(&loaded, &loaded.whole, caller, action, resource)
        })
    }

    /// The same for one of many keys: those that look alike are one question, where no
    /// policy names keys.
    #[must_use]
    pub fn decide_among(&self, caller: &Caller, action: Action, key: &Key) -> Decision {
        let loaded = self.0.loaded.load();
        if loaded.names_keys || action.target() != Target::Key || caller.method() == Method::Gateway {
            drop(loaded);
            return self.decide(caller, action, Resource::Key(key));
        }
        self.remembered(&loaded, caller, action, Some(Seen::Look(look::digest(key))), || {
            self.ask(&loaded, &loaded.whole, caller, action, Resource::Key(key))
        })
    }

    fn remembered(
        &self,
        loaded: &Loaded,
        caller: &Caller,
        action: Action,
        seen: Option<Seen>,
        ask: impl FnOnce() -> Decision,
    ) -> Decision {
        let Some(seen) = seen else { return ask() };
        let question = Question { generation: loaded.generation, caller: *caller.digest(), action, seen };
        if let Some(decision) = self.0.memory.get(&question) {
            return decision;
        }
        let decision = ask();
        self.0.memory.insert(question, decision.clone());
        decision
    }

    fn ask(
        &self,
        loaded: &Loaded,
        set: &PolicySet,
        caller: &Caller,
        action: Action,
        resource: Resource<'_>,
    ) -> Decision {
        self.0.evaluations.fetch_add(1, Ordering::Relaxed);
        match self.0.nouns.request(caller, action, resource) {
            Ok((request, entities)) => {
                loaded.decision(&Authorizer::new().is_authorized(&request, set, &entities))
            }
            Err(error) => {
                error!(action = action.name(), %error, "a question cannot be put to the policies");
                self.0.nobody.clone()
            }
        }
    }
}

/// What is recorded where the gateway does something that nobody asked it for.
const GATEWAY_ITSELF: &str = "gateway-itself";
