//! The architecture, as tests: who may import whom, where which library may be
//! named, how long a file may be.
//!
//! The tables in this file are the truth. A violation is mended in the code; or,
//! where the code is right, in the table, together with the map in `src/lib.rs`.

use std::{collections::BTreeSet, fs};

use self::{
    manifest::{Manifest, manifests},
    source::{Source, root, sources},
};

mod imports;
mod manifest;
mod source;

/// What a module of the gateway may import.
enum May {
    /// Whatever it likes: it puts the gateway together, or is one end of the wire.
    Anything,
    /// These, and what is in them.
    Only(&'static [&'static str]),
}

/// A floor of the gateway: a module directly in `src/`.
struct Floor {
    name: &'static str,
    may: May,
    /// What it must not know, as those who break the rule are told.
    why: &'static str,
}

const fn floor(name: &'static str, may: &'static [&'static str], why: &'static str) -> Floor {
    Floor { name, may: May::Only(may), why }
}

const fn composes(name: &'static str) -> Floor {
    Floor { name, may: May::Anything, why: "" }
}

/// Leaves that every floor may import.
const LEAVES: [&str; 1] = ["telemetry"];

/// Who may import whom, beside [`LEAVES`]. No floor knows one above it, and nothing
/// imports what composes, except others that do.
const FLOORS: [Floor; 26] = [
    floor("transport", &["model"], "sockets know nothing of what travels through them"),
    floor(
        "layers",
        &[
            "model",
            "auth",
            "policy",
            "rates",
            "audit",
            "rpc::status",
            "transport::Peer",
            "transport::timeout_of",
        ],
        "what every call passes knows no use case; of `rpc` it has the one file that makes statuses",
    ),
    floor(
        "rpc",
        &["model", "proto", "keys", "auth::Caller", "auth::Call"],
        "messages become nouns and back; how callers are known, the catalog, the gate and the devices are \
         behind `keys`",
    ),
    floor(
        "keys",
        &[
            "model",
            "failpoint",
            "catalog",
            "gate",
            "auth::Caller",
            "auth::Call",
            // For looking at backends and for notes in the record; using a key goes through a permit.
            "backends::Availability",
            "backends::BackendInfo",
            "backends::Probed",
            "audit::InputKind",
            "audit::Facts",
        ],
        "use cases do not decide who may, and reach a device only through the gate",
    ),
    floor(
        "gate",
        &["model", "policy", "rates", "audit", "backends", "auth::Caller", "auth::Call", "auth::Refusal"],
        "the door knows the caller, the key and the device, not the catalog and not the protocol",
    ),
    floor("policy", &["model", "auth::Caller", "auth::Method"], "decisions depend on nouns alone"),
    floor(
        "audit",
        &["model", "failpoint", "auth::Caller"],
        "the log knows what a record is, not what is recorded",
    ),
    floor("catalog", &["model", "failpoint"], "the store knows no callers and no devices"),
    floor("backup", &["model", "catalog"], "a backup is of the catalog, and uses no key of it"),
    floor("auth", &["model"], "who calls has nothing to do with what is asked"),
    floor("rates", &["model"], "how much is asked for has nothing to do with who may"),
    floor("backends", &["model"], "devices know neither rules nor use cases"),
    floor("model", &[], "nouns are at the bottom"),
    floor("telemetry", &["model"], "every floor imports it; nouns label its metrics"),
    floor("failpoint", &[], "a leaf"),
    floor("proto", &[], "generated code and nothing else"),
    floor("client", &["proto"], "the client builds without the gateway"),
    floor("shutdown", &[], "a leaf"),
    composes("config"),
    composes("server"),
    composes("main"),
    composes("lib"),
    composes("health"),
    composes("reload"),
    composes("admin"),
    composes("cli"),
];

/// Words that only some floors may say, because everything else must outlive a
/// change of the library behind them.
struct Word {
    /// The names of crates, or paths in them.
    said: &'static [&'static str],
    /// Floors of the gateway, or beginnings of paths.
    by: &'static [&'static str],
    why: &'static str,
}

const WORDS: [Word; 7] = [
    Word {
        said: &["tonic", "tonic_health", "tonic_prost", "tonic_reflection", "tonic_types"],
        by: &["rpc", "layers", "transport", "server", "client", "proto", "health", "cli", "softhsm-tests/"],
        why: "gRPC ends in `rpc`; use cases are written without it",
    },
    Word {
        said: &["cryptoki"],
        by: &["backends/pkcs11/", "softhsm-tests/"],
        why: "PKCS#11 is one backend of several",
    },
    Word {
        said: &["tss_esapi"],
        by: &["backends/tpm/", "softhsm-tests/"],
        why: "a TPM is one backend of several",
    },
    Word {
        said: &["skms_backend_pkcs11", "skms_backend_software", "skms_backend_tpm"],
        by: &["backends", "softhsm-tests/"],
        why: "`src/backends.rs` alone names concrete backends",
    },
    Word {
        // Callers are made where they are authenticated; the gateway calls itself only to sweep.
        said: &["Caller::gateway"],
        by: &["auth", "src/keys/sweep.rs"],
        why: "whoever makes a caller decides who it is",
    },
    Word {
        said: &["Caller::hypothetical"],
        by: &["auth", "src/cli/policy/"],
        why: "a caller that was not proved is only for explanations",
    },
    Word {
        said: &["cedar_policy", "miette"],
        by: &["policy"],
        why: "what decides is a matter of `policy` alone",
    },
];

/// Types that are proofs, and the only place that can make them.
const PROOFS: [(&str, &str); 2] = [("Permit", "src/gate.rs"), ("Caller", "src/auth/caller.rs")];

/// Features that are backends.
const BACKEND_FEATURES: [&str; 3] = ["pkcs11", "software", "tpm"];

/// Past this nobody reads a file to its end.
const LINES: usize = 500;

/// Every crate of a vendor, and the manifests that may name it.
const VENDORS: [(&str, &[&str]); 2] =
    [("cryptoki", &["backends/pkcs11", "softhsm-tests"]), ("tss-esapi", &["backends/tpm", "softhsm-tests"])];

/// Fails with all violations at once.
fn none(violations: &[String]) {
    let mut violations = violations.to_vec();
    violations.sort();
    violations.dedup();
    assert!(
        violations.is_empty(),
        "{} against the architecture (its tables: softhsm-tests/tests/suite/tidy.rs; its map: src/lib.rs):\n{}",
        violations.len(),
        violations.join("\n")
    );
}

fn violations(of: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(of).collect()
}

/// The same, without what tests of a floor do.
fn violations_outside_tests(of: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().filter(|source| !source.is_test()).flat_map(of).collect()
}

#[test]
fn no_floor_imports_one_that_it_must_not_know() {
    none(&violations_outside_tests(imports::forbidden));
}

#[test]
fn every_module_of_the_gateway_has_a_floor() {
    let floors: BTreeSet<String> = FLOORS.iter().map(|floor| floor.name.to_owned()).collect();
    let modules: BTreeSet<String> = sources().iter().filter_map(Source::floor).map(str::to_owned).collect();
    assert_eq!(modules, floors, "the modules in `src/`, and the table in tidy.rs");
}

#[test]
fn libraries_are_named_only_where_they_belong() {
    none(&violations_outside_tests(imports::misplaced_words));
}

#[test]
fn only_one_file_asks_which_backends_were_compiled_in() {
    let asks = |source: &Source| {
        if source.path == "src/backends.rs" {
            return Vec::new();
        }
        let features = BACKEND_FEATURES.map(|feature| format!("feature = \"{feature}\""));
        let asks = |line: &str| features.iter().any(|feature| line.contains(feature.as_str()));
        source.lines(&source.code, asks, "asks for the feature of a backend; only src/backends.rs may")
    };
    none(&violations(asks));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let mute = |source: &Source| {
        let first = source.text.lines().next().unwrap_or_default();
        let says = first.strip_prefix("//! ").is_some_and(|words| !words.trim().is_empty());
        let violation = || format!("{}:1: does not begin with `//!` and what it is for", source.path);
        (!says).then(violation).into_iter().collect()
    };
    none(&violations(mute));
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        let violation = || format!("{}:{lines}: is longer than {LINES} lines; split it", source.path);
        (lines > LINES).then(violation).into_iter().collect()
    };
    none(&violations(long));
}

#[test]
fn proofs_are_made_in_one_place() {
    none(&violations_outside_tests(|source| {
        PROOFS.iter().flat_map(|proof| imports::forged(source, *proof)).collect()
    }));
}

#[test]
fn no_crate_but_one_is_unsafe_and_all_have_the_lints_of_the_workspace() {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let unsafe_code = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(unsafe_code.as_str(), Some("forbid"), "Cargo.toml: workspace.lints.rust.unsafe_code");
    none(&manifests().iter().filter_map(Manifest::without_lints).collect::<Vec<_>>());
}

#[test]
fn backends_know_the_contract_and_nothing_else_of_the_workspace() {
    none(&manifests().iter().flat_map(Manifest::forbidden).collect::<Vec<_>>());
}
