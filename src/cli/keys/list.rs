//! `skms keys list`: all pages, or as many as are wanted.

use super::show;
use crate::{
    cli::{Context, Error, Exit, json, text::plain},
    client::Client,
    proto::{KeyResponse, KeyView, ListKeysRequest},
};

/// List keys
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which keys, for example: state=enabled AND (labels.env=prod OR labels:urgent)
    /// [default: all]
    ///
    /// AND, OR (which binds tighter), NOT and parentheses join comparisons of key_id
    /// (`a-*` is every id that begins so), key_type, purpose, state, backend,
    /// protection_level, owner and labels.NAME by = and !=, and of create_time,
    /// update_time and expire_time (2027-01-31T00:00:00Z) by =, !=, <, <=, > and >=.
    /// labels:NAME asks whether there is such a label.
    #[arg(long)]
    filter: Option<String>,
    /// key_id, create_time or update_time, and behind it `desc` for the other way round
    /// [default: key_id]
    #[arg(long, value_name = "FIELD")]
    order_by: Option<String>,
    /// How many keys to ask for at once [default: as the gateway likes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    page_size: Option<i32>,
    /// How many keys to print at most [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Show the versions of each key, too (in JSON)
    #[arg(long)]
    full: bool,
    /// List destroyed keys, too
    #[arg(long = "all", visible_alias = "show-destroyed")]
    show_destroyed: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let client = context.connect().await?;
    let limit = args.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let (keys, unreachable) = collect(&client, request(args), limit).await?;
    if !unreachable.is_empty() {
        let names = plain(&unreachable.join(", "));
        context.terminal.remark(&format!("these backends do not answer now: {names}\n"));
    }
    if context.is_json() {
        let views: Vec<_> = keys.into_iter().map(json::KeyView::from).collect();
        context.terminal.print_json(&views)?;
    } else {
        context.terminal.print(show::table(keys))?;
    }
    Ok(Exit::Success)
}

async fn collect(
    client: &Client,
    mut request: ListKeysRequest,
    limit: usize,
) -> Result<(Vec<KeyResponse>, Vec<String>), Error> {
    let mut keys = Vec::new();
    loop {
        let page = client.list_keys(request.clone()).await?;
        keys.extend(page.keys);
        if keys.len() >= limit || page.next_page_token.is_empty() {
            keys.truncate(limit);
            return Ok((keys, page.unreachable));
        }
        if page.next_page_token == request.page_token {
            return Err(Error::Damaged("the next page is the same page again"));
        }
        request.page_token = page.next_page_token;
    }
}

/// The first page. All pages are asked for with the same size, as the API
/// wants it; a small limit makes them small.
fn request(args: Args) -> ListKeysRequest {
    let limit = args.limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
    let page_size = match (args.page_size, limit) {
        (Some(size), Some(limit)) => size.min(limit),
        (Some(size), None) => size,
        // Above its maximum the gateway takes its maximum.
        (None, limit) => limit.unwrap_or_default(),
    };
    let view = if args.full { KeyView::Full } else { KeyView::Basic };
    ListKeysRequest {
        page_size,
        filter: args.filter.unwrap_or_default(),
        order_by: args.order_by.unwrap_or_default(),
        view: view.into(),
        show_destroyed: args.show_destroyed,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn every_argument_arrives_in_the_request() {
        let line = ["list", "--filter=labels:env", "--order-by=create_time desc", "--full", "--page-size=9"];
        for (all, limit, page_size) in [("--all", "--limit=7", 7), ("--show-destroyed", "--limit=70", 9)] {
            let line = Line::try_parse_from([&line[..], &[all, limit]].concat()).unwrap();
            let expected = ListKeysRequest {
                page_size,
                filter: "labels:env".into(),
                order_by: "create_time desc".into(),
                view: KeyView::Full.into(),
                show_destroyed: true,
                ..Default::default()
            };
            assert_eq!(request(line.args), expected);
        }
    }
}
