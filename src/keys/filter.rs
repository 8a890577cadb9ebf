//! Which keys a list shows: comparisons with `=`, joined by `AND` (a subset of
//! AIP-160).
//!
//! ```text
//! filter     = [ comparison { "AND" comparison } ]
//! comparison = field "=" value
//! field      = "key_type" | "state" | "backend" | "protection_level" | "labels." name
//! value      = word | '"' any but '"' '"'
//! ```

use std::str::FromStr;

use skms_backend::{KeyType, ProtectionLevel};

use crate::model::{Key, State};

/// A filter that was understood. The empty one accepts every key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Comparison>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Comparison {
    KeyType(KeyType),
    State(State),
    Backend(String),
    Protection(ProtectionLevel),
    Label { name: String, value: String },
}

impl Filter {
    /// Whether the key is one of those asked for.
    #[must_use]
    pub fn accepts(&self, key: &Key) -> bool {
        self.0.iter().all(|comparison| match comparison {
            Comparison::KeyType(key_type) => key.key_type == *key_type,
            Comparison::State(state) => key.state() == *state,
            Comparison::Backend(name) => key.backend.as_str() == name,
            Comparison::Protection(level) => key
                .version(0)
                .or_else(|| key.versions.last())
                .is_some_and(|version| version.protection_level == *level),
            Comparison::Label { name, value } => key.labels.get(name) == Some(value),
        })
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut comparisons = Vec::new();
        while !rest.is_empty() {
            let (comparison, after) = comparison(rest)?;
            comparisons.push(comparison);
            rest = after.trim_start();
            if rest.is_empty() {
                break;
            }
            rest = rest
                .strip_prefix("AND")
                .filter(|after| after.starts_with(char::is_whitespace))
                .ok_or("comparisons are joined by `AND`; other operators are not built yet")?
                .trim_start();
            if rest.is_empty() {
                return Err("a comparison must follow `AND`".to_owned());
            }
        }
        Ok(Self(comparisons))
    }
}

fn comparison(text: &str) -> Result<(Comparison, &str), String> {
    let (field, rest) = text.split_once('=').ok_or("a comparison is written `field = value`")?;
    let (value, rest) = value(rest.trim_start())?;
    let comparison = match field.trim() {
        "key_type" => Comparison::KeyType(value.parse().map_err(|_| "`key_type` is no key type")?),
        "state" => Comparison::State(
            State::from_name(&value.to_ascii_lowercase().replace('_', "-"))
                .ok_or("`state` is no state; for example `enabled`")?,
        ),
        "backend" => Comparison::Backend(value),
        "protection_level" => Comparison::Protection(
            [ProtectionLevel::Software, ProtectionLevel::Tpm, ProtectionLevel::Hsm]
                .into_iter()
                .find(|level| level.name().eq_ignore_ascii_case(&value))
                .ok_or("`protection_level` is `software`, `tpm` or `hsm`")?,
        ),
        field => match field.strip_prefix("labels.") {
            Some(name) if !name.is_empty() => Comparison::Label { name: name.to_owned(), value },
            _ => {
                return Err("the fields are `key_type`, `state`, `backend`, `protection_level` and \
                     `labels.NAME`"
                    .to_owned());
            }
        },
    };
    Ok((comparison, rest))
}

fn value(text: &str) -> Result<(String, &str), String> {
    let (value, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or("a quoted value has no end")?,
        None => text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())),
    };
    if text.is_empty() {
        return Err("a value must follow `=`".to_owned());
    }
    Ok((value.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_understood() {
        let filter: Filter =
            r#"key_type = P-256 AND state=ENABLED AND labels.team = "core banking" AND backend=hsm"#
                .parse()
                .unwrap();
        assert_eq!(
            filter.0,
            [
                Comparison::KeyType(KeyType::EcP256),
                Comparison::State(State::Enabled),
                Comparison::Label { name: "team".to_owned(), value: "core banking".to_owned() },
                Comparison::Backend("hsm".to_owned()),
            ]
        );
        assert_eq!("  ".parse::<Filter>().unwrap(), Filter::default());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "key_type",
            "key_type = ",
            "key_type = nope",
            "state = up",
            "colour = red",
            "labels. = x",
            "a = b OR c = d",
            "key_type = rsa-2048 AND",
            "key_type = rsa-2048 state = enabled",
            r#"labels.a = "x"#,
            "protection_level = strong",
            "=",
            "= x",
        ] {
            assert!(bad.parse::<Filter>().is_err(), "{bad}");
        }
    }
}
