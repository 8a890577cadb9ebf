//! Which token a backend uses.

use serde::Deserialize;

/// Names a token by what does not change: its label, its serial number, or both
/// and more in a PKCS#11 URI.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenSelector {
    pub(crate) label: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) manufacturer: Option<String>,
    pub(crate) model: Option<String>,
}

impl TryFrom<String> for TokenSelector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let nothing = Self { label: None, serial: None, manufacturer: None, model: None };
        match text.split_once(':') {
            Some(("label", label)) => Ok(Self { label: Some(label.to_owned()), ..nothing }),
            Some(("serial", serial)) => Ok(Self { serial: Some(serial.to_owned()), ..nothing }),
            _ => Err("write `label:LABEL`, `serial:SERIAL` or a PKCS#11 URI `pkcs11:token=…`".to_owned()),
        }
    }
}
