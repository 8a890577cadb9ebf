//! Which gateway, as whom, and how to print: a flag goes before a variable, a
//! variable before the profile, the profile before the default.
//!
//! An empty variable counts as unset, because compose files and unit files
//! cannot take a variable away.

use std::{ffi::OsString, fmt::Display, path::PathBuf, str::FromStr, time::Duration};

use super::{error::Error, profile::Profile};
use crate::client::{ClientConfig, Endpoint, IdentityFiles, TokenSource};

/// The flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection and output")]
pub(super) struct Flags {
    /// The gateway: http://HOST:PORT, https://HOST:PORT or unix:/PATH
    /// [env: SKMS_ENDPOINT] [default: http://127.0.0.1:7443]
    #[arg(long, global = true, value_name = "URL")]
    endpoint: Option<Endpoint>,
    /// The CA certificates (PEM) that may vouch for an https gateway [env: SKMS_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client certificate (PEM), for a gateway that asks for one
    /// [env: SKMS_CLIENT_CERTIFICATE]
    #[arg(long, global = true, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// The private key of the client certificate (PEM) [env: SKMS_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    client_key: Option<PathBuf>,
    /// The file with the bearer token [env: SKMS_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Send the token even over http:// to another machine
    #[arg(long, global = true)]
    danger_plaintext_token: bool,
    /// A file with these settings [env: SKMS_PROFILE] [default: skms/profile.toml in
    /// $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, global = true, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// How long a call may take, for example 30s [env: SKMS_TIMEOUT] [default: 1m]
    #[arg(long, global = true, value_name = "DURATION")]
    timeout: Option<Timeout>,
    /// How to print results [env: SKMS_OUTPUT] [default: table]
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs: lower_snake names, RFC 3339 times, base64 bytes
    Json,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        <Self as clap::ValueEnum>::from_str(name, false).map_err(|_| "the formats are `table` and `json`")
    }
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeout(pub(super) Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        if duration.is_zero() { Err("must be longer than nothing".into()) } else { Ok(Self(duration)) }
    }
}

/// What holds for this run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Which gateway, as whom.
    pub(super) client: ClientConfig,
    /// How to print.
    pub(super) format: Format,
}

impl Settings {
    /// Puts flags, variables and the profile together.
    pub(super) fn resolve(flags: Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let named = flags.profile.or_else(|| path("SKMS_PROFILE"));
        let profile = match named {
            Some(file) => Profile::read(&file)?,
            None => Profile::find(path("XDG_CONFIG_HOME"), path("HOME"))?,
        };
        let endpoint = match flags.endpoint {
            Some(endpoint) => Some(endpoint),
            None => parsed(variable, "SKMS_ENDPOINT")?.or(profile.endpoint),
        };
        let timeout = match flags.timeout {
            Some(timeout) => Some(timeout),
            None => parsed(variable, "SKMS_TIMEOUT")?.or(profile.timeout),
        };
        let format = match flags.output {
            Some(format) => Some(format),
            None => parsed(variable, "SKMS_OUTPUT")?.or(profile.output),
        };
        let usual = ClientConfig::new(match endpoint {
            Some(endpoint) => endpoint,
            None => DEFAULT_ENDPOINT
                .parse()
                .map_err(|error: <Endpoint as FromStr>::Err| Error::Other(error.to_string()))?,
        });
        let call_timeout = timeout.map_or(usual.call_timeout, |Timeout(duration)| duration);
        let certificate = flags
            .client_certificate
            .or_else(|| path("SKMS_CLIENT_CERTIFICATE"))
            .or(profile.client_certificate);
        let key = flags.client_key.or_else(|| path("SKMS_CLIENT_KEY")).or(profile.client_key);
        let identity_files = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(IdentityFiles { certificate, key }),
            (None, None) => None,
            _ => {
                let why = "a client certificate and its key go together; only one of them is set";
                return Err(Error::Configuration(why.to_owned()));
            }
        };
        let client = ClientConfig {
            identity_files,
            ca_file: flags.ca.or_else(|| path("SKMS_CA")).or(profile.ca),
            token: flags
                .token_file
                .or_else(|| path("SKMS_TOKEN_FILE"))
                .or(profile.token_file)
                .map(TokenSource::File),
            danger_plaintext_token: flags.danger_plaintext_token || profile.danger_plaintext_token,
            connect_timeout: usual.connect_timeout.min(call_timeout),
            call_timeout,
            ..usual
        };
        Ok(Self { client, format: format.unwrap_or(Format::Table) })
    }
}

/// The value of a variable, if it is set.
fn parsed<T: FromStr<Err: Display>>(
    variable: impl Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<T>, Error> {
    let Some(value) = variable(name) else { return Ok(None) };
    let value = value.into_string().map_err(|_| Error::Configuration(format!("{name} is not UTF-8")))?;
    value.parse().map(Some).map_err(|error| Error::Configuration(format!("{name}: {error}")))
}

/// Where `skms serve` listens when nothing else is configured.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7443";

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;

    fn resolve(flags: Flags, variables: &[(&str, &str)]) -> Result<Settings, Error> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Settings::resolve(flags, |name| variables.get(name).map(OsString::from))
    }

    fn endpoint(flags: Flags, variables: &[(&str, &str)]) -> String {
        resolve(flags, variables).unwrap().client.endpoints[0].to_string()
    }

    #[test]
    fn a_flag_goes_before_a_variable_before_the_profile_before_the_default() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(endpoint(Flags::default(), &[("XDG_CONFIG_HOME", path)]), DEFAULT_ENDPOINT);

        fs::create_dir(home.path().join("skms")).unwrap();
        fs::write(home.path().join("skms/profile.toml"), "endpoint = 'http://profile:1'\n").unwrap();
        assert_eq!(endpoint(Flags::default(), &[("XDG_CONFIG_HOME", path)]), "http://profile:1");

        let variables = [("XDG_CONFIG_HOME", path), ("SKMS_ENDPOINT", "http://variable:1")];
        assert_eq!(endpoint(Flags::default(), &variables), "http://variable:1");

        let flags = Flags { endpoint: Some("http://flag:1".parse().unwrap()), ..Flags::default() };
        assert_eq!(endpoint(flags, &variables), "http://flag:1");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let names = [
            "SKMS_ENDPOINT",
            "SKMS_CA",
            "SKMS_CLIENT_CERTIFICATE",
            "SKMS_CLIENT_KEY",
            "SKMS_TOKEN_FILE",
            "SKMS_PROFILE",
            "SKMS_TIMEOUT",
            "SKMS_OUTPUT",
            "XDG_CONFIG_HOME",
            "HOME",
        ];
        let settings = resolve(Flags::default(), &names.map(|name| (name, ""))).unwrap();
        assert_eq!(settings.client.endpoints[0].to_string(), DEFAULT_ENDPOINT);
        assert_eq!((settings.client.ca_file.is_none(), settings.client.token.is_none()), (true, true));
        assert_eq!(settings.format, Format::Table);
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        for (name, value) in [("SKMS_ENDPOINT", "nowhere"), ("SKMS_TIMEOUT", "0s"), ("SKMS_OUTPUT", "yaml")] {
            let error = resolve(Flags::default(), &[(name, value)]).unwrap_err();
            assert_eq!(error.exit(), super::super::Exit::Configuration);
            assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        }
    }

    #[test]
    fn every_setting_arrives() {
        let variables = [
            ("SKMS_ENDPOINT", "unix:/run/skms.sock"),
            ("SKMS_CA", "ca.pem"),
            ("SKMS_CLIENT_CERTIFICATE", "client.pem"),
            ("SKMS_CLIENT_KEY", "client.key"),
            ("SKMS_TOKEN_FILE", "token"),
            ("SKMS_TIMEOUT", "2s"),
            ("SKMS_OUTPUT", "json"),
        ];
        let settings = resolve(Flags::default(), &variables).unwrap();
        assert_eq!(settings.client.endpoints[0].to_string(), "unix:/run/skms.sock");
        assert_eq!(settings.client.ca_file.as_deref(), Some(Path::new("ca.pem")));
        let files = IdentityFiles { certificate: "client.pem".into(), key: "client.key".into() };
        assert_eq!(settings.client.identity_files, Some(files));
        let Some(TokenSource::File(file)) = settings.client.token else { panic!("no file") };
        assert_eq!(file, Path::new("token"));
        assert_eq!(settings.client.call_timeout, Duration::from_secs(2));
        assert_eq!(settings.client.connect_timeout, Duration::from_secs(2));
        assert_eq!(settings.format, Format::Json);
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        for name in ["SKMS_CLIENT_CERTIFICATE", "SKMS_CLIENT_KEY"] {
            let error = resolve(Flags::default(), &[(name, "file")]).unwrap_err();
            assert_eq!(error.exit(), super::super::Exit::Configuration);
        }
    }

    #[test]
    fn a_profile_that_was_named_must_exist() {
        let error = resolve(Flags::default(), &[("SKMS_PROFILE", "/nonexistent/profile.toml")]).unwrap_err();
        assert_eq!(error.exit(), super::super::Exit::Configuration);
        assert!(error.to_string().contains("/nonexistent/profile.toml"), "{error}");
    }
}
