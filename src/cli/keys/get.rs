//! `skms keys get`.

use skms_backend::CHALLENGE_BYTES;

use super::show;
use crate::{
    cli::{Context, Error, Exit, files::Place},
    proto::{GetKeyRequest, KeyView},
};

/// Show a key
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The id or an alias of the key
    id: String,
    /// Show the versions of the key, too
    #[arg(long)]
    full: bool,
    /// The version whose public key is shown [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Print the public key (PEM) and nothing else
    #[arg(long, conflicts_with = "full")]
    public_key: bool,
    /// Write the statement of the device about the key to this file; `-`: the output
    #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
    attestation: Option<Place>,
    /// What the statement must have in it, in hexadecimal: at most 32 bytes that nobody can
    /// foresee
    #[arg(long, value_name = "HEX", requires = "attestation", value_parser = challenge)]
    challenge: Option<Challenge>,
}

/// What a statement must have in it.
#[derive(Clone, Debug)]
struct Challenge(Vec<u8>);

fn challenge(text: &str) -> Result<Challenge, String> {
    match hex::decode(text) {
        Ok(bytes) if (1..=CHALLENGE_BYTES).contains(&bytes.len()) => Ok(Challenge(bytes)),
        _ => Err(format!("a challenge is 1 to {CHALLENGE_BYTES} bytes, as pairs of hexadecimal digits")),
    }
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let key = context.connect().await?.get_key(request(&args)).await?;
    if let Some(place) = &args.attestation {
        let versions = key.metadata.iter().flat_map(|metadata| &metadata.versions);
        let told = versions.filter_map(|version| version.attestation.as_ref()).next();
        let none = || Error::Other("the device makes no statement about the key, or does not answer".into());
        place.write(&told.ok_or_else(none)?.statement, context.terminal)?;
    } else if !args.public_key {
        show::print(key, context)?;
    } else if key.public_key.is_empty() {
        return Err(Error::Other("the key has no public key, or none yet".into()));
    } else {
        context.terminal.print(show::pem(&key.public_key))?;
    }
    Ok(Exit::Success)
}

fn request(args: &Args) -> GetKeyRequest {
    let view = if args.full || args.attestation.is_some() { KeyView::Full } else { KeyView::Basic };
    GetKeyRequest {
        key_id: args.id.clone(),
        view: view.into(),
        version: args.version.unwrap_or_default(),
        attestation_challenge: args.challenge.clone().unwrap_or(Challenge(Vec::new())).0.into(),
    }
}
