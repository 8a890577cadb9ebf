//! The configuration: one TOML file, and environment variables over it.
//!
//! Each component owns its own `Config`; this gathers them. Whatever is wrong is
//! told with its file and line, or with the variable that set it, and everything
//! that is wrong is told at once.
//!
//! **Invariant:** no error repeats a secret that somebody wrote in place of a
//! reference to it. Errors are made of paths, kinds and remedies; a value appears in
//! one only where the field's own type quotes it, and `SecretRef` never does.

mod environment;
mod error;
mod node;
mod reader;
mod refusal;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

pub use self::{
    environment::environment,
    error::{Error, Problem},
};
use self::{error::Origin, node::Node};
use crate::{
    admin, audit, auth, backends, catalog, health, keys, model::BadValue, policy, rates, server, telemetry,
    transport,
};

/// All that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How the gateway serves.
    pub server: server::Config,
    /// Where it listens.
    pub listeners: transport::Listeners,
    /// How many connections there may be, and for how long.
    pub connections: transport::Connections,
    /// Who can call.
    pub auth: auth::Config,
    /// How large a message and how long an operation may be.
    pub limits: keys::Limits,
    /// Where the catalog is kept.
    pub catalog: catalog::Config,
    /// Where the audit log is kept.
    pub audit: audit::Config,
    /// Where the policies are.
    pub policy: policy::Config,
    /// How much each caller and each key may be asked for.
    pub rates: rates::Config,
    /// What is logged and how.
    pub log: telemetry::Config,
    /// Where traces go.
    pub traces: telemetry::Traces,
    /// Where the gateway speaks of itself.
    pub admin: admin::Config,
    /// How the backends are probed.
    pub health: health::Config,
    /// The backends, and where new keys go.
    pub backends: backends::Config,
}

impl Config {
    /// Reads the file at `path` and the variables `SKMS__SECTION__FIELD` of `env`
    /// over it. Relative paths, in both, are relative to the directory of the file.
    ///
    /// # Errors
    /// The file cannot be read, or it or a variable says what cannot work; then each
    /// problem comes with its place and its remedy.
    pub fn load(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|source| Error::Read { file: path.into(), source })?;
        let config = Self::parse(&text, env).map_err(|problems| Error::refused(path, problems))?;
        Ok(config.relative_to(path.parent().unwrap_or(Path::new(""))))
    }

    fn parse(text: &str, env: impl Iterator<Item = (String, String)>) -> Result<Self, Vec<Problem>> {
        let mut tree = Node::parse_file(text)?;
        let mut problems = environment::apply(&mut tree, env);
        let file: Option<File> = reader::read(&mut tree, &mut problems);
        let Some(config) = file.map(Self::from) else { return Err(problems) };

        // A section that was not read in full holds defaults which nobody chose, so
        // how its values go together says nothing.
        let unread = |name| problems.iter().any(|known| section(known.field()) == name);
        let mut bad_values = config.bad_values(unread("auth"));
        bad_values.retain(|bad| problems.iter().all(|known| section(known.field()) != section(&bad.field)));
        for BadValue { field, problem } in bad_values {
            let (origin, field) = tree.trace(field.split('.'));
            problems.push(Problem::new(origin, field, problem));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }

    fn bad_values(&self, auth_is_unread: bool) -> Vec<BadValue> {
        let Self {
            server,
            listeners,
            connections,
            auth,
            limits,
            catalog,
            audit,
            policy,
            rates,
            log: _,
            traces,
            admin: _,
            health,
            backends,
        } = self;
        let authorities: Vec<_> = auth.certificates.keys().map(auth::Name::as_str).collect();
        [
            server.bad_values(),
            listeners.bad_values((!auth_is_unread).then_some(&authorities)),
            connections.bad_values(),
            auth.bad_values(),
            limits.bad_values(),
            catalog.bad_values(),
            audit.bad_values(),
            traces.bad_values(),
            policy.bad_values(),
            rates.bad_values(),
            health.bad_values(),
            backends.bad_values(),
            self.same_file(),
        ]
        .concat()
    }

    /// The database, the log and its anchors must not write over each other.
    fn same_file(&self) -> Vec<BadValue> {
        let catalog = ["", "-wal", "-shm", "-journal", "-nonces"].map(|end| {
            let mut path = self.catalog.path.clone().into_os_string();
            path.push(end);
            plain(Path::new(&path))
        });
        let (log, anchors) = (plain(&self.audit.path), self.audit.anchor_file.as_deref().map(plain));
        let of_catalog = catalog.contains(&log).then(|| {
            BadValue::new("audit.path", "is a file of `catalog.path`; give the log a file of its own")
        });
        let taken = match &anchors {
            Some(anchors) if *anchors == log => Some("is `audit.path`"),
            Some(anchors) if catalog.contains(anchors) => Some("is a file of `catalog.path`"),
            Some(_) | None => None,
        };
        let of_others = taken.map(|taken| {
            BadValue::new("audit.anchor_file", format!("{taken}; give the anchors a file of their own"))
        });
        of_catalog.into_iter().chain(of_others).collect()
    }

    fn relative_to(self, base: &Path) -> Self {
        Self {
            listeners: self.listeners.relative_to(base),
            auth: self.auth.relative_to(base),
            catalog: self.catalog.relative_to(base),
            audit: self.audit.relative_to(base),
            policy: self.policy.relative_to(base),
            backends: self.backends.relative_to(base),
            ..self
        }
    }
}

/// A path in the one spelling that it has without `.` and `..`, as far as that can be
/// told without looking for links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The file as it is laid out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    server: server::Config,
    listeners: transport::Listeners,
    connections: transport::Connections,
    auth: auth::Config,
    limits: keys::Limits,
    catalog: catalog::Config,
    audit: audit::Config,
    policy: policy::Config,
    rates: rates::Config,
    log: telemetry::Config,
    traces: telemetry::Traces,
    admin: admin::Config,
    health: health::Config,
    placement: backends::Placement,
    backends: backends::Config,
}

impl From<File> for Config {
    fn from(file: File) -> Self {
        let File {
            server,
            listeners,
            connections,
            auth,
            limits,
            catalog,
            audit,
            policy,
            rates,
            log,
            traces,
            admin,
            health,
            placement,
            backends,
        } = file;
        let backends = backends::Config { placement, ..backends };
        Self {
            server,
            listeners,
            connections,
            auth,
            limits,
            catalog,
            audit,
            policy,
            rates,
            log,
            traces,
            admin,
            health,
            backends,
        }
    }
}

/// The section of a field. Backends and their placement are judged together.
fn section(field: &str) -> &str {
    match field.split('.').next() {
        Some("placement") => "backends",
        Some(section) => section,
        None => field,
    }
}
