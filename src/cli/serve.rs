//! `skms serve`: runs the gateway.

use std::path::PathBuf;

use super::{Error, Exit};

/// Run the gateway
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) async fn run(args: Args) -> Result<Exit, Error> {
    let config = args.config.display();
    Err(Error::Other(format!("cannot serve `{config}`: the server is not part of this build")))
}
