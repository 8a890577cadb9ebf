//! `skms keys`: keys as people see them. One command a file.

mod adopt;
mod create;
mod csr;
mod get;
mod import;
mod import_job;
mod list;
mod public;
mod rotate;
mod set_primary;
mod show;
mod turn;
mod update;
mod versions;
mod watch;

use super::{Context, Error, Exit};

/// Make, import, adopt, show, list, change, rotate and destroy keys
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Create(create::Args),
    Adopt(adopt::Args),
    Csr(csr::Args),
    Get(get::Args),
    Import(import::Args),
    /// Make and show import jobs, under whose public keys others wrap what they send
    #[command(subcommand)]
    ImportJob(import_job::Command),
    List(list::Args),
    Public(public::Args),
    Rotate(rotate::Args),
    Update(update::Args),
    Versions(versions::Args),
    Watch(watch::Args),
    SetPrimary(set_primary::Args),
    /// Take disabled versions of a key, or all of it, into use again
    Enable(turn::Args),
    /// Take versions of a key, or all of it, out of use
    Disable(turn::Args),
    /// Say that others know versions of a key, or all of it: for good
    Compromise(turn::Args),
    /// Have versions of a key, or all of it, destroyed, after the time in which that can
    /// be called off
    Destroy(turn::Args),
    /// Call a destruction off
    Restore(turn::Args),
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<Exit, Error> {
    match command {
        Command::Create(args) => create::run(args, context).await,
        Command::Adopt(args) => adopt::run(args, context).await,
        Command::Csr(args) => csr::run(args, context).await,
        Command::Get(args) => get::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::ImportJob(command) => import_job::run(command, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Public(args) => public::run(args, context).await,
        Command::Rotate(args) => rotate::run(args, context).await,
        Command::Update(args) => update::run(args, context).await,
        Command::Versions(args) => versions::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::SetPrimary(args) => set_primary::run(args, context).await,
        Command::Enable(args) => turn::run(turn::Verb::Enable, args, context).await,
        Command::Disable(args) => turn::run(turn::Verb::Disable, args, context).await,
        Command::Compromise(args) => turn::run(turn::Verb::Compromise, args, context).await,
        Command::Destroy(args) => turn::run(turn::Verb::Destroy, args, context).await,
        Command::Restore(args) => turn::run(turn::Verb::Restore, args, context).await,
    }
}
