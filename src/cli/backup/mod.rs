//! `skms backup`: one encrypted file of the catalog and the keys in it.

mod create;
mod inspect;

use skms_backend::{RootKey, SecretRef};

use super::{Context, Error, Exit};
use crate::{backup, telemetry::chain};

/// Make an encrypted backup of the catalog and of the software keys in it, also while the
/// gateway runs
///
/// The master key of a software backend is not in it: keep that elsewhere. What lives in a
/// device is listed in it (`skms backup inspect`), and stays there.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    create: create::Create,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Inspect(inspect::Args),
}

pub(super) fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    match args.command {
        Some(Command::Inspect(args)) => inspect::run(&args, context),
        None => create::run(&args.create, context),
    }
}

/// Where a backup key is.
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    /// The backup key, 32 random bytes or 64 hexadecimal digits: `file:PATH`, `env:NAME` or
    /// `credential:NAME`
    // It may be the key itself by mistake, and so clap must not judge it and repeat it.
    #[arg(long = "key", value_name = "REF")]
    reference: String,
}

impl KeyArgs {
    pub(super) fn read(&self) -> Result<RootKey, Error> {
        key(&self.reference)
    }
}

/// The backup key that is kept there.
fn key(reference: &str) -> Result<RootKey, Error> {
    let reference: SecretRef =
        reference.parse().map_err(|problem| Error::Usage(format!("--key: {problem}")))?;
    RootKey::read(&reference).map_err(|error| Error::Configuration(error.to_string()))
}

/// What is told of a backup that failed.
pub(super) fn told(error: &backup::Error) -> Error {
    let sentence = chain(error);
    if error.is_conflict() { Error::Conflict(sentence) } else { Error::Other(sentence) }
}
