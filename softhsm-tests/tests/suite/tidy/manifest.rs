//! What the manifests of the workspace say.

use std::fs;

use super::{VENDORS, source::root};

/// The one crate that must speak C; it has lints of its own.
const UNSAFE: &str = "softhsm-tests/chaos";

/// The `Cargo.toml` of a member.
pub(super) struct Manifest {
    /// The directory of the member; empty for the gateway itself.
    directory: String,
    table: toml::Table,
}

/// Every member of the workspace.
pub(super) fn manifests() -> Vec<Manifest> {
    let read = |directory: &str| {
        let path = root().join(directory).join("Cargo.toml");
        Manifest {
            directory: directory.to_owned(),
            table: fs::read_to_string(path).unwrap().parse().unwrap(),
        }
    };
    let gateway = read("");
    let members = gateway.table["workspace"]["members"].as_array().unwrap().clone();
    let members = members.iter().map(|member| read(member.as_str().unwrap()));
    let manifests: Vec<_> = members.chain([gateway]).collect();
    assert!(manifests.len() > 4, "only {} manifests were found", manifests.len());
    manifests
}

impl Manifest {
    fn path(&self) -> String {
        format!("{}/Cargo.toml", self.directory).trim_start_matches('/').to_owned()
    }

    /// What it depends on, to run, to be tested or to be built.
    fn dependencies(&self) -> Vec<&str> {
        let sections = self.table.iter().filter(|(name, _)| name.ends_with("dependencies"));
        sections
            .filter_map(|(_, section)| section.as_table())
            .flat_map(|section| section.keys())
            .map(String::as_str)
            .collect()
    }

    /// The dependencies that it must not have.
    pub(super) fn forbidden(&self) -> Vec<String> {
        let may = |dependency: &str| {
            let workspace = dependency == "skms" || dependency.starts_with("skms-");
            match self.directory.as_str() {
                "softhsm-tests" => true,
                "" => !["skms-tests", "skms-chaos"].contains(&dependency),
                "backends/core" => !workspace,
                _ => !workspace || dependency == "skms-backend",
            }
        };
        let vendors = |dependency: &str| {
            VENDORS.iter().all(|(vendor, by)| *vendor != dependency || by.contains(&self.directory.as_str()))
        };
        let violation = |dependency: &str| {
            format!(
                "{}: must not depend on `{dependency}`: a backend knows its contract and one vendor",
                self.path()
            )
        };
        let dependencies = self.dependencies().into_iter();
        dependencies.filter(|dependency| !may(dependency) || !vendors(dependency)).map(violation).collect()
    }

    /// A violation where it does not take the lints of the workspace.
    pub(super) fn without_lints(&self) -> Option<String> {
        if self.directory == UNSAFE {
            return None;
        }
        let taken = self.table.get("lints").and_then(|lints| lints.get("workspace"));
        let taken = taken.and_then(toml::Value::as_bool) == Some(true);
        (!taken).then(|| format!("{}: does not say `[lints] workspace = true`", self.path()))
    }
}

#[test]
fn a_forbidden_dependency_is_found() {
    let forbidden = |directory: &str, dependency: &str| {
        let table = format!("[dev-dependencies]\n{dependency} = \"1\"").parse().unwrap();
        !Manifest { directory: directory.to_owned(), table }.forbidden().is_empty()
    };
    assert!(forbidden("backends/software", "skms"));
    assert!(forbidden("backends/software", "skms-backend-pkcs11"));
    assert!(forbidden("backends/core", "skms-backend-software"));
    assert!(forbidden("backends/core", "cryptoki"));
    assert!(forbidden("", "cryptoki"));
    assert!(!forbidden("backends/pkcs11", "cryptoki"));
    assert!(!forbidden("backends/pkcs11", "skms-backend"));
}
