//! When to stop: SIGTERM or SIGINT.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that is cancelled by the first signal. A second one ends the process
/// at once: whoever sends it does not want to wait.
///
/// # Errors
/// When the system does not let us listen for signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM: stopping"),
            _ = interrupt.recv() => info!("SIGINT: stopping"),
        }
        token.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("a second signal: ending without waiting");
        std::process::exit(SECOND_SIGNAL);
    });
    Ok(stop)
}

/// The exit code after a second signal: 128 and SIGINT, as a shell counts.
const SECOND_SIGNAL: i32 = 130;
