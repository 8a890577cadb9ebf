//! The profile: a file with the settings of one gateway.
//!
//! ```toml
//! endpoint = "https://gateway.example:7443"
//! ca = "ca.pem"                 # relative to the profile
//! client_certificate = "client.pem"
//! client_key = "client.key"
//! token_file = "/run/secrets/token"
//! timeout = "30s"
//! output = "table"
//! danger_plaintext_token = false
//! ```

use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

use super::{
    error::Error,
    settings::{Format, Timeout},
};
use crate::client::Endpoint;

/// What a profile can say; nothing of it is required.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    #[serde(default, deserialize_with = "text")]
    pub(super) endpoint: Option<Endpoint>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) danger_plaintext_token: bool,
    #[serde(default, deserialize_with = "text")]
    pub(super) timeout: Option<Timeout>,
    #[serde(default, deserialize_with = "text")]
    pub(super) output: Option<Format>,
}

impl Profile {
    /// The profile of the user, or an empty one. Directories as in the XDG base
    /// directory specification, which has relative ones ignored.
    pub(super) fn find(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Result<Self, Error> {
        let folder = config_home
            .filter(|path| path.is_absolute())
            .or_else(|| home.filter(|path| path.is_absolute()).map(|home| home.join(".config")));
        let Some(folder) = folder else { return Ok(Self::default()) };
        let file = folder.join("skms").join("profile.toml");
        match fs::read_to_string(&file) {
            Ok(text) => Self::parse(&text, &file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(unreadable(&file, &error)),
        }
    }

    /// The profile in a file that the user named, and that must therefore exist.
    pub(super) fn read(file: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        Self::parse(&text, file)
    }

    fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let mut profile: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            Error::Configuration(format!("{}:{line}: {}", file.display(), error.message()))
        })?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let Self { ca, client_certificate, client_key, token_file, .. } = &mut profile;
        for path in [ca, client_certificate, client_key, token_file].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(profile)
    }
}

fn unreadable(file: &Path, error: &io::Error) -> Error {
    Error::Configuration(format!("cannot read the profile `{}`: {error}", file.display()))
}

fn text<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profile, String> {
        Profile::parse(text, Path::new("/etc/skms/profile.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_are_relative_to_the_profile() {
        let profile = parse("ca = 'ca.pem'\ntoken_file = '/run/token'\ntimeout = '3s'").unwrap();
        assert_eq!(profile.ca.as_deref(), Some(Path::new("/etc/skms/ca.pem")));
        assert_eq!(profile.token_file.as_deref(), Some(Path::new("/run/token")));
        assert_eq!(profile.timeout, Some(Timeout(std::time::Duration::from_secs(3))));
    }

    #[test]
    fn a_mistake_is_reported_with_file_and_line() {
        for (text, line, part) in [
            ("ca = 'x'\n\ntokenfile = 'x'\n", 3, "unknown field `tokenfile`"),
            ("endpoint = 'ftp://x'\n", 1, "an endpoint is"),
            ("# comment\noutput = 'yaml'\n", 2, "`table` and `json`"),
            ("ca = 'x'\nca = 'y'\n", 2, "duplicate"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("/etc/skms/profile.toml:{line}: ")), "{error}");
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn without_a_home_there_is_no_profile() {
        assert!(Profile::find(Some("relative".into()), None).unwrap().endpoint.is_none());
    }
}
