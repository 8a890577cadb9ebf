//! `skms reencrypt`: new ciphertexts of the same plaintexts, for one file or for many.
//!
//! **Invariant:** a file holds its old ciphertext or its new one, whole, whatever happens
//! meanwhile; and it gets the new one only if the gateway saw the old one that was sent
//! and the new one is that which it made (CRC32C both ways).

mod file;
mod places;
mod report;

use self::file::Work;
use super::{
    Context, Error, Exit,
    aad::{self, Aad, Entry},
    bulk::{self, DEFAULT_JOBS, MAX_JOBS},
    files::{Place, stdin_once},
    names::encryption_parser,
    payload::{Form, Hex},
};
use crate::proto::EncryptionAlgorithm;

/// Encrypt anew, with the primary version of a key, in place or to other files
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The id or an alias of the key that encrypted
    #[arg(long, value_name = "KEY")]
    from: String,
    /// The id or an alias of the key that is to encrypt; it may be the same
    #[arg(long, value_name = "KEY")]
    to: String,
    /// The ciphertexts; `-`, alone, is stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<Place>,
    /// A directory for the new ciphertexts, under the names of the old; or, of one file, a
    /// file, or `-` for stdout [default: in place]
    #[arg(long, value_name = "PATH")]
    out: Option<Place>,
    // What is authenticated now.
    #[command(flatten)]
    aad: aad::Args,
    /// What is authenticated from now on [default: what is authenticated now]
    #[arg(long, value_name = "HEX",
          conflicts_with_all = ["new_aad_file", "new_context", "without_aad", "skip_current"])]
    new_aad_hex: Option<Hex>,
    /// A file with what is authenticated from now on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_context", "without_aad", "skip_current"])]
    new_aad_file: Option<Place>,
    /// A name and a value that are authenticated from now on; may be given again
    #[arg(long, value_name = "NAME=VALUE", conflicts_with_all = ["without_aad", "skip_current"])]
    new_context: Vec<Entry>,
    /// Authenticate nothing from now on
    #[arg(long, conflicts_with = "skip_current")]
    without_aad: bool,
    /// Decrypt with a version that others may know, too
    #[arg(long)]
    accept_compromised: bool,
    /// For RSA-OAEP, the version that encrypted [default: the primary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    from_version: Option<u32>,
    /// For RSA-OAEP, the algorithm that encrypted [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = encryption_parser())]
    from_algorithm: Option<EncryptionAlgorithm>,
    /// The algorithm that is to encrypt [default: the key's first]
    #[arg(long, value_name = "NAME", ignore_case = true, value_parser = encryption_parser(),
          conflicts_with = "skip_current")]
    to_algorithm: Option<EncryptionAlgorithm>,
    /// Leave files as they are that the primary version of the same key encrypted. The
    /// gateway is asked all the same
    #[arg(long)]
    skip_current: bool,
    /// How many files are worked on at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS,
          value_parser = clap::value_parser!(u8).range(1..=MAX_JOBS))]
    jobs: u8,
    /// How the ciphertexts are written, the old and the new
    #[arg(long, value_enum, default_value_t = Form::Raw)]
    format: Form,
}

pub(super) async fn run(args: Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    stdin_once(args.files.iter().chain(args.aad.file()).chain(&args.new_aad_file))?;
    let jobs = places::jobs(&args.files, args.out.as_ref(), context)?;
    let (source, destination) = authenticated(&args, context)?;
    let limit = context.settings.client.max_send_bytes;
    let work = Work { client: context.connect().await?, args: &args, source, destination, limit };
    let done = bulk::each(jobs, args.jobs, context, async |job| work.run(job).await).await;
    report::print(done, args.format, context)
}

/// What was authenticated, and what is from now on.
fn authenticated(args: &Args, context: &mut Context<'_>) -> Result<(Aad, Aad), Error> {
    let source = args.aad.read(context)?;
    let new = aad::read(args.new_aad_hex.as_ref(), args.new_aad_file.as_ref(), &args.new_context, context)?;
    let destination = match new {
        // It would be lost by forgetting a flag.
        Aad::None if !args.without_aad => source.clone(),
        new => new,
    };
    Ok((source, destination))
}
