//! A call as it arrived: what the layers found out about it before its body was
//! read. Everything behind them is given it as it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use skms_backend::Priority;

use super::{Authenticator, Caller, Refusal};
use crate::model::ClientCertificate;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// From where, for the record.
    pub peer: Arc<str>,
    /// The SHA-256 of the client certificate of its connection, in hexadecimal.
    pub certificate: Option<Arc<str>>,
    /// The id of the call.
    pub request_id: Arc<str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// How urgent it is.
    pub priority: Priority,
    /// Which item of a batch it is, counted from 0.
    pub item: Option<u32>,
    /// Whether the gate has it in hand.
    pub taken: Taken,
    /// What its caller proved itself with, to be asked again while it goes on.
    pub standing: Standing,
}

impl Call {
    /// Whether its caller could still prove who it is.
    ///
    /// # Errors
    /// Why it could not.
    pub fn stands(&self) -> Result<(), Refusal> {
        let Some((authenticator, certificate)) = &self.standing.0 else { return Ok(()) };
        authenticator.stands(&self.caller, certificate.as_deref())
    }

    /// Whether its caller may change something once more.
    ///
    /// # Errors
    /// Its token was good for one change.
    pub fn changes_again(&self) -> Result<(), Refusal> {
        match self.caller.once() {
            Some(_) => Err(Refusal::revoked("it was good for one change")),
            None => Ok(()),
        }
    }
}

/// Who knows whether a proof still holds. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Standing(Option<(Authenticator, Option<Arc<ClientCertificate>>)>);

impl Standing {
    /// That of a caller whom this one has let in, on a connection with this certificate.
    #[must_use]
    pub fn new(authenticator: &Authenticator, certificate: Option<Arc<ClientCertificate>>) -> Self {
        Self(Some((authenticator.clone(), certificate)))
    }
}

/// Whether the gate has a call in hand, which then sees to its record. Shared by all
/// clones of the call.
#[derive(Clone, Debug, Default)]
pub struct Taken(Arc<AtomicBool>);

impl Taken {
    /// From here on it has.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
