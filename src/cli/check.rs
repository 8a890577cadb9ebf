//! `skms check`: reads the configuration of the gateway, and the certificates, keys and
//! policies that it names, and says what is wrong with them.

use std::path::PathBuf;

use super::{Error, Exit, serve::configuration, terminal::Terminal};
use crate::{server, telemetry::chain};

/// Check the configuration of the gateway, without running it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) fn run(args: &Args, terminal: &mut Terminal) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    server::check(&config).map_err(|error| Error::Configuration(chain(&error)))?;
    let names: Vec<_> = config.backends.names().map(|(kind, name)| format!("{name} ({kind})")).collect();
    terminal.print(format!("{}: good; backends: {}\n", args.config.display(), names.join(", ")))?;
    Ok(Exit::Success)
}
