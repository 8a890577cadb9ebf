//! `skms keys update`.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use uuid::Uuid;

use super::show;
use crate::{
    cli::{
        Context, Error, Exit,
        labels::{Label, by_name},
    },
    proto::{KeyMetadata, KeyParams, UpdateKeyRequest},
};

/// Change the labels or the description of a key
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
    let mut paths = Vec::new();
    let mut labels_now = BTreeMap::new();
    if args.no_labels || !args.labels.is_empty() {
        paths.push("labels".to_owned());
        labels_now = by_name(&args.labels)?;
    }
    if args.description.is_some() {
        paths.push("params.description".to_owned());
    }
    if paths.is_empty() {
        return Err(Error::Usage("say what to change: --label, --no-labels or --description".into()));
    }
    Ok(UpdateKeyRequest {
        key_id: args.id,
        metadata: Some(KeyMetadata {
            labels: labels_now,
            params: Some(KeyParams {
                description: args.description.unwrap_or_default(),
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
