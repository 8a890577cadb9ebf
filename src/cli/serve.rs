//! `skms serve`: runs the gateway.

use std::path::{Path, PathBuf};

use tracing::{error, info};

use super::{Error, Exit};
use crate::{
    config::{self, Config},
    server::Server,
    shutdown, telemetry,
};

/// Run the gateway
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) async fn run(args: Args) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    let telemetry = telemetry::init(&config.log, &config.traces)
        .map_err(|error| Error::Configuration(error.to_string()))?;
    // One line in the log, without the payload: it may hold what a caller sent.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(location, "a part of the gateway panicked");
    }));
    info!(version = env!("CARGO_PKG_VERSION"), config = %args.config.display(), "starting");
    let stop = shutdown::on_signal().map_err(|error| Error::Other(chain(&error)))?;
    // A device that hangs while it is opened must not keep the process either.
    let started = tokio::select! {
        started = Server::start(config, stop.clone()) => started,
        () = stop.cancelled() => return Ok(Exit::Success),
    };
    let server = started.map_err(|error| {
        // A refused PIN must not be tried again and again by a supervisor.
        if error.needs_a_person() { Error::Configuration(chain(&error)) } else { Error::Other(chain(&error)) }
    })?;
    server.stopped().await.map_err(|error| Error::Other(chain(&error)))?;
    // It waits for the collector of traces, and so not on a thread of the runtime.
    let _ = tokio::task::spawn_blocking(move || telemetry.close()).await;
    Ok(Exit::Success)
}

/// The configuration of the file and of the environment.
pub(super) fn configuration(path: &Path) -> Result<Config, Error> {
    Config::load(path, config::environment()).map_err(|error| Error::Configuration(error.to_string()))
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(step) = cause {
        text.push_str(": ");
        text.push_str(&step.to_string());
        cause = step.source();
    }
    text
}
