//! `skms keys versions`: all versions of a key, the newest first.

use super::show;
use crate::{
    cli::{Context, Error, Exit, json},
    client::Client,
    proto::{KeyVersion, ListKeyVersionsRequest},
};

/// List the versions of a key
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// Which versions, for example: state=enabled OR state=disabled [default: all]
    #[arg(long)]
    filter: Option<String>,
    /// How many versions to ask for at once [default: as the gateway likes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_size: Option<i32>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let client = context.connect().await?;
    let versions = collect(&client, request(args)).await?;
    if context.is_json() {
        let views: Vec<_> = versions.into_iter().map(json::VersionView::from).collect();
        context.terminal.print_json(&views)?;
    } else {
        context.terminal.print(show::versions(versions))?;
    }
    Ok(Exit::Success)
}

async fn collect(client: &Client, mut request: ListKeyVersionsRequest) -> Result<Vec<KeyVersion>, Error> {
    let mut versions = Vec::new();
    loop {
        let page = client.list_key_versions(request.clone()).await?;
        versions.extend(page.versions);
        if page.next_page_token.is_empty() {
            return Ok(versions);
        }
        if page.next_page_token == request.page_token {
            return Err(Error::Damaged("the next page is the same page again"));
        }
        request.page_token = page.next_page_token;
    }
}

fn request(args: Args) -> ListKeyVersionsRequest {
    ListKeyVersionsRequest {
        key_id: args.id,
        page_size: args.page_size.unwrap_or_default(),
        filter: args.filter.unwrap_or_default(),
        ..Default::default()
    }
}
