//! `skms backup --config FILE --out FILE --key REF`.

use std::path::PathBuf;

use super::{inspect, told};
use crate::{
    backup,
    cli::{Context, Error, Exit, serve::configuration},
};

/// What is needed where no subcommand is named.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The configuration of the gateway, which says where its catalog is
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// The file to make, which only its owner may read; there must be none of this name
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
    /// The backup key, 32 random bytes or 64 hexadecimal digits: `file:PATH`, `env:NAME` or
    /// `credential:NAME`
    #[arg(long, value_name = "REF", required = true)]
    key: Option<String>,
}

pub(super) fn run(args: &Create, context: &mut Context<'_>) -> Result<Exit, Error> {
    let (Some(config), Some(out), Some(key)) = (&args.config, &args.out, &args.key) else {
        return Err(Error::Usage("--config, --out and --key are needed".to_owned()));
    };
    let config = configuration(config)?;
    let key = super::key(key)?;
    let (about, manifest) = backup::make(&config.catalog.path, out, &key).map_err(|error| told(&error))?;
    inspect::show(&about, &manifest, context)?;
    Ok(Exit::Success)
}
