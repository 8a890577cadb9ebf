//! Real sockets on loopback, real handshakes.

mod certificates;
mod crowd;
mod floods;
mod lives;
mod pki;
mod protocol;
mod raw;
mod reloads;
mod served;

use std::time::Duration;

/// What never comes is given up after this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not happen")
}
