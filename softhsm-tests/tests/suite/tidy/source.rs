//! The files that are looked at, with and without their comments and texts.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Rust file of the workspace.
pub(super) struct Source {
    /// Its path in the workspace.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
    /// The same lines without comments.
    pub(super) code: String,
    /// The same without comments and without what stands in quotes.
    pub(super) names: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, names) = strip(text);
        Self { path: path.to_owned(), text: text.to_owned(), code, names }
    }

    /// The module directly in `src/` that it is, or belongs to.
    pub(super) fn floor(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// Whether all of it is tests of its floor, which may build what the floor
    /// itself must not know.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// How many modules it is below the crate: 1 for `src/gate.rs`.
    pub(super) fn depth(&self) -> usize {
        self.path.matches('/').count() - usize::from(self.path.ends_with("/mod.rs"))
    }

    /// A violation for each line of `text` that matches.
    pub(super) fn lines(&self, text: &str, matches: impl Fn(&str) -> bool, what: &str) -> Vec<String> {
        let lines = text.lines().enumerate().filter(|(_, line)| matches(line));
        lines.map(|(at, _)| format!("{}:{}: {what}", self.path, at + 1)).collect()
    }

    /// The line at which a byte of it stands.
    pub(super) fn line(&self, at: usize) -> usize {
        self.names.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

/// The workspace.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every Rust file that is written by hand.
pub(super) fn sources() -> Vec<Source> {
    let mut paths = vec![root().join("build.rs")];
    for directory in ["src", "backends", "softhsm-tests"] {
        collect(&root().join(directory), &mut paths);
    }
    assert!(paths.len() > 100, "only {} files were found", paths.len());
    let read = |path: &PathBuf| {
        let short = path.strip_prefix(root()).unwrap().display().to_string();
        Source::new(&short, &fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Without comments, and without texts too. What goes leaves spaces, so that every
/// byte keeps its place.
fn strip(text: &str) -> (String, String) {
    // Comments; texts, raw ones first; and characters that are quotes.
    let token = regex::Regex::new(
        r##"(?s)(?<comment>//[^\n]*|/\*.*?\*/)|(?<text>\br#+".*?"#+|\br".*?"|"(?:\\.|[^"\\])*"|'(?:"|\\.)')"##,
    )
    .unwrap();
    let blank =
        |text: &str| -> String { text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect() };
    let code = token.replace_all(text, |found: &regex::Captures| match found.name("comment") {
        Some(comment) => blank(comment.as_str()),
        None => found[0].to_owned(),
    });
    let names = token.replace_all(text, |found: &regex::Captures| blank(&found[0]));
    (code.into_owned(), names.into_owned())
}

#[test]
fn comments_and_texts_are_blanked_in_place() {
    let source =
        Source::new("src/gate.rs", "a; // crate::b\nf(\"crate::c // \\\" d\", '\"', r#\"e\"f\"#); g");
    assert_eq!(source.names, format!("a;{:12}\nf({:18},{:4},{:9}); g", "", "", "", ""));
    assert!(source.code.contains("crate::c") && !source.code.contains("crate::b"));
    assert_eq!((source.floor(), source.depth(), source.line(20)), (Some("gate"), 1, 2));
}
