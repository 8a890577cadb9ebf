//! Which keys, or which versions of a key, a list shows: a subset of AIP-160.
//!
//! ```text
//! filter     = [ expression ]
//! expression = factor { "AND" factor }
//! factor     = term { "OR" term }                       OR binds tighter than AND
//! term       = [ "NOT" | "-" ] ( comparison | "(" expression ")" )
//! comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | ":" ) value
//! value      = word | '"' text '"' | "'" text "'"       `\` before a quote or a `\`
//! ```
//!
//! A word ends at a space or a parenthesis. `a != b` is `NOT a = b`: it also accepts
//! what has no such label. What is written without a word between two comparisons,
//! or over all fields at once, is not part of the subset.
//!
//! **Invariant:** whatever is read, nothing is nested deeper than [`DEPTH`] and no
//! more than [`COMPARISONS`] are made of a key.

mod key;
mod parse;
#[cfg(test)]
mod tests;
mod version;

use std::{fmt, str::FromStr};

use self::parse::Expression;
use crate::model::{Key, State, Version};

/// How deep parentheses may stand in each other: deeper ones are written by nobody.
pub(super) const DEPTH: usize = 16;
/// The most comparisons of a filter: each is made of every key that is looked at.
pub(super) const COMPARISONS: usize = 32;

/// Which keys. The empty filter accepts every key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(Option<Expression<key::Comparison>>);

/// Which versions of a key. The empty filter accepts every version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionFilter(Option<Expression<version::Comparison>>);

impl Filter {
    /// Whether the key is one of those asked for.
    #[must_use]
    pub fn accepts(&self, key: &Key) -> bool {
        self.0.as_ref().is_none_or(|expression| expression.holds(&|comparison| comparison.holds(key)))
    }
}

impl VersionFilter {
    /// Whether the version is one of those asked for.
    #[must_use]
    pub fn accepts(&self, version: &Version) -> bool {
        self.0.as_ref().is_none_or(|expression| expression.holds(&|comparison| comparison.holds(version)))
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::parse(text, key::Comparison::new).map(Self)
    }
}

impl FromStr for VersionFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::parse(text, version::Comparison::new).map(Self)
    }
}

/// A filter that is not understood: where, and what could stand there. It repeats
/// nothing of the filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {expected}")]
pub struct FilterError {
    /// Counted from 1.
    pub at: usize,
    /// What could stand there.
    pub expected: String,
}

/// How a field is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Has,
}

impl Operator {
    /// Every operator, the longer before what they begin with.
    const ALL: [Self; 7] =
        [Self::Unequal, Self::AtMost, Self::AtLeast, Self::Equal, Self::Less, Self::Greater, Self::Has];

    const fn text(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Has => ":",
        }
    }

    /// Whether this is `!=`; nothing where it is neither `=` nor `!=`.
    fn negates(self, field: &str) -> Result<bool, Wrong> {
        match self {
            Self::Equal => Ok(false),
            Self::Unequal => Ok(true),
            _ => Err(Wrong::operator(format!("`{field}` is compared with `=` and `!=`"))),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Which part of a comparison is wrong, and what it could be.
#[derive(Debug)]
struct Wrong {
    part: Part,
    expected: String,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Field,
    Operator,
    Value,
}

impl Wrong {
    fn field(expected: impl Into<String>) -> Self {
        Self { part: Part::Field, expected: expected.into() }
    }

    fn operator(expected: impl Into<String>) -> Self {
        Self { part: Part::Operator, expected: expected.into() }
    }

    fn value(expected: impl Into<String>) -> Self {
        Self { part: Part::Value, expected: expected.into() }
    }
}

/// A state by its name, or as the enum of the protocol has it.
fn state(value: &str) -> Result<State, Wrong> {
    State::from_name(&plain(value, "key-state-")).ok_or_else(|| {
        let names = State::ALL.map(|state| format!("`{}`", state.name())).join(", ");
        Wrong::value(format!("the states are {names}"))
    })
}

/// `KEY_STATE_ENABLED`, `ENABLED` and `enabled` are one.
fn plain(value: &str, prefix: &str) -> String {
    let plain = value.to_ascii_lowercase().replace('_', "-");
    plain.strip_prefix(prefix).map(str::to_owned).unwrap_or(plain)
}
