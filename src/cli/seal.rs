//! `skms seal-master-key`: a master key that is there already, sealed to a TPM.

use std::path::PathBuf;

use skms_backend::{RootKey, SecretRef};
use tokio::runtime;

use super::{
    Context, Error, Exit,
    serve::{configuration, prepare},
};
use crate::{backends, model::BackendName, telemetry::chain};

/// Seal a master key to the TPM that its configuration names
///
/// The gateway makes a master key by itself where the file is not there; then only the TPM
/// has it. To have a copy for the day on which the TPM breaks, make the key with `openssl
/// rand -hex 32`, keep it where no host can read it, and seal it with this command. It is
/// also how keys under `file:` are taken along, and how they come to another TPM.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The software backend
    backend: BackendName,
    /// The configuration of the gateway, in which its `master_key` is `tpm:NAME:FILE`; the
    /// file must not be there yet
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The master key, 32 random bytes or 64 hexadecimal digits: `file:PATH`, `env:NAME` or
    /// `credential:NAME`
    // It may be the key itself by mistake, and so clap must not judge it and repeat it.
    #[arg(long = "key", value_name = "REF")]
    reference: String,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    prepare(&args.config)?;
    let config = configuration(&args.config)?;
    let reference: SecretRef =
        args.reference.parse().map_err(|problem| Error::Usage(format!("--key: {problem}")))?;
    let key = RootKey::read(&reference).map_err(|error| Error::Configuration(error.to_string()))?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Error::Other(format!("cannot start: {error}")))?;
    let _inside = runtime.enter();
    let file = backends::seal_master_key(&config.backends, &args.backend, &key)
        .map_err(|error| Error::Other(chain(&error)))?;
    context.terminal.remark(&format!("sealed: {}\n", file.display()));
    Ok(Exit::Success)
}
