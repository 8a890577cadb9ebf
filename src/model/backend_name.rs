//! What a backend is called.
//!
//! **Invariant:** a [`BackendName`] can stand in a log line, in a metric label and
//! in the name of an environment variable as it is.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a backend: 1 to 32 of `a-z`, `0-9` and `-`. A clone is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendName(Arc<str>);

impl BackendName {
    /// The name as it was configured.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackendName {
    type Err = BackendNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BackendNameError)
        }
    }
}

impl TryFrom<String> for BackendName {
    type Error = BackendNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackendName> for String {
    fn from(name: BackendName) -> Self {
        name.0.as_ref().to_owned()
    }
}

// Sound because equality, order and hash of the name are those of its text.
impl Borrow<str> for BackendName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot name a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name for a backend; use 1 to {MAX_LENGTH} of `a-z`, `0-9` and `-`")]
pub struct BackendNameError;

/// Short enough for one column of a listing.
const MAX_LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_lower_case_names_are_taken() {
        for good in ["a", "hsm", "hsm-2", &"x".repeat(32)] {
            assert_eq!(good.parse::<BackendName>().unwrap().to_string(), good);
        }
        for bad in ["", "HSM", "hsm_2", "hsm.2", "hsm 2", "hśm", &"x".repeat(33)] {
            assert_eq!(bad.parse::<BackendName>(), Err(BackendNameError), "{bad}");
        }
    }
}
