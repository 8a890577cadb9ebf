//! `skms restore`: brings a backup of the catalog back.

use std::{fmt::Write as _, path::PathBuf};

use serde::Serialize;

use super::{
    Context, Error, Exit,
    backup::{KeyArgs, told},
    serve::configuration,
    text::{details, plain},
};
use crate::{backup, catalog::RestorePlace};

/// Bring a backup of the catalog back; no gateway may have that open
///
/// No destroyed or compromised key of a catalog that is there comes back, and what was
/// encrypted under counted nonces waits for a rotation.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway, which says where its catalog is
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The backup
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
    /// Bring it into the catalog that is there: of each version the worse state counts, and
    /// keys that the backup does not know are kept
    #[arg(long)]
    replace: bool,
}

#[derive(Serialize)]
struct View {
    instance_id: String,
    backup_time: String,
    keys: u64,
    /// Versions that are in a worse state than in the backup, and stay so.
    worse: Vec<String>,
    /// Keys and versions that the backup does not know.
    kept: Vec<String>,
    /// Keys that only decrypt until they are rotated.
    to_rotate: Vec<String>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    let key = args.key.read()?;
    let place = if args.replace { RestorePlace::MaybeTaken } else { RestorePlace::Empty };
    let was_empty = config.catalog.path.symlink_metadata().is_err();
    let (about, restored) =
        backup::restore(&args.input, &config.catalog.path, place, &key).map_err(|error| told(&error))?;
    let backup_time = humantime::format_rfc3339_millis(about.time).to_string();
    if was_empty {
        context.terminal.remark(&format!(
            "remark: there was no catalog, so what was destroyed, disabled or marked as compromised since \
             {backup_time} is as it was then; the audit log tells what that was\n"
        ));
    }
    let view = View {
        instance_id: about.instance.to_string(),
        backup_time,
        keys: restored.keys,
        worse: restored.worse,
        kept: restored.kept,
        to_rotate: restored.to_rotate,
    };
    if context.is_json() {
        context.terminal.print_json(&view)?;
    } else {
        context.terminal.print(summary(&view))?;
    }
    Ok(Exit::Success)
}

fn summary(view: &View) -> String {
    let View { instance_id, backup_time, keys, worse, kept, to_rotate } = view;
    let mut text = details([
        ("INSTANCE", instance_id.clone()),
        ("BACKUP OF", backup_time.clone()),
        ("KEYS", keys.to_string()),
    ]);
    let mut list = |what: &str, names: &[String]| {
        for name in names {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{what}: {}", plain(name));
        }
    };
    list("stays as it is here", worse);
    list("not in the backup, kept", kept);
    list("only decrypts until you rotate it", to_rotate);
    text
}
