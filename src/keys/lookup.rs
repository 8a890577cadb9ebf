//! Showing one key.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use skms_backend::{Attestation, Class};
use tracing::debug;

use super::{Availability, Call, Error, Keyring, crypto::asked, known, sign::named};
use crate::{
    gate::{Gate, Permit, Work},
    model::{Action, Key, KeyId},
};

/// A key, and whether its backend answers.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The key.
    pub key: Arc<Key>,
    /// Whether the backend of its primary version answers; `None` before the
    /// first probe.
    pub availability: Option<Availability>,
    /// What its device says of a version, where it was asked.
    pub attestation: Option<(u32, Attestation)>,
}

impl Shown {
    pub(super) fn new(gate: &Gate, key: Arc<Key>) -> Self {
        let backend = key.version(0).map_or(&key.backend, |version| &version.backend);
        let availability = match gate.backends().get(backend) {
            Some(info) => info.probed().map(|probed| probed.availability),
            None => Some(Availability::Unavailable),
        };
        Self { key, availability, attestation: None }
    }
}

/// What to show of a key.
#[derive(Clone, Debug)]
pub struct Show {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// One of its versions, or 0.
    pub version: u32,
    /// Whether the device is asked for a statement about the version; 0 is the primary.
    pub attest: Attest,
}

/// Whether a device is asked for a statement about a key.
#[derive(Clone, Debug)]
pub enum Attest {
    /// It is not asked.
    No,
    /// It is, and what keeps it from answering is no error.
    IfItCan,
    /// It is, and the statement has this challenge in it.
    Challenged(Bytes),
}

/// How long a statement is waited for that was not asked for: a key is to be shown also
/// while its device stands still.
const UNASKED: Duration = Duration::from_secs(2);

impl Keyring {
    /// Shows a key.
    ///
    /// # Errors
    /// The key or the version does not exist; the device makes no statements, or failed,
    /// where it was challenged; what the gate refuses.
    pub async fn show(&self, call: &Call, request: Show) -> Result<Shown, Error> {
        let (found, subject) = self.find(&request.key);
        let keyring = self.clone();
        self.gate
            .admit(call, Action::GetKey, subject, move |permit| async move {
                let key = known(found)?;
                if request.version != 0 && key.version(request.version).is_none() {
                    return Err(Error::VersionNotFound { key: key.id.clone(), version: request.version });
                }
                let patience = keyring.limits.operation_timeout;
                let attestation = match request.attest {
                    Attest::No => None,
                    Attest::IfItCan => {
                        let told = keyring
                            .attested(&permit, &key, request.version, &[], UNASKED.min(patience))
                            .await;
                        told.inspect_err(|error| debug!(key = %key.id, %error, "no statement about the key"))
                            .ok()
                    }
                    Attest::Challenged(challenge) => {
                        Some(keyring.attested(&permit, &key, request.version, &challenge, patience).await?)
                    }
                };
                Ok(Shown { attestation, ..Shown::new(&keyring.gate, keyring.counted(key)) })
            })
            .await
    }

    /// What the device says of a version, with its number.
    async fn attested(
        &self,
        permit: &Permit,
        key: &Key,
        number: u32,
        challenge: &[u8],
        patience: Duration,
    ) -> Result<(u32, Attestation), Error> {
        let version = named(key, number)?;
        let state = || Error::State { key: key.id.clone(), version: version.number, state: version.state };
        let key_ref = version.key.as_ref().filter(|_| version.generated.is_some()).ok_or_else(state)?;
        let backend = || version.backend.clone();
        let device =
            permit.device(&version.backend).ok_or_else(|| Error::BackendGone { backend: backend() })?;
        let not_offered = || Error::NotOffered { backend: backend(), what: "attesting such keys".to_owned() };
        let attesting = device.attestation().ok_or_else(not_offered)?;
        permit.charge(Work::Sign, key, version.protection_level)?;
        let ctx = permit.context(patience);
        let told = asked(|| attesting.attest(key_ref, challenge, &ctx)).await;
        let told = told.map_err(|source| match source.class() {
            Class::Unsupported => not_offered(),
            _ => Error::Backend { backend: backend(), source },
        })?;
        Ok((version.number, told))
    }
}
