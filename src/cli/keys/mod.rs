//! `skms keys`: keys as people see them. One command a file.

mod create;
mod get;
mod list;
mod public;
mod rotate;
mod show;
mod update;
mod versions;

use super::{Context, Error, Exit};

/// Make, show, list, change and rotate keys
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Create(create::Args),
    Get(get::Args),
    List(list::Args),
    Public(public::Args),
    Rotate(rotate::Args),
    Update(update::Args),
    Versions(versions::Args),
}

pub(super) async fn run(command: Command, context: &mut Context<'_>) -> Result<Exit, Error> {
    match command {
        Command::Create(args) => create::run(args, context).await,
        Command::Get(args) => get::run(args, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::Public(args) => public::run(args, context).await,
        Command::Rotate(args) => rotate::run(args, context).await,
        Command::Update(args) => update::run(args, context).await,
        Command::Versions(args) => versions::run(args, context).await,
    }
}
