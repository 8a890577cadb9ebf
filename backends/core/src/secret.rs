//! Secret bytes, and references to where a secret is kept.
//!
//! **Invariant:** a [`Secret`] cannot be printed, logged or compared in variable
//! time, and is wiped when it is dropped.

use std::{fmt, fs, os::unix::fs::PermissionsExt, path::PathBuf, str::FromStr};

use aws_lc_rs::constant_time;
use bytes::Bytes;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Secret bytes: a PIN, a master key, key material.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over bytes that are secret.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever calls this must not let them out.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as they travel to a device: wiped when the last of those that share them
    /// lets go.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Owner(self.0))
    }

    /// The bytes before a line feed at the end, which a text editor puts there.
    #[must_use]
    pub fn without_line_feed(&self) -> &[u8] {
        self.0.strip_suffix(b"\n").unwrap_or(&self.0)
    }
}

/// Bytes that are wiped at their end.
struct Owner(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// Where a secret is kept. A configuration names secrets and never holds them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SecretRef {
    /// `file:PATH`: a file that only its owner and group may read.
    File(PathBuf),
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `credential:NAME`: a systemd credential (`LoadCredential=`).
    Credential(String),
}

/// A secret larger than this is no PIN and no master key, but a wrong path.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

impl SecretRef {
    /// The reference with a relative file path resolved against `base`.
    #[must_use]
    pub fn relative_to(self, base: &std::path::Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            Self::Env(_) | Self::Credential(_) => self,
        }
    }

    /// Reads a secret that is text, such as a PIN: a line feed at its end, which
    /// editors put there, is not part of it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_text(&self) -> Result<Secret, SecretRefError> {
        let fail =
            |problem: &str| SecretRefError { reference: self.to_string(), problem: problem.to_owned() };
        let secret = self.read()?;
        let text = secret.without_line_feed();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return Err(fail("it is empty"));
        }
        // A device counts what it is sent as a try, so what nobody can have meant
        // is not sent.
        if text.iter().any(u8::is_ascii_control) {
            return Err(fail("it holds control characters, and so is no text of one line"));
        }
        Ok(Secret::new(text.to_vec()))
    }

    /// Reads the secret, byte for byte.
    ///
    /// # Errors
    /// Says which reference could not be read and why; never what it holds.
    pub fn read(&self) -> Result<Secret, SecretRefError> {
        let fail = |problem: String| SecretRefError { reference: self.to_string(), problem };
        let bytes = match self {
            Self::File(path) => read_file(path, true).map_err(fail)?,
            Self::Env(name) => std::env::var(name)
                .map_err(|error| {
                    fail(match error {
                        std::env::VarError::NotPresent => "the variable is not set".to_owned(),
                        std::env::VarError::NotUnicode(_) => "the variable is not UTF-8".to_owned(),
                    })
                })?
                .into_bytes(),
            Self::Credential(name) => {
                let directory = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    fail("CREDENTIALS_DIRECTORY is not set; start skms from a systemd unit with LoadCredential=".to_owned())
                })?;
                read_file(&PathBuf::from(directory).join(name), false).map_err(fail)?
            }
        };
        let secret = Secret::new(bytes);
        if secret.expose().is_empty() {
            return Err(fail("it is empty".to_owned()));
        }
        Ok(secret)
    }
}

fn read_file(path: &std::path::Path, check_mode: bool) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    // Before anything else is said of it: a pipe would be waited for, and a
    // device must not be given other permissions.
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    if metadata.len() > MAX_SECRET_BYTES {
        return Err(format!("it is larger than {MAX_SECRET_BYTES} bytes"));
    }
    if check_mode && metadata.permissions().mode() & 0o007 != 0 {
        return Err(format!("everybody may read it; run `chmod 600 {}`", path.display()));
    }
    fs::read(path).map_err(|error| error.to_string())
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

impl FromStr for SecretRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text may be the secret itself, so no error repeats it.
        const REMEDY: &str = "a secret may not stand here; put it elsewhere and write \
             `file:PATH`, `env:NAME` or `credential:NAME`";
        let (kind, rest) = text.split_once(':').ok_or(REMEDY)?;
        if rest.is_empty() {
            return Err(REMEDY);
        }
        match kind {
            "file" => Ok(Self::File(rest.into())),
            "env" => Ok(Self::Env(rest.to_owned())),
            "credential" if !rest.contains('/') && rest != ".." => Ok(Self::Credential(rest.to_owned())),
            _ => Err(REMEDY),
        }
    }
}

impl TryFrom<String> for SecretRef {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Zeroizing::new(text).parse()
    }
}

/// A secret that could not be read, or is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the secret `{reference}`: {problem}")]
pub struct SecretRefError {
    reference: String,
    problem: String,
}

impl SecretRefError {
    /// A secret that was read and is of no use. The problem must not repeat it.
    #[must_use]
    pub fn unusable(reference: &SecretRef, problem: String) -> Self {
        Self { reference: reference.to_string(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_place_of_a_reference_is_refused_without_being_repeated() {
        for inline in ["1234", "pin:1234", "file:", "credential:../x", "12:34"] {
            let error = inline.parse::<SecretRef>().unwrap_err();
            assert!(!error.contains("1234") && error.contains("file:PATH"), "{error}");
        }
    }

    #[test]
    fn a_line_feed_at_the_end_belongs_to_a_key_and_not_to_a_pin() {
        let path = std::env::temp_dir().join(format!("skms-secret-{}", std::process::id()));
        fs::write(&path, "1234\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let reference = SecretRef::File(path.clone());
        assert_eq!(reference.read().unwrap().expose(), b"1234\n");
        assert_eq!(reference.read_text().unwrap().expose(), b"1234");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(reference.read().is_err(), "a secret that everybody may read is refused");
        fs::remove_file(&path).unwrap();
        assert!(reference.read().is_err());
    }

    #[test]
    fn references_read_back_as_they_were_written() {
        for text in ["file:/etc/skms/pin", "env:SKMS_PIN", "credential:pin"] {
            assert_eq!(text.parse::<SecretRef>().unwrap().to_string(), text);
        }
    }
}
