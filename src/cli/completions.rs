//! `skms completions`: what a shell needs to complete `skms`.

use clap_complete::Shell;

use super::{Error, Exit, terminal::Terminal};

/// Print what a shell needs to complete commands and options
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command, terminal: &mut Terminal) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "skms", &mut script);
    terminal.print(script)?;
    Ok(Exit::Success)
}
