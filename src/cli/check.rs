//! `skms check`: reads the configuration of the gateway and says what is wrong with it.

use std::path::PathBuf;

use super::{Error, Exit, serve::configuration, terminal::Terminal};

/// Check the configuration of the gateway, without running it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) fn run(args: &Args, terminal: &mut Terminal) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    let names: Vec<_> = config.backends.names().map(|(kind, name)| format!("{name} ({kind})")).collect();
    terminal.print(format!("{}: good; backends: {}\n", args.config.display(), names.join(", ")))?;
    Ok(Exit::Success)
}
