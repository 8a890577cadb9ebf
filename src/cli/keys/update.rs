//! `skms keys update`.

use prost_types::FieldMask;
use uuid::Uuid;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        labels::{Label, by_name},
        time::{Span, Time},
    },
    proto::{KeyMetadata, KeyParams, UpdateKeyRequest},
};

/// Change what is said of a key: labels, names, times, minimums
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// A label, as NAME=VALUE; may be given again. These replace all labels that the
    /// key has
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// Take all labels away
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
    /// A sentence for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Another name of the key; may be given again. These replace all that it has. One
    /// that another key has is taken from it
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<String>,
    /// Take all other names away
    #[arg(long, conflicts_with = "aliases")]
    no_aliases: bool,
    /// The key does not sign before this time: RFC 3339, or +DURATION from now
    #[arg(long, value_name = "TIME")]
    not_before: Option<Time>,
    /// The key does not sign from this time on: RFC 3339, or +DURATION from now
    #[arg(long, value_name = "TIME")]
    expires: Option<Time>,
    /// How often the gateway rotates the key by itself, such as 90days
    #[arg(long, value_name = "DURATION")]
    rotation_period: Option<Span>,
    /// Have the gateway not rotate the key by itself any more
    #[arg(long, conflicts_with_all = ["rotation_period", "next_rotation"])]
    no_rotation: bool,
    /// When the gateway rotates it next: RFC 3339, or +DURATION from now
    #[arg(long, value_name = "TIME")]
    next_rotation: Option<Time>,
    /// The lowest version that signs; 0: any
    #[arg(long, value_name = "N")]
    min_protect: Option<u32>,
    /// The lowest version that verifies; 0: any
    #[arg(long, value_name = "N")]
    min_process: Option<u32>,
    /// The etag that the key must still have
    #[arg(long)]
    etag: Option<String>,
    /// A UUID under which the command can be repeated
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    /// Only find out whether it could be done
    #[arg(long)]
    validate_only: bool,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let validate_only = args.validate_only;
    let request = request(args)?;
    let key = context.connect().await?.update_key(request).await?;
    if validate_only {
        context.terminal.remark("the key could be changed so; nothing was changed\n");
    }
    show::print(key, context)?;
    Ok(Exit::Success)
}

fn request(args: Args) -> Result<UpdateKeyRequest, Error> {
    let named = [
        ("labels", args.no_labels || !args.labels.is_empty()),
        ("params.description", args.description.is_some()),
        ("params.aliases", args.no_aliases || !args.aliases.is_empty()),
        ("params.not_before_time", args.not_before.is_some()),
        ("params.expire_time", args.expires.is_some()),
        ("params.rotation_period", args.no_rotation || args.rotation_period.is_some()),
        ("params.next_rotation_time", args.next_rotation.is_some()),
        ("min_protect_version", args.min_protect.is_some()),
        ("min_process_version", args.min_process.is_some()),
    ];
    let paths: Vec<_> =
        named.into_iter().filter(|(_, is_named)| *is_named).map(|(path, _)| path.into()).collect();
    if paths.is_empty() {
        return Err(Error::Usage("say what to change; `--help` lists it".into()));
    }
    Ok(UpdateKeyRequest {
        key_id: args.id,
        metadata: Some(KeyMetadata {
            labels: by_name(&args.labels)?,
            min_protect_version: args.min_protect.unwrap_or_default(),
            min_process_version: args.min_process.unwrap_or_default(),
            params: Some(KeyParams {
                description: args.description.unwrap_or_default(),
                aliases: args.aliases,
                not_before_time: args.not_before.map(|time| time.0),
                expire_time: args.expires.map(|time| time.0),
                rotation_period: args.rotation_period.map(|span| span.0),
                next_rotation_time: args.next_rotation.map(|time| time.0),
                ..KeyParams::default()
            }),
            ..KeyMetadata::default()
        }),
        update_mask: Some(FieldMask { paths }),
        etag: args.etag.unwrap_or_default(),
        request_id: args.request_id.map(|id| id.to_string()).unwrap_or_default(),
        validate_only: args.validate_only,
    })
}
