//! Which token a backend uses: `label:`, `serial:` or a PKCS#11 URI (RFC 7512).
//!
//! **Invariant:** a token is named by what does not change, never by its slot.

use std::fmt;

use serde::Deserialize;

use crate::uri;

/// Names a token by what does not change: its label, its serial number, or both
/// and more in a PKCS#11 URI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenSelector {
    pub(crate) label: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
}

/// What a token says of itself, without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenName {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
}

impl TokenSelector {
    /// Whether this is a token that is meant.
    pub(crate) fn matches(&self, token: &TokenName) -> bool {
        [
            (&self.label, &token.label),
            (&self.serial, &token.serial),
            (&self.manufacturer, &token.manufacturer),
            (&self.model, &token.model),
        ]
        .into_iter()
        .all(|(wanted, actual)| wanted.as_deref().is_none_or(|wanted| unpadded(wanted) == actual))
    }
}

/// A field of `CK_TOKEN_INFO` without its padding: blanks by the book, zeros in practice.
pub(crate) fn unpadded(field: &str) -> &str {
    field.trim_matches([' ', '\0'])
}

impl TryFrom<String> for TokenSelector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let selector = match text.split_once(':') {
            Some(("label", label)) => Self { label: Some(label.to_owned()), ..Self::default() },
            Some(("serial", serial)) => Self { serial: Some(serial.to_owned()), ..Self::default() },
            Some(("pkcs11", rest)) => uri::parse(rest)?,
            _ => {
                return Err(
                    "write `label:LABEL`, `serial:SERIAL` or a PKCS#11 URI `pkcs11:token=…`".to_owned()
                );
            }
        };
        let named = [&selector.label, &selector.serial, &selector.manufacturer, &selector.model];
        if named.into_iter().flatten().any(|value| unpadded(value).is_empty()) {
            return Err("an empty value names no token".to_owned());
        }
        if named.into_iter().flatten().next().is_none() {
            return Err("name the token by `token`, `serial`, `manufacturer` or `model`".to_owned());
        }
        Ok(selector)
    }
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("label", &self.label),
            ("serial", &self.serial),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
        ];
        let mut separator = "";
        for (name, value) in named {
            if let Some(value) = value {
                write!(f, "{separator}{name} `{value}`")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "label `{}` serial `{}`", self.label, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(text: &str) -> Result<TokenSelector, String> {
        TokenSelector::try_from(text.to_owned())
    }

    fn token() -> TokenName {
        TokenName {
            label: "prod 1".to_owned(),
            serial: "00ff".to_owned(),
            manufacturer: "Acme".to_owned(),
            model: "X".to_owned(),
        }
    }

    #[test]
    fn a_token_is_met_by_all_that_is_named() {
        for text in [
            "label:prod 1",
            "label:prod 1  ",
            "serial:00ff",
            "pkcs11:token=prod%201;serial=00ff",
            "pkcs11:model=X",
        ] {
            assert!(select(text).unwrap().matches(&token()), "{text}");
        }
        for text in ["label:prod", "label:PROD 1", "serial:ff", "pkcs11:token=prod%201;serial=01"] {
            assert!(!select(text).unwrap().matches(&token()), "{text}");
        }
    }

    #[test]
    fn a_slot_number_and_an_empty_name_are_refused() {
        for text in ["", "0", "slot:0", "label:", "serial:  ", "pkcs11:", "pkcs11:token="] {
            assert!(select(text).is_err(), "{text}");
        }
    }
}
