//! Why a field did not take its value, before it is known where the value stands.
//!
//! Serde tells a format what went wrong in parts: what was found, what was wanted,
//! which fields there are. A format's own error keeps only the sentence it makes of
//! them, value included. This keeps the parts, and of a value of the wrong kind only
//! the kind: it may be a secret.

use std::fmt::{self, Display};

use serde::de::{self, Expected, Unexpected};

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("unknown field; {}", Choice { found: field, known })]
    UnknownField { field: String, known: &'static [&'static str] },
    #[error("unknown value; {}", Choice { found, known })]
    UnknownVariant { found: String, known: &'static [&'static str] },
    #[error("missing; add it to this table")]
    Missing(&'static str),
    #[error("{0}")]
    Other(String),
}

impl de::Error for Refusal {
    fn custom<T: Display>(text: T) -> Self {
        Self::Other(text.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "a boolean",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
            Unexpected::Str(_) => "a string",
            Unexpected::Seq => "an array",
            Unexpected::Map => "a table",
            Unexpected::Other(kind) => return Self::Other(format!("must be {}, not {kind}", Wanted(wanted))),
            _ => "this",
        };
        Self::Other(format!("must be {}, not {found}", Wanted(wanted)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Str(text) => text.escape_debug().to_string(),
            other => return Self::invalid_type(other, wanted),
        };
        Self::Other(format!("must be {}, not `{found}`", Wanted(wanted)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownField { field: field.to_owned(), known }
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownVariant { found: found.to_owned(), known }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// What a visitor wants, in the words of a person who writes TOML.
struct Wanted<'a>(&'a dyn Expected);

impl Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = self.0.to_string();
        f.write_str(match wanted.as_str() {
            "a boolean" => "`true` or `false`",
            "a duration" => "a duration such as `\"30s\"` or `\"5m\"`",
            "a map" => "a table",
            "a nonzero usize" => "a whole number above zero",
            "a sequence" => "an array such as `[\"…\"]`",
            "a string" => "a string in quotes",
            "path string" => "a path in quotes",
            "u32" | "usize" => "a whole number",
            other if other.starts_with("struct ") => "a table",
            other => other,
        })
    }
}

/// What could have been meant, and what there is.
struct Choice<'a> {
    found: &'a str,
    known: &'static [&'static str],
}

impl Display for Choice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let similarity = |known: &str| strsim::jaro_winkler(self.found, known);
        let nearest = self.known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        if let Some(nearest) = nearest.filter(|known| similarity(known) > SIMILAR) {
            write!(f, "did you mean `{nearest}`? ")?;
        }
        f.write_str("known are ")?;
        for (index, known) in self.known.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}`{known}`")?;
        }
        Ok(())
    }
}

/// Below it a suggestion is more often wrong than right.
const SIMILAR: f64 = 0.8;
