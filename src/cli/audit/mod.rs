//! `skms audit`: what can be said of an audit log without a gateway.

mod verify;

use super::{Context, Error, Exit};

/// Look into the audit log of a gateway
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Verify(verify::Args),
}

pub(super) fn run(command: Command, context: &mut Context<'_>) -> Result<Exit, Error> {
    match command {
        Command::Verify(args) => verify::run(&args, context),
    }
}
