//! What stops a command, and how people are told: one line that says what is
//! wrong, then the reason, the fields at fault, what to do, and the request id.

use std::{fmt::Write as _, io, path::PathBuf};

use tonic::Code;

use super::{exit::Exit, text::plain};
use crate::client;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A file or a variable says something that cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// A file that was named on the command line cannot be read or written.
    #[error("cannot {verb} `{}`", path.display())]
    File {
        /// `read` or `write`.
        verb: &'static str,
        /// The file; `-` for the standard streams.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The gateway did not answer, or not as wanted.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The answer contradicts itself, and must not be used.
    #[error("the answer of the gateway was damaged on its way: {0}")]
    Damaged(&'static str),
    /// What is there is in the way.
    #[error("{0}")]
    Conflict(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        use client::Error as Client;
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Configuration(_) => Exit::Configuration,
            Self::Conflict(_) => Exit::Conflict,
            Self::File { .. } | Self::Damaged(_) | Self::Other(_) => Exit::Failure,
            Self::Client(Client::Message { .. } | Client::Output { .. } | Client::Damaged) => Exit::Failure,
            Self::Client(Client::Call(failure)) => failure.code.into(),
            // A gateway that is there and is not trusted does not get better by waiting.
            Self::Client(error @ Client::Connect { .. }) if is_tls(error) => Exit::Configuration,
            Self::Client(Client::Connect { .. } | Client::ConnectTimeout { .. }) => Exit::TryAgain,
            Self::Client(
                Client::Token { .. }
                | Client::TokenCommand { .. }
                | Client::NoEndpoint
                | Client::Ca { .. }
                | Client::Identity { .. }
                | Client::CaMissing { .. }
                | Client::PlaintextToken { .. },
            ) => Exit::Configuration,
        }
    }

    /// The whole message, ready for stderr. Whatever came over the network is
    /// freed of control characters.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = match self {
            // It did not come over the network, and has a line for each mistake.
            Self::Configuration(mistakes) => {
                let lines: Vec<_> = mistakes.lines().map(plain).collect();
                format!("error: {}", lines.join("\n       "))
            }
            _ => format!("error: {}", plain(&self.sentence())),
        };
        let failure = match self {
            Self::Client(error) => error.failure(),
            _ => None,
        };
        // Writing to a string cannot fail.
        let mut line = |title: &str, value: &str| {
            let _ = write!(text, "\n  {title}: {}", plain(value));
        };
        if let Some(failure) = failure {
            match &failure.reason {
                Some(reason) if failure.metadata.is_empty() => line("reason", reason),
                Some(reason) => {
                    let about: Vec<_> =
                        failure.metadata.iter().map(|(name, value)| format!("{name} {value}")).collect();
                    line("reason", &format!("{reason} ({})", about.join(", ")));
                }
                None => line("code", &format!("{:?}", failure.code)),
            }
            for violation in &failure.violations {
                line(&format!("field {}", plain(&violation.field)), &violation.description);
            }
        }
        if let Some(hint) = self.hint() {
            line("hint", &hint);
        }
        if let Some(id) = failure.and_then(|failure| failure.request_id.as_deref()) {
            line("request id", id);
        }
        text.push('\n');
        text
    }

    /// What is wrong, with the cause where it says more.
    pub(super) fn sentence(&self) -> String {
        let cause = match self {
            Self::Client(error) => match error.io_error() {
                Some(io) => Some(io.to_string()),
                None => error.cause().map(ToString::to_string),
            },
            Self::File { source, .. } => Some(source.to_string()),
            _ => None,
        };
        match cause {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// What to do about it, where that is known.
    fn hint(&self) -> Option<String> {
        use client::Error as Client;
        let Self::Client(error) = self else { return None };
        let hint = match error {
            Client::Connect { .. } if is_tls(error) => {
                "does the gateway speak TLS at this endpoint, and is --ca the one that signed its certificate?"
            }
            Client::Connect { .. } | Client::ConnectTimeout { .. } => {
                "is the gateway running? start it with `skms serve --config skms.toml`, or name another with --endpoint"
            }
            Client::CaMissing { .. } => "name it with --ca, SKMS_CA or `ca` in the profile",
            Client::PlaintextToken { .. } => {
                "use https:// or unix:/; where the network is trusted, --danger-plaintext-token allows it"
            }
            Client::Token { .. }
            | Client::TokenCommand { .. }
            | Client::NoEndpoint
            | Client::Ca { .. }
            | Client::Identity { .. }
            | Client::Message { .. }
            | Client::Output { .. }
            | Client::Damaged => {
                return None;
            }
            Client::Call(failure) => match (failure.code, failure.reason.as_deref()) {
                (_, Some("TOKEN_MISSING")) => {
                    "give a token with --token-file, SKMS_TOKEN_FILE or the profile"
                }
                (_, Some("TOKEN_EXPIRED")) => "get a new token and put it into the token file",
                (_, Some("PAYLOAD_TOO_LARGE")) => {
                    "sign a digest (--digest HEX --hash sha256 in place of --in); encrypt with `skms datakey`"
                }
                (_, Some("DECRYPTION_FAILED")) => {
                    "what was authenticated with it must be given again: --context, --aad-hex or --aad-file"
                }
                (_, Some("ETAG_MISMATCH" | "PRIMARY_VERSION_CHANGED")) => {
                    "the key has changed; look at it again with `skms keys get`"
                }
                (Code::Unavailable, None) => {
                    "if this goes on: does the endpoint want https:// in place of http://?"
                }
                (Code::DeadlineExceeded, None) => "--timeout allows more time",
                (_, Some("METHOD_NOT_ALLOWED" | "KEY_ACCESS_DENIED")) => {
                    "`skms permissions` shows what you may do, `skms permissions --key-id ID` with a key"
                }
                _ => return failure.retry_after.map(retry),
            },
        };
        Some(hint.to_owned())
    }
}

fn retry(after: std::time::Duration) -> String {
    // To the millisecond, and not sooner than it was said.
    let millis = after.as_nanos().div_ceil(1_000_000);
    let after = std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    format!("try again in {}", humantime::format_duration(after))
}

/// Whether the handshake failed, and not the connection below it.
fn is_tls(error: &client::Error) -> bool {
    error.io_error().is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_a_configuration_error() {
        let endpoint: client::Endpoint = "https://gateway:1".parse().unwrap();
        let error = Error::from(client::Error::CaMissing { endpoint });
        assert_eq!(error.exit(), Exit::Configuration);
        assert_eq!(
            error.render(),
            "error: https://gateway:1 needs a CA file\n  hint: name it with --ca, SKMS_CA or `ca` in the profile\n"
        );
        let path = PathBuf::from("token");
        let error = Error::from(client::Error::Token { path, source: client::TokenError::Empty });
        assert_eq!(error.exit(), Exit::Configuration);
        assert_eq!(error.render(), "error: token file `token` cannot be used: there is no token in it\n");
    }

    #[test]
    fn each_mistake_in_a_configuration_has_its_line() {
        let error = Error::Configuration("a.toml:3: missing\na.toml:5: unknown\u{1b}".into());
        assert_eq!(error.render(), "error: a.toml:3: missing\n       a.toml:5: unknown\\u{1b}\n");
    }

    #[test]
    fn a_gateway_that_is_not_trusted_is_told_from_one_that_is_away() {
        let connect = |kind| client::Error::Connect {
            endpoint: "https://gateway:1".parse().unwrap(),
            source: io::Error::new(kind, "why").into(),
        };
        let away = Error::from(connect(io::ErrorKind::ConnectionRefused));
        assert_eq!(away.exit(), Exit::TryAgain);
        assert!(
            away.render().starts_with(
                "error: cannot connect to https://gateway:1: why\n  hint: is the gateway running?"
            )
        );
        let stranger = Error::from(connect(io::ErrorKind::InvalidData));
        assert_eq!(stranger.exit(), Exit::Configuration);
        assert!(stranger.render().contains("--ca"));
    }
}
