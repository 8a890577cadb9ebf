//! `skms serve`: runs the gateway.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use parking_lot::Mutex;
use tracing::{error, info, warn};

use super::{Error, Exit};
use crate::{
    config::{self, Config},
    reload::Reloadable,
    server::Server,
    shutdown,
    telemetry::{self, Reloaded, chain},
};

/// Run the gateway
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

/// Before there is any thread: has the environment what the libraries of its backends
/// look for there? If not, the process begins again, as the same process, with it: in
/// one that runs, the environment cannot be changed safely.
pub(super) fn prepare(config: &Path) -> Result<(), Error> {
    let environment = configuration(config)?.backends.environment();
    let environment = environment.map_err(|error| Error::Other(format!("cannot make a pipe: {error}")))?;
    if environment.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new("/proc/self/exe");
    again.arg0(arguments.next().unwrap_or_default()).args(arguments).envs(environment);
    Err(Error::Other(format!("cannot begin again with another environment: {}", again.exec())))
}

pub(super) async fn run(args: Args) -> Result<Exit, Error> {
    let config = configuration(&args.config)?;
    let telemetry = telemetry::init(&config.log, &config.traces)
        .map_err(|error| Error::Configuration(error.to_string()))?;
    let telemetry = Arc::new(telemetry);
    let started_with = config.clone();
    // One line in the log, without the payload: it may hold what a caller sent.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(location, "a part of the gateway panicked");
    }));
    info!(version = env!("CARGO_PKG_VERSION"), config = %args.config.display(), "starting");
    let stop = shutdown::on_signal().map_err(|error| Error::Other(chain(&error)))?;
    // A device that hangs while it is opened must not keep the process either.
    let started = tokio::select! {
        started = Server::start(config, vec![log_level(&args.config, started_with, &telemetry)], stop.clone()) => started,
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

/// The level of the log, which can be changed in the file while the gateway runs. That
/// anything else was changed there is told, and has to wait for a restart.
fn log_level(file: &Path, started_with: Config, telemetry: &Arc<telemetry::Handle>) -> Reloadable {
    let (watched, file, telemetry) = (file.to_owned(), file.to_owned(), Arc::clone(telemetry));
    let known = Mutex::new(started_with);
    Reloadable::new(
        Reloaded::Log,
        move || vec![watched.clone()],
        move || -> Result<bool, LevelError> {
            let read = Config::load(&file, config::environment())?;
            let mut known = known.lock();
            let changed = read.log.level != known.log.level;
            if changed {
                telemetry.reload(&read.log.level)?;
                known.log.level = read.log.level.clone();
            }
            if read != *known {
                warn!(
                    file = %file.display(),
                    "the configuration has changed in more than `log.level`; the rest takes a restart"
                );
            }
            Ok(changed)
        },
    )
}

/// Why the level of the log stays as it is.
#[derive(Debug, thiserror::Error)]
enum LevelError {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Log(#[from] telemetry::Error),
}

/// The configuration of the file and of the environment.
pub(super) fn configuration(path: &Path) -> Result<Config, Error> {
    Config::load(path, config::environment()).map_err(|error| Error::Configuration(chain(&error)))
}
