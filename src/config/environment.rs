//! Environment variables over the file: `SKMS__SECTION__FIELD`.

use std::collections::BTreeMap;

use super::{Origin, Problem, node::Node};

/// The environment of this process. Unlike `std::env::vars` it does not panic on a
/// variable that is not UTF-8.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, value)| (text(name), text(value)))
}

/// Sets in `tree` what the variables say, and tells which of them say nothing.
pub(super) fn apply(tree: &mut Node, env: impl Iterator<Item = (String, String)>) -> Vec<Problem> {
    // In the order of their names, so that `SKMS__LOG` comes before `SKMS__LOG__LEVEL`
    // and the outcome does not depend on the order of the environment.
    let variables: BTreeMap<_, _> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let mut problems = Vec::new();
    let mut first_by_path = BTreeMap::new();
    for (name, text) in variables {
        let mut refuse = |field: String, remedy: String| {
            problems.push(Problem::new(Origin::Variable(name.as_str().into()), field, remedy));
        };
        let path = path(&name);
        if path.iter().any(String::is_empty) {
            refuse(String::new(), format!("names no field; write `{PREFIX}SECTION__FIELD`"));
            continue;
        }
        if let Some(first) = first_by_path.insert(path.clone(), name.clone()) {
            refuse(path.join("."), format!("set by `{first}` as well; keep one"));
            continue;
        }
        tree.insert(&path, Node::parse_variable(&name, text));
    }
    problems
}

fn path(name: &str) -> Vec<String> {
    let mut path: Vec<_> = name.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect();
    // The names of backends have `-`, which the names of variables cannot have.
    if let [section, _kind, name, ..] = path.as_mut_slice()
        && section == "backends"
    {
        *name = name.replace('_', "-");
    }
    path
}

/// Doubled, because the names of fields have single underscores.
const PREFIX: &str = "SKMS__";
