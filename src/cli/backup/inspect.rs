//! `skms backup inspect`: what is in a backup, after all of it was checked.

use std::path::PathBuf;

use serde::Serialize;

use super::{KeyArgs, told};
use crate::{
    backup::{self, About, DeviceVersion, Manifest},
    cli::{
        Context, Error, Exit,
        text::{details, table},
    },
};

/// Check a backup and show what is in it, and which keys are in devices and not in it
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

/// The shape of the JSON document.
#[derive(Serialize)]
struct View<'a> {
    instance_id: String,
    create_time: String,
    revision: u64,
    schema: u32,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let key = args.key.read()?;
    let (about, manifest) = backup::inspect(&args.file, &key).map_err(|error| told(&error))?;
    show(&about, &manifest, context)?;
    Ok(Exit::Success)
}

pub(super) fn show(about: &About, manifest: &Manifest, context: &mut Context<'_>) -> Result<(), Error> {
    let About { instance, schema, revision, time } = *about;
    let create_time = humantime::format_rfc3339_millis(time).to_string();
    let instance_id = instance.to_string();
    if context.is_json() {
        return context.terminal.print_json(&View { instance_id, create_time, revision, schema, manifest });
    }
    let mut text = details([
        ("INSTANCE", instance_id),
        ("CREATED", create_time),
        ("REVISION", revision.to_string()),
        ("KEYS", manifest.keys.to_string()),
        ("IN THIS FILE", format!("{} versions, under their master key or TPM", manifest.sealed_versions)),
        ("IN DEVICES", format!("{} versions, not in this file", manifest.device_versions.len())),
    ]);
    if !manifest.device_versions.is_empty() {
        let rows = manifest.device_versions.iter().map(row);
        text.push('\n');
        text.push_str(&table(["KEY", "VERSION", "STATE", "BACKEND", "TAG", "FINGERPRINT"], rows));
    }
    context.terminal.print(text)
}

fn row(version: &DeviceVersion) -> [String; 6] {
    let DeviceVersion { key_id, version, state, backend, tag, public_key_sha256, check_value } = version;
    let fingerprint = public_key_sha256.as_ref().or(check_value.as_ref());
    [
        key_id.clone(),
        version.to_string(),
        state.clone(),
        backend.clone(),
        tag.clone(),
        fingerprint.cloned().unwrap_or_default(),
    ]
}
