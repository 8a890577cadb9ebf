//! What `skms policy` prints as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    auth::Caller,
    model::Key,
    policy::{Decision, Statement},
};

/// A policy and its place.
#[derive(Serialize)]
pub(super) struct StatementView {
    pub(super) id: String,
    pub(super) effect: &'static str,
    pub(super) file: String,
    pub(super) line: usize,
}

impl From<&Statement> for StatementView {
    fn from(statement: &Statement) -> Self {
        let Statement { id, effect, file, line } = statement;
        let file = file.display().to_string();
        Self { id: id.to_string(), effect: effect.name(), file, line: *line }
    }
}

/// What was decided, and by what.
#[derive(Serialize)]
pub(super) struct DecisionView {
    pub(super) allowed: bool,
    pub(super) policies: Vec<StatementView>,
}

impl DecisionView {
    pub(super) fn new(decision: &Decision, statements: &[Statement]) -> Self {
        let decided = |statement: &&Statement| decision.policies.contains(&statement.id);
        Self {
            allowed: decision.allowed,
            policies: statements.iter().filter(decided).map(StatementView::from).collect(),
        }
    }
}

/// Who was supposed to call.
#[derive(Serialize)]
pub(super) struct CallerView {
    id: String,
    method: &'static str,
    roles: Vec<String>,
    tenant: Option<String>,
}

impl From<&Caller> for CallerView {
    fn from(caller: &Caller) -> Self {
        Self {
            id: caller.id().to_owned(),
            method: caller.method().name(),
            roles: caller.roles().iter().cloned().collect(),
            tenant: caller.tenant().map(str::to_owned),
        }
    }
}

/// The key that was supposed.
#[derive(Serialize)]
pub(super) struct KeyView {
    pub(super) id: String,
    pub(super) exists: bool,
    pub(super) key_type: Option<&'static str>,
    pub(super) backend: Option<String>,
    pub(super) protection_level: Option<&'static str>,
    pub(super) owner: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) state: Option<&'static str>,
    pub(super) labels: BTreeMap<String, String>,
}

impl KeyView {
    pub(super) fn missing(id: String) -> Self {
        Self {
            id,
            exists: false,
            key_type: None,
            backend: None,
            protection_level: None,
            owner: None,
            tenant: None,
            state: None,
            labels: BTreeMap::new(),
        }
    }
}

impl From<&Key> for KeyView {
    fn from(key: &Key) -> Self {
        Self {
            id: key.id.to_string(),
            exists: true,
            key_type: Some(key.key_type.name()),
            backend: Some(key.backend.to_string()),
            protection_level: key.protection_floor.map(skms_backend::ProtectionLevel::name),
            owner: Some(key.owner.clone()),
            tenant: key.tenant.clone(),
            state: Some(key.state().name()),
            labels: key.labels.clone(),
        }
    }
}

/// The whole explanation.
#[derive(Serialize)]
pub(super) struct Explanation {
    pub(super) caller: CallerView,
    pub(super) action: &'static str,
    /// `null` where the action is done to the gateway.
    pub(super) key: Option<KeyView>,
    pub(super) allowed: bool,
    /// The first step.
    pub(super) may_call: DecisionView,
    /// The second step.
    pub(super) decide: DecisionView,
}
