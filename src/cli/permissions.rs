//! `skms permissions`: what one may do, and which policies say so.

use serde::Serialize;

use super::{Context, Error, Exit, text};
use crate::proto::{Permission, TestPermissionsRequest};

/// Show what you may do, and which policies say so
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The key to which it would be done [default: the gateway]
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The actions in question, such as sign-message [default: all]
    #[arg(value_name = "ACTION")]
    actions: Vec<String>,
}

#[derive(Serialize)]
struct View {
    action: String,
    allowed: bool,
    policies: Vec<String>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let request = TestPermissionsRequest { actions: args.actions, key_id: args.key_id.unwrap_or_default() };
    let permissions = context.connect().await?.test_permissions(request).await?;
    if context.is_json() {
        let views: Vec<_> = permissions
            .into_iter()
            .map(|Permission { action, allowed, policies }| View { action, allowed, policies })
            .collect();
        context.terminal.print_json(&views)?;
    } else {
        let rows = permissions.into_iter().map(|Permission { action, allowed, policies }| {
            [action, if allowed { "yes" } else { "no" }.to_owned(), policies.join(" ")]
        });
        let table = text::table(["ACTION", "ALLOWED", "POLICIES"], rows);
        context.terminal.print(table)?;
    }
    Ok(Exit::Success)
}
