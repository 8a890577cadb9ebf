//! `skms keys set-primary`.

use uuid::Uuid;

use super::show;
use crate::{
    cli::{Context, Error, Exit},
    proto::SetPrimaryVersionRequest,
};

/// Sign with another version of a key from now on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// The version that is to sign
    #[arg(value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
    /// The etag that the key must still have
    #[arg(long)]
    etag: Option<String>,
    /// The primary version that the key must still have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    expected_primary: Option<u32>,
    /// A UUID under which the command can be repeated
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only find out whether it could be done
    #[arg(long)]
    validate_only: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let validate_only = args.validate_only;
    let key = context.connect().await?.set_primary_version(request(args)).await?;
    if validate_only {
        context.terminal.remark("it could be done; nothing was done\n");
    }
    show::print(key, context)?;
    Ok(Exit::Success)
}

fn request(args: Args) -> SetPrimaryVersionRequest {
    SetPrimaryVersionRequest {
        key_id: args.id,
        version: args.version,
        etag: args.etag.unwrap_or_default(),
        expected_primary_version: args.expected_primary.unwrap_or_default(),
        request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
        validate_only: args.validate_only,
    }
}
