//! `skms token`: an issuer of tokens in two commands, for development and tests. It
//! asks no gateway; the gateway learns of it from `jwks.json`.

mod issue;
mod key;
mod keygen;

use super::{Error, Exit, terminal::Terminal};

/// Be an issuer of tokens, for development and tests
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Keygen(keygen::Args),
    Issue(Box<issue::Args>),
}

pub(super) fn run(command: Command, terminal: &mut Terminal) -> Result<Exit, Error> {
    match command {
        Command::Keygen(args) => keygen::run(args, terminal),
        Command::Issue(args) => issue::run(*args, terminal),
    }
}
