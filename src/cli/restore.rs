//! `skms restore`: brings a backup of the catalog back.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::{
    Context, Error, Exit,
    backup::{KeyArgs, told},
    files::failed,
    serve::configuration,
    text::{details, plain},
};
use crate::{
    audit::{history, rotated},
    backup,
    catalog::RestorePlace,
    model::Turn,
};

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
    /// Where no catalog is: do not look into the audit log for what was destroyed, disabled
    /// or marked as compromised since the backup. All of that comes back into use
    #[arg(long)]
    danger_without_audit_log: bool,
}

#[derive(Serialize)]
struct View {
    instance_id: String,
    backup_time: String,
    keys: u64,
    /// Versions that the audit log tells were taken out of use since, and the states that
    /// they have for that.
    made_up_for: Vec<String>,
    /// Versions that are in a worse state than in the backup, and stay so.
    worse: Vec<String>,
    /// Keys and versions that the backup does not know.
    kept: Vec<String>,
    /// Keys that only decrypt and verify until they are rotated.
    to_rotate: Vec<String>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    let key = args.key.read()?;
    let place = if args.replace { RestorePlace::MaybeTaken } else { RestorePlace::Empty };
    // A catalog that is there knows what became of its keys.
    let turns = if config.catalog.path.symlink_metadata().is_err() && !args.danger_without_audit_log {
        let (about, _) = backup::inspect(&args.input, &key).map_err(|error| told(&error))?;
        since(about.time, &config.audit.path)?
    } else {
        Vec::new()
    };
    let (about, restored) = backup::restore(&args.input, &config.catalog.path, place, &turns, &key)
        .map_err(|error| told(&error))?;
    let backup_time = humantime::format_rfc3339_millis(about.time).to_string();
    let view = View {
        instance_id: about.instance.to_string(),
        backup_time,
        keys: restored.keys,
        made_up_for: restored.made_up_for,
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

/// What was done to keys since the backup was made, as the audit log tells.
fn since(time: SystemTime, log: &Path) -> Result<Vec<Turn>, Error> {
    let unusable = |why: String| {
        Error::Other(format!(
            "what was destroyed or marked as compromised since the backup of {} is not known: {why}; bring \
             the audit log back as well, or use --danger-without-audit-log",
            humantime::format_rfc3339_millis(time)
        ))
    };
    if !log.exists() {
        return Err(unusable(format!("there is no audit log at `{}`", log.display())));
    }
    let mut files = rotated(log).map_err(|source| failed("read", log, source))?;
    files.push(log.to_owned());
    let history = history(&files, time).map_err(|error| unusable(error.to_string()))?;
    match history.begins {
        Some(begins) if begins <= time => Ok(history.turns),
        Some(begins) => {
            let begins = humantime::format_rfc3339_millis(begins);
            Err(unusable(format!("the audit log at `{}` begins later, at {begins}", log.display())))
        }
        None => Err(unusable(format!("there is nothing in the audit log at `{}`", log.display()))),
    }
}

fn summary(view: &View) -> String {
    let View { instance_id, backup_time, keys, made_up_for, worse, kept, to_rotate } = view;
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
    list("taken out of use since the backup", made_up_for);
    list("stays as it is here", worse);
    list("not in the backup, kept", kept);
    list("only decrypts and verifies until you rotate it", to_rotate);
    text
}
