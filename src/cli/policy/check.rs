//! `skms policy check`.

use serde::Serialize;

use super::{Place, view::StatementView};
use crate::{
    cli::{Context, Error, Exit, text::plain},
    policy::Effect,
};

/// Check that the policies are in order, as the gateway does when it reads them
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Checked {
    directory: String,
    files: Vec<String>,
    policies: Vec<StatementView>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let policies = args.place.load()?;
    let statements = policies.statements();
    let directory = policies.directory().display().to_string();
    if context.is_json() {
        let files = policies.files().iter().map(|file| file.display().to_string()).collect();
        let policies = statements.iter().map(StatementView::from).collect();
        context.terminal.print_json(&Checked { directory, files, policies })?;
    } else {
        let permits = statements.iter().filter(|statement| statement.effect == Effect::Permit).count();
        let (all, files) = (statements.len(), policies.files().len());
        context.terminal.print(format!(
            "{}: good; {all} policies ({permits} permit, {} forbid) in {files} files\n",
            plain(&directory),
            all - permits
        ))?;
    }
    Ok(Exit::Success)
}
