//! The command line: one subcommand a file, each of which turns arguments into
//! a request, and an answer into a table or a JSON document.
//!
//! Results go to stdout and everything else to stderr, so that a result can be
//! piped. The exit codes are listed in [`exit`].

mod aad;
mod audit;
mod backends;
mod backup;
mod bulk;
mod check;
mod completions;
mod datakey;
mod decrypt;
mod derive;
mod encrypt;
mod error;
pub mod exit;
mod files;
mod health;
mod json;
mod keys;
mod labels;
mod large;
mod mac;
mod names;
mod payload;
mod permissions;
mod policy;
mod profile;
mod random;
mod reencrypt;
mod restore;
mod seal;
mod serve;
mod settings;
mod sign;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod token;
mod verify;

use std::{ffi::OsString, io, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::runtime::{self, Runtime};

pub use self::{error::Error, exit::Exit};
use self::{
    settings::{Flags, Format, Settings},
    terminal::Terminal,
};
use crate::client::Client;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os(), |name| std::env::var_os(name), &mut Terminal::system()).into()
}

/// One authenticated, authorised, audited gRPC API in front of HSMs, TPMs and a
/// software keystore: the gateway, and its command line.
#[derive(Debug, Parser)]
#[command(name = "skms", version, after_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Check(check::Args),
    #[command(subcommand)]
    Policy(Box<policy::Command>),
    #[command(subcommand)]
    Audit(audit::Command),
    Backup(backup::Args),
    Restore(restore::Args),
    SealMasterKey(seal::Args),
    #[command(subcommand)]
    Token(token::Command),
    #[command(flatten)]
    Call(Box<Call>),
    Completions(completions::Args),
}

/// What asks a running gateway.
#[derive(Debug, Subcommand)]
enum Call {
    #[command(subcommand)]
    Keys(Box<keys::Command>),
    Sign(sign::Args),
    Verify(verify::Args),
    Encrypt(encrypt::Args),
    Decrypt(decrypt::Args),
    #[command(name = "reencrypt")]
    ReEncrypt(reencrypt::Args),
    #[command(name = "datakey")]
    DataKey(datakey::Args),
    Mac(mac::Args),
    Derive(derive::Args),
    Random(random::Args),
    Backends(backends::Args),
    Permissions(permissions::Args),
    Health(health::Args),
}

/// What a command works with.
struct Context<'a> {
    settings: Settings,
    terminal: &'a mut Terminal,
}

impl Context<'_> {
    async fn connect(&self) -> Result<Client, Error> {
        Ok(Client::connect(self.settings.client.clone()).await?)
    }

    fn is_json(&self) -> bool {
        self.settings.format == Format::Json
    }
}

fn run(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
    terminal: &mut Terminal,
) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            terminal.remark(&error.render().to_string());
            return Exit::Usage;
        }
        // `--help` and `--version`.
        Err(error) => {
            return terminal
                .print(error.render().to_string())
                .map_or_else(|error| error.exit(), |()| Exit::Success);
        }
    };
    dispatch(cli, variable, terminal).unwrap_or_else(|error| {
        terminal.remark(&error.render());
        error.exit()
    })
}

fn dispatch(
    cli: Cli,
    variable: impl Fn(&str) -> Option<OsString>,
    terminal: &mut Terminal,
) -> Result<Exit, Error> {
    match cli.command {
        Command::Serve(args) => {
            serve::prepare(&args.config)?;
            let runtime = started(runtime::Builder::new_multi_thread().enable_all().build())?;
            let served = runtime.block_on(serve::run(args));
            // A write to a disk that hangs must not keep a process that has stopped.
            runtime.shutdown_timeout(LAST_WRITES);
            served
        }
        Command::Check(args) => check::run(&args, terminal),
        Command::Policy(command) => policy::run(
            *command,
            &mut Context { settings: Settings::resolve(cli.flags, variable)?, terminal },
        ),
        Command::Audit(command) => {
            audit::run(command, &mut Context { settings: Settings::resolve(cli.flags, variable)?, terminal })
        }
        Command::Backup(args) => {
            backup::run(args, &mut Context { settings: Settings::resolve(cli.flags, variable)?, terminal })
        }
        Command::Restore(args) => {
            restore::run(&args, &mut Context { settings: Settings::resolve(cli.flags, variable)?, terminal })
        }
        Command::SealMasterKey(args) => {
            seal::run(&args, &mut Context { settings: Settings::resolve(cli.flags, variable)?, terminal })
        }
        Command::Token(command) => token::run(command, terminal),
        Command::Completions(args) => completions::run(&args, &mut Cli::command(), terminal),
        Command::Call(call) => {
            let mut context = Context { settings: Settings::resolve(cli.flags, variable)?, terminal };
            // One thread does: a command is one call after the other, and files
            // and streams are read before the connection is opened. Where there are
            // many files, other threads read and write them.
            started(runtime::Builder::new_current_thread().enable_all().build())?.block_on(async {
                match *call {
                    Call::Keys(command) => keys::run(*command, &mut context).await,
                    Call::Sign(args) => sign::run(args, &mut context).await,
                    Call::Verify(args) => verify::run(args, &mut context).await,
                    Call::Encrypt(args) => encrypt::run(args, &mut context).await,
                    Call::Decrypt(args) => decrypt::run(args, &mut context).await,
                    Call::ReEncrypt(args) => reencrypt::run(args, &mut context).await,
                    Call::DataKey(args) => datakey::run(args, &mut context).await,
                    Call::Mac(args) => mac::run(args, &mut context).await,
                    Call::Derive(args) => derive::run(args, &mut context).await,
                    Call::Random(args) => random::run(args, &mut context).await,
                    Call::Backends(args) => backends::run(args, &mut context).await,
                    Call::Permissions(args) => permissions::run(args, &mut context).await,
                    Call::Health(args) => health::run(args, &mut context).await,
                }
            })
        }
    }
}

/// How long what still blocks a thread may take after everything has stopped.
const LAST_WRITES: std::time::Duration = std::time::Duration::from_secs(1);

fn started(runtime: io::Result<Runtime>) -> Result<Runtime, Error> {
    runtime.map_err(|error| Error::Other(format!("cannot start the runtime: {error}")))
}
