//! `skms keys get`.

use super::show;
use crate::{
    cli::{Context, Error, Exit},
    proto::{GetKeyRequest, KeyView},
};

/// Show a key
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// Show the versions of the key, too
    #[arg(long)]
    full: bool,
    /// The version whose public key is shown [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Print the public key (PEM) and nothing else
    #[arg(long, conflicts_with = "full")]
    public_key: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let key = context.connect().await?.get_key(request(&args)).await?;
    if !args.public_key {
        show::print(key, context)?;
    } else if key.public_key.is_empty() {
        return Err(Error::Other("the key has no public key, or none yet".into()));
    } else {
        context.terminal.print(show::pem(&key.public_key))?;
    }
    Ok(Exit::Success)
}

fn request(args: &Args) -> GetKeyRequest {
    let view = if args.full { KeyView::Full } else { KeyView::Basic };
    GetKeyRequest { key_id: args.id.clone(), view: view.into(), version: args.version.unwrap_or_default() }
}
