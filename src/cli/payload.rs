//! What a command works on, and how what it makes is written: shared by `sign`,
//! `verify` and those of encryption.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;

use super::{
    Context, Error,
    files::Place,
    large::Source,
    names::{HASHES, parser},
    terminal::Terminal,
};
use crate::proto::{Digest, HashAlgorithm};

/// The message, or its digest.
#[derive(Clone, Debug, clap::Args)]
// Flattened into arguments that are called `Args` too, and a group is called after its type.
#[group(skip)]
pub(super) struct Args {
    /// The message; `-` is stdin [default: -]
    #[arg(long = "in", value_name = "FILE", conflicts_with = "digest")]
    pub(super) input: Option<Place>,
    /// The digest of the message, in place of the message
    #[arg(long, value_name = "HEX", requires = "hash")]
    digest: Option<Hex>,
    /// The hash that the digest was made with
    #[arg(long, requires = "digest", value_parser = parser::<HashAlgorithm, 6>(HASHES))]
    hash: Option<HashAlgorithm>,
}

/// What the arguments stand for.
pub(super) enum Payload {
    Message(Bytes),
    /// A message that is too long for one call.
    Large(Source),
    Digest(Digest),
}

impl Args {
    pub(super) fn read(&self, context: &mut Context<'_>) -> Result<Payload, Error> {
        if let (Some(digest), Some(hash)) = (&self.digest, self.hash) {
            return Ok(Payload::Digest(Digest { hash: hash.into(), value: digest.0.clone() }));
        }
        if let Some(source) = Source::of(self.input.as_ref())? {
            return Ok(Payload::Large(source));
        }
        let message = read(self.input.as_ref(), "the message", context)?;
        Ok(Source::of_bytes(&message).map_or(Payload::Message(message), Payload::Large))
    }

    /// Whether stdin is the message.
    pub(super) fn takes_stdin(&self) -> bool {
        self.digest.is_none() && self.place() == Place::Standard
    }

    fn place(&self) -> Place {
        self.input.clone().unwrap_or(Place::Standard)
    }
}

/// Reads what a command works on. That nothing came is an answer only to `--in -`.
pub(super) fn read(input: Option<&Place>, what: &str, context: &mut Context<'_>) -> Result<Bytes, Error> {
    let limit = context.settings.client.max_send_bytes;
    let bytes = input.unwrap_or(&Place::Standard).read(limit, context.terminal)?;
    if bytes.is_empty() && input.is_none() {
        return Err(Error::Usage(format!(
            "nothing came on stdin; name {what} with `--in FILE`, or write `--in -` if an empty one is meant"
        )));
    }
    Ok(bytes.into())
}

/// Bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hex(pub(super) Bytes);

impl FromStr for Hex {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(|bytes| Self(bytes.into()))
    }
}

/// How bytes are written to a file or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// The bytes as they are
    Raw,
    /// Base64 (RFC 4648 §4) and a line end
    Base64,
    /// Lower-case hexadecimal and a line end
    Hex,
}

impl Form {
    pub(super) fn encode(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Raw => bytes.to_vec(),
            Self::Base64 => (base64(bytes) + "\n").into_bytes(),
            Self::Hex => (hex::encode(bytes) + "\n").into_bytes(),
        }
    }

    /// This form, or base64 where it would be bytes on a terminal, which help nobody
    /// and can do harm.
    pub(super) fn at(self, place: &Place, terminal: &Terminal) -> Self {
        if self == Self::Raw && place.is_shown(terminal) { Self::Base64 } else { self }
    }

    /// Reads `what` in this form.
    pub(super) fn decode(self, bytes: impl Into<Bytes>, what: &str) -> Result<Bytes, Error> {
        let bytes = bytes.into();
        let decoded = match self {
            Self::Raw => return Ok(bytes),
            Self::Base64 => BASE64.decode(bytes.trim_ascii()).map_err(|error| error.to_string()),
            Self::Hex => hex::decode(bytes.trim_ascii()).map_err(|error| error.to_string()),
        };
        decoded.map(Bytes::from).map_err(|error| Error::Usage(format!("{what} is not {self}: {error}")))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::Hex => "hex",
        })
    }
}

/// Bytes as JSON has them.
pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back() {
        let bytes = [0, 0xff, b'\n', 7];
        for form in [Form::Raw, Form::Base64, Form::Hex] {
            assert_eq!(form.decode(form.encode(&bytes), "it").unwrap(), &bytes[..], "{form}");
        }
        assert_eq!(Form::Hex.encode(&bytes), b"00ff0a07\n");
        assert_eq!(Form::Base64.encode(&bytes), b"AP8KBw==\n");
    }

    #[test]
    fn a_signature_in_another_form_is_wrong_usage() {
        let error = Form::Hex.decode(b"xyz".to_vec(), "the signature").unwrap_err();
        assert_eq!(error.exit(), super::super::Exit::Usage);
        assert!(error.to_string().starts_with("the signature is not hex: "), "{error}");
    }
}
