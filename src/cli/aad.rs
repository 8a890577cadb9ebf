//! What is authenticated beside a plaintext: bytes, or names and values.
//!
//! **Invariant:** bytes are sent with their CRC32C, and an answer that did not look at
//! it is not used. Names and values have no checksum in the API.

use std::{collections::BTreeMap, str::FromStr};

use bytes::Bytes;

use super::{Context, Error, files::Place, payload::Hex};
use crate::proto::EncryptionContext;

/// What is authenticated, as it is given.
#[derive(Clone, Debug, clap::Args)]
// Flattened into arguments that are called `Args` too, and a group is called after its type.
#[group(skip)]
pub(super) struct Args {
    /// What is authenticated and not encrypted
    #[arg(long, value_name = "HEX", conflicts_with_all = ["aad_file", "context"])]
    aad_hex: Option<Hex>,
    /// A file with what is authenticated and not encrypted; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    aad_file: Option<Place>,
    /// A name and a value that are authenticated; may be given again, in any order. The
    /// audit log has the names
    #[arg(long, value_name = "NAME=VALUE")]
    context: Vec<Entry>,
}

impl Args {
    pub(super) fn read(&self, context: &mut Context<'_>) -> Result<Aad, Error> {
        read(self.aad_hex.as_ref(), self.aad_file.as_ref(), &self.context, context)
    }

    /// The file that it is read from, if there is one.
    pub(super) const fn file(&self) -> Option<&Place> {
        self.aad_file.as_ref()
    }

    /// The same beside an input, `what`, and a place for the result: none of the three may
    /// be in the way of another.
    pub(super) fn read_beside(
        &self,
        input: Option<&Place>,
        out: &Place,
        what: &str,
        context: &mut Context<'_>,
    ) -> Result<Aad, Error> {
        let input = input.unwrap_or(&Place::Standard);
        out.spare(input, what)?;
        if let Some(file) = &self.aad_file {
            out.spare(file, "what is authenticated")?;
            if (file, input) == (&Place::Standard, &Place::Standard) {
                return Err(Error::Usage(format!(
                    "{what} and what is authenticated cannot both be stdin; name one of them"
                )));
            }
        }
        self.read(context)
    }
}

/// Reads what one of three flags gives.
pub(super) fn read(
    bytes: Option<&Hex>,
    file: Option<&Place>,
    entries: &[Entry],
    context: &mut Context<'_>,
) -> Result<Aad, Error> {
    if let Some(Hex(bytes)) = bytes {
        return Ok(Aad::Bytes(bytes.clone()));
    }
    if let Some(file) = file {
        let limit = context.settings.client.max_send_bytes;
        return Ok(Aad::Bytes(file.read(limit, context.terminal)?.into()));
    }
    if entries.is_empty() {
        return Ok(Aad::None);
    }
    let mut all = BTreeMap::new();
    for Entry { name, value } in entries {
        if all.insert(name.clone(), value.clone()).is_some() {
            return Err(Error::Usage(format!("the name `{name}` is given twice")));
        }
    }
    Ok(Aad::Context(EncryptionContext { entries: all.into_iter().collect() }))
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    name: String,
    value: String,
}

impl FromStr for Entry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => Err("write NAME=VALUE"),
        }
    }
}

/// What is authenticated. Each request has its own type for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Aad {
    None,
    Bytes(Bytes),
    Context(EncryptionContext),
}

impl Aad {
    /// The checksum that the API wants.
    pub(super) fn crc32c(&self) -> Option<u32> {
        match self {
            Self::Bytes(bytes) => Some(crc32c::crc32c(bytes)),
            Self::None | Self::Context(_) => None,
        }
    }

    /// The field of a request, made by one of two functions.
    pub(super) fn field<T>(
        self,
        bytes: impl FnOnce(Bytes) -> T,
        context: impl FnOnce(EncryptionContext) -> T,
    ) -> Option<T> {
        match self {
            Self::None => None,
            Self::Bytes(given) => Some(bytes(given)),
            Self::Context(given) => Some(context(given)),
        }
    }
}

/// Refuses an answer that did not look at a checksum that was sent.
pub(super) fn check(sent: Option<u32>, verified: bool) -> Result<(), Error> {
    if sent.is_some() && !verified {
        return Err(Error::Damaged("it did not check what was authenticated"));
    }
    Ok(())
}
