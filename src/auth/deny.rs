//! Whom not to let in, although they could prove who they are: the list that an
//! operator writes when a token or a key was lost.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use serde::Deserialize;

use super::{Caller, error, error::Error, refusal::Refusal};

/// The list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deny {
    tokens: HashSet<String>,
    /// By the name of who vouches for them.
    subjects: HashMap<String, HashSet<String>>,
    certificates: HashSet<String>,
    tenants: HashSet<String>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct File {
    tokens: Vec<String>,
    subjects: Vec<String>,
    certificates: Vec<String>,
    tenants: Vec<String>,
}

impl Deny {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let refused = |problem| Error::Deny { path: path.to_owned(), problem };
        let bytes = error::read(path, MAX_BYTES)?;
        let text = str::from_utf8(&bytes).map_err(|_| refused("not UTF-8".to_owned()))?;
        Self::parse(text).map_err(refused)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or_default().start;
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
        let File { tokens, subjects, certificates, tenants } = file;
        let mut by_issuer: HashMap<String, HashSet<String>> = HashMap::new();
        for subject in subjects {
            let (issuer, name) = subject
                .split_once('/')
                .filter(|(issuer, name)| !issuer.is_empty() && !name.is_empty())
                .ok_or_else(|| format!("`{subject}` is no caller; write `ISSUER/SUBJECT`"))?;
            by_issuer.entry(issuer.to_owned()).or_default().insert(name.to_owned());
        }
        let certificates =
            certificates.iter().map(|serial| self::serial(serial)).collect::<Result<_, _>>()?;
        let (tokens, tenants) = (tokens.into_iter().collect(), tenants.into_iter().collect());
        Ok(Self { tokens, subjects: by_issuer, certificates, tenants })
    }

    /// Refuses a caller who is on the list, or whose token is.
    pub(super) fn check(&self, caller: &Caller, token: Option<&str>) -> Result<(), Refusal> {
        if token.is_some_and(|id| self.tokens.contains(id)) {
            return Err(Refusal::revoked("the token is denied"));
        }
        if self.has_subject(caller.issuer(), caller.subject()) {
            return Err(Refusal::revoked("the subject is denied"));
        }
        if caller.tenant().is_some_and(|tenant| self.tenants.contains(tenant)) {
            return Err(Refusal::revoked("the tenant is denied"));
        }
        Ok(())
    }

    pub(super) fn has_subject(&self, issuer: &str, subject: &str) -> bool {
        self.subjects.get(issuer).is_some_and(|subjects| subjects.contains(subject))
    }

    pub(super) fn has_certificate(&self, serial: &str) -> bool {
        self.certificates.contains(serial)
    }
}

/// A serial number as certificates have it here: lower case, without colons and
/// leading zeros.
fn serial(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|char| *char != ':').collect();
    let serial = digits.trim_start_matches('0').to_ascii_lowercase();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{text}` is no serial number; write it in hexadecimal digits"));
    }
    Ok(serial)
}

/// Some hundred thousand entries.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_read_as_people_copy_them() {
        for text in ["0A:ff:01", "aff01", "00AFF01"] {
            let deny = Deny::parse(&format!("certificates = ['{text}']")).unwrap();
            assert!(deny.has_certificate("aff01"), "{text}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (text, expected) in [
            ("tokens = []\ntoken = ['a']\n", "line 2: unknown field `token`, expected one of "),
            ("\n\ntokens = 'a'\n", "line 3: invalid type: string \"a\", expected a sequence"),
            ("subjects = ['alice']", "`alice` is no caller; write `ISSUER/SUBJECT`"),
            ("certificates = ['1g']", "`1g` is no serial number; write it in hexadecimal digits"),
        ] {
            let error = Deny::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
