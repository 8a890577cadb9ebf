//! `skms keys rotate`.

use uuid::Uuid;

use super::show;
use crate::{
    cli::{Context, Error, Exit},
    proto::RotateKeyRequest,
};

/// Make a new version of a key, and sign with it from now on
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// The etag that the key must still have
    #[arg(long)]
    etag: Option<String>,
    /// The primary version that the key must still have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    expected_primary: Option<u32>,
    /// A UUID under which the command can be repeated without making a second version
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Make the version, and go on signing with the old one
    #[arg(long)]
    stage_only: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let key = context.connect().await?.rotate_key(request(args)).await?;
    show::print(key, context)?;
    Ok(Exit::Success)
}

fn request(args: Args) -> RotateKeyRequest {
    RotateKeyRequest {
        key_id: args.id,
        etag: args.etag.unwrap_or_default(),
        expected_primary_version: args.expected_primary.unwrap_or_default(),
        request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
        stage_only: args.stage_only,
    }
}
