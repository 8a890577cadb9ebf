//! The messages of a stream as they come in: one after the other, or the reason why there
//! are no more.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Streaming;

use super::{status, stream::violation};
use crate::keys::{Error, Keyring};

/// Messages that come in.
pub(super) struct Incoming<M> {
    messages: Streaming<M>,
    idle: Duration,
}

impl<M> Incoming<M> {
    pub(super) fn new(messages: Streaming<M>, keyring: &Keyring) -> Self {
        Self { messages, idle: keyring.limits().stream_idle_timeout }
    }

    /// The next message; `None` where the caller has closed its side. With `soon` one is
    /// expected to come.
    ///
    /// # Errors
    /// None comes, or one that is none.
    pub(super) async fn next(&mut self, soon: bool) -> Result<Option<M>, Error> {
        let next = self.messages.message();
        let next = if soon {
            let idle = humantime::format_duration(self.idle);
            let late = |_| violation("", &format!("nothing came on the stream for {idle}"));
            timeout(self.idle, next).await.map_err(late)?
        } else {
            next.await
        };
        next.map_err(|refused| {
            status::of_message(&refused).unwrap_or_else(|| violation("", "the stream was cut"))
        })
    }
}
