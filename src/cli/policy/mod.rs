//! `skms policy`: what the policies of a gateway say, without running it.

mod check;
mod explain;
#[cfg(test)]
mod tests;
mod view;

use std::path::PathBuf;

use super::{Context, Error, Exit, serve::configuration};
use crate::policy::{self, Policies};

/// Check policies, and explain what they decide
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Check(check::Args),
    Explain(Box<explain::Args>),
}

pub(super) fn run(command: Command, context: &mut Context<'_>) -> Result<Exit, Error> {
    match command {
        Command::Check(args) => check::run(&args, context),
        Command::Explain(args) => explain::run(&args, context),
    }
}

/// Where the policies are.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The configuration of the gateway, which names the directory of the policies
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The directory of the policies
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Place {
    fn load(&self) -> Result<Policies, Error> {
        let config = match (&self.directory, &self.config) {
            (Some(directory), _) => policy::Config { directory: directory.clone() },
            (None, Some(file)) => configuration(file)?.policy,
            (None, None) => {
                return Err(Error::Usage("name the policies with --config or --directory".into()));
            }
        };
        Policies::load(&config).map_err(|error| Error::Configuration(told(&error)))
    }
}

/// An error of the policies, with its cause where there is one.
fn told(error: &policy::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
