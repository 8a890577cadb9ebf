//! What a file names: modules of its own crate, libraries, and the types that
//! only one place may make.

use regex::Regex;

use super::{FLOORS, LEAVES, May, WORDS, source::Source};

/// The modules that a file must not import, and does.
pub(super) fn forbidden(source: &Source) -> Vec<String> {
    let Some(floor) = source.floor().and_then(|name| FLOORS.iter().find(|floor| floor.name == name)) else {
        return Vec::new();
    };
    let May::Only(may) = floor.may else { return Vec::new() };
    let allowed = |path: &str| {
        let within = |whole: &str| path == whole || path.starts_with(&format!("{whole}::"));
        within(floor.name) || LEAVES.into_iter().any(within) || may.iter().any(|entry| within(entry))
    };
    // What is no module is an item of the crate itself, such as a macro.
    let is_floor = |path: &str| FLOORS.iter().any(|floor| path.split("::").next() == Some(floor.name));
    let violation = |(line, path): (usize, String)| {
        format!("{}:{line}: `{}` must not import `{path}`: {}", source.path, floor.name, floor.why)
    };
    imports(source).into_iter().filter(|(_, path)| is_floor(path) && !allowed(path)).map(violation).collect()
}

/// Every path from the root of the crate, with its line.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let start = Regex::new(r"\bcrate\s*::\s*|(?:\bsuper\s*::\s*)+").unwrap();
    let mut found = Vec::new();
    for start in start.find_iter(&source.names) {
        let supers = start.as_str().matches("super").count();
        // Fewer stay in the floor, and more come from a module within the file.
        if supers > 0 && supers < source.depth() {
            continue;
        }
        tree(source, &mut start.end(), "", &mut found);
    }
    found
}

/// One path or group of paths of a `use`, from `at` on; `at` is left behind it.
fn tree(source: &Source, at: &mut usize, prefix: &str, found: &mut Vec<(usize, String)>) {
    let rest = |at: usize| source.names.get(at..).unwrap_or_default();
    let skip = |at: &mut usize| *at += rest(*at).len() - rest(*at).trim_start().len();
    let line = source.line(*at);
    if rest(*at).starts_with('{') {
        *at += 1;
        skip(at);
        while !rest(*at).is_empty() && !rest(*at).starts_with('}') {
            let begun = *at;
            tree(source, at, prefix, found);
            // Behind a path may stand `as other`.
            *at += rest(*at).find([',', '}']).unwrap_or(rest(*at).len());
            *at += usize::from(rest(*at).starts_with(','));
            skip(at);
            assert!(*at > begun, "{}:{line}: cannot read this `use`", source.path);
        }
        *at += 1;
        return;
    }
    let word = rest(*at).find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest(*at).len());
    let word = rest(*at).get(..word).unwrap_or_default();
    *at += word.len();
    let path = match (prefix, word) {
        ("", word) => word.to_owned(),
        // `*` and `self` are all of it.
        (prefix, "" | "self") => prefix.to_owned(),
        (prefix, word) => format!("{prefix}::{word}"),
    };
    if rest(*at).starts_with("::") {
        *at += 2;
        tree(source, at, &path, found);
    } else {
        found.push((line, path));
    }
}

/// The libraries that a file names and must not.
pub(super) fn misplaced_words(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    for word in &WORDS {
        let here =
            |by: &&str| source.floor() == Some(*by) || source.path.starts_with(*by) && by.contains('/');
        if word.by.iter().any(here) {
            continue;
        }
        for said in word.said {
            // A crate is named where a path begins with it.
            let names =
                Regex::new(&format!(r"(?:^|[^:\w]){said}\s*(?:::|;|\bas\b|\()|[{{,]\s*{said}\s*[,}}]"));
            let names = names.unwrap();
            let what = format!("must not name `{said}`: {}", word.why);
            violations.extend(source.lines(&source.names, |line| names.is_match(line), &what));
        }
    }
    violations
}

/// The ways in which a file lets others make a proof, or makes one itself.
pub(super) fn forged(source: &Source, (proof, home): (&str, &str)) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    if source.path != home {
        // Not the pattern of a function that gives one back: `-> Permit {`.
        let makes = Regex::new(&format!(r"(?:^|[^>\w:]\s*|::){proof}\s*\{{")).unwrap();
        let returned = Regex::new(&format!(r"(?:->|for)\s*{proof}\s*\{{")).unwrap();
        let forges = |line: &str| makes.is_match(line) && !returned.is_match(line);
        return source.lines(&source.names, forges, &format!("makes a `{proof}`; only {home} may"));
    }
    let shape =
        Regex::new(&format!(r"(?s)((?:#\[[^\]]*\]\s*)*)pub struct {proof}\s*[{{(]([^}})]*)[}})]")).unwrap();
    let Some(shape) = shape.captures(&source.names) else {
        return vec![format!("{home}:1: `{proof}` is not a struct here any more; correct the table")];
    };
    let line = source.line(shape.get(2).unwrap().start());
    let mut violations = Vec::new();
    if Regex::new(r"\bpub\b").unwrap().is_match(&shape[2]) {
        violations.push(format!("{home}:{line}: a public field of `{proof}` lets anybody change it"));
    }
    if Regex::new(r"\b(Default|Deserialize)\b").unwrap().is_match(&shape[1]) {
        violations.push(format!("{home}:{line}: a derived constructor lets anybody make a `{proof}`"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(path: &str, text: &str) -> Vec<String> {
        imports(&Source::new(path, text)).into_iter().map(|(line, path)| format!("{line} {path}")).collect()
    }

    #[test]
    fn every_form_of_an_import_is_read() {
        let text = "use crate::gate;\nuse crate::{\n    audit::{self, Facts as F},\n    model::*, x::Y,\n};\n\
                    pub(in crate::z) fn f() -> super::auth::Caller { super::super::Keyring }";
        let expected = [
            "1 gate",
            "3 audit",
            "3 audit::Facts",
            "4 model",
            "4 x::Y",
            "6 z",
            "6 auth::Caller",
            "6 Keyring",
        ];
        assert_eq!(imported("src/policy.rs", text), expected);
        // Here `super` is the floor itself.
        assert_eq!(imported("src/keys/sign.rs", "use super::gate;"), [""; 0]);
    }

    #[test]
    fn what_is_not_allowed_is_found_and_named_with_its_line() {
        let found =
            forbidden(&Source::new("src/rpc/keys.rs", "use crate::{\n    keys, catalog::Catalog,\n};"));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("src/rpc/keys.rs:2: `rpc` must not import `catalog::Catalog`: "),
            "{found:?}"
        );
        // One file of a floor is not the floor.
        assert!(forbidden(&Source::new("src/layers/panic.rs", "use crate::rpc::status;")).is_empty());
        assert_eq!(forbidden(&Source::new("src/layers/panic.rs", "use crate::rpc;")).len(), 1);
    }

    #[test]
    fn libraries_are_found_in_code_and_not_in_comments() {
        let named = |path, text| misplaced_words(&Source::new(path, text)).len();
        for text in ["use tonic::Code;", "tonic_types::X", "use {bytes, tonic};", "fn f() -> tonic::Status {"]
        {
            assert_eq!(named("src/keys/sign.rs", text), 1, "{text}");
        }
        for text in ["// tonic::Code", "\"tonic::Code\"", "my::tonic::X", "atonic::X"] {
            assert_eq!(named("src/keys/sign.rs", text), 0, "{text}");
        }
        assert_eq!(named("src/rpc/mod.rs", "use tonic::Code;"), 0);
        assert_eq!(named("src/rpc/mod.rs", "Caller::gateway()"), 1);
    }

    #[test]
    fn a_forged_proof_is_found() {
        let forged = |path, text| forged(&Source::new(path, text), ("Permit", "src/gate.rs")).len();
        assert_eq!(forged("src/keys/sign.rs", "let permit = Permit { call };"), 1);
        assert_eq!(forged("src/keys/sign.rs", "fn f() -> Permit {"), 0);
        assert_eq!(forged("src/gate.rs", "pub struct Permit {\n    call: Call,\n}"), 0);
        assert_eq!(forged("src/gate.rs", "pub struct Permit {\n    pub call: Call,\n}"), 1);
        assert_eq!(forged("src/gate.rs", "#[derive(Default)]\npub struct Permit {\n    call: Call,\n}"), 1);
        assert_eq!(forged("src/gate.rs", "pub enum Permit {}"), 1);
    }
}
