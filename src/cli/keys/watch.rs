//! `skms keys watch`: what becomes of keys, a line each.

use serde::Serialize;

use crate::{
    cli::{
        Context, Error, Exit,
        json::KeyView as KeyDocument,
        names::name,
        payload::Hex,
        text::{plain, rfc3339},
    },
    proto::{KeyView, WatchKeysRequest, WatchKeysResponse, watch_keys_response::Type},
};

/// Show what becomes of keys, until it is interrupted
///
/// Where the gateway is away it waits, and goes on without a gap.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which keys, as with `skms keys list`: before a change or after it [default: all]
    #[arg(long)]
    filter: Option<String>,
    /// Begin with every key as it is
    #[arg(long, conflicts_with = "resume")]
    initial: bool,
    /// Go on behind this `resume_token`, which `--output json` shows
    #[arg(long, value_name = "TOKEN")]
    resume: Option<Hex>,
    /// Show the versions of each key, too (in JSON)
    #[arg(long)]
    full: bool,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let client = context.connect().await?;
    let mut left = args.limit;
    let mut watch = client.watch_keys(request(args)).await?;
    while left != Some(0) {
        let event = match watch.next().await {
            Ok(event) => event,
            Err(error) => {
                let told = plain(&error.to_string());
                watch.resume(error).await?;
                context.terminal.remark(&format!("went on after: {told}\n"));
                continue;
            }
        };
        let is_shown = context.is_json() || event.key.is_some();
        if is_shown && !context.terminal.print_on(&line(event, context.is_json())?)? {
            break;
        }
        left = left.map(|left| left - u32::from(is_shown));
    }
    Ok(Exit::Success)
}

fn request(args: Args) -> WatchKeysRequest {
    let view = if args.full { KeyView::Full } else { KeyView::Basic };
    WatchKeysRequest {
        filter: args.filter.unwrap_or_default(),
        resume_token: args.resume.map(|Hex(token)| token).unwrap_or_default(),
        send_initial_state: args.initial,
        view: view.into(),
    }
}

#[derive(Serialize)]
struct Event {
    r#type: String,
    version: u32,
    event_time: Option<String>,
    resume_token: String,
    key: Option<KeyDocument>,
}

fn line(event: WatchKeysResponse, is_json: bool) -> Result<String, Error> {
    let kind = name::<Type>(event.r#type);
    let time = rfc3339(event.event_time.as_ref());
    if is_json {
        let document = Event {
            r#type: kind,
            version: event.version,
            event_time: time,
            resume_token: hex::encode(&event.resume_token),
            key: event.key.map(Into::into),
        };
        let text = serde_json::to_string(&document).map_err(|error| Error::Other(error.to_string()))?;
        return Ok(text + "\n");
    }
    let key = event.key.unwrap_or_default();
    let version = if event.version > 0 { format!("  version {}", event.version) } else { String::new() };
    let time = time.unwrap_or_else(|| "-".to_owned());
    Ok(format!("{time:<24}  {kind:<14}  {}{version}\n", plain(&key.id)))
}
