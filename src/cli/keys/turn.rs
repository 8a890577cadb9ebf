//! `skms keys enable`, `disable`, `restore`, `compromise` and `destroy`: what changes
//! the states of versions.

use std::time::SystemTime;

use uuid::Uuid;

use super::show;
use crate::{
    cli::{Context, Error, Exit, text::plain},
    proto::{
        DisableKeyRequest, EnableKeyRequest, KeyResponse, MarkKeyCompromisedRequest, RestoreKeyRequest,
        ScheduleKeyDestructionRequest,
    },
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// A version; may be given again [default: the whole key]
    // Not a part of the name: ids may have dots and digits in them.
    #[arg(long = "version", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    versions: Vec<u32>,
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

/// What is done to the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Enable,
    Disable,
    Restore,
    Compromise,
    Destroy,
}

pub(super) async fn run(verb: Verb, args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let validate_only = args.validate_only;
    let client = context.connect().await?;
    let Args { id: key_id, versions, etag, request_id, validate_only: _ } = args;
    let etag = etag.unwrap_or_default();
    let request_id = request_id.map(|id| id.to_string()).unwrap_or_default();
    let key = match verb {
        Verb::Enable => {
            client.enable_key(EnableKeyRequest { key_id, versions, etag, request_id, validate_only }).await
        }
        Verb::Disable => {
            client.disable_key(DisableKeyRequest { key_id, versions, etag, request_id, validate_only }).await
        }
        Verb::Restore => {
            client.restore_key(RestoreKeyRequest { key_id, versions, etag, request_id, validate_only }).await
        }
        Verb::Compromise => {
            let request = MarkKeyCompromisedRequest { key_id, versions, etag, request_id, validate_only };
            client.mark_key_compromised(request).await
        }
        Verb::Destroy => {
            let request = ScheduleKeyDestructionRequest { key_id, versions, etag, request_id, validate_only };
            client.schedule_key_destruction(request).await
        }
    }?;
    if validate_only {
        context.terminal.remark("it could be done; nothing was done\n");
    } else if verb == Verb::Destroy {
        context.terminal.remark(&until(&key));
    }
    show::print(key, context)?;
    Ok(Exit::Success)
}

/// How long it can be called off.
fn until(key: &KeyResponse) -> String {
    let id = plain(&key.id);
    let metadata = key.metadata.as_ref();
    match metadata.and_then(|metadata| metadata.destroy_time).and_then(|time| SystemTime::try_from(time).ok())
    {
        Some(time) => {
            let time = humantime::format_rfc3339_seconds(time);
            format!("`{id}` will be destroyed at {time}; until then: skms keys restore {id}\n")
        }
        None => format!("see when with: skms keys get {id} --full; until then: skms keys restore {id}\n"),
    }
}
