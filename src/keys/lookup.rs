//! Showing one key.

use std::sync::Arc;

use super::{Availability, Call, Error, Keyring, known};
use crate::{
    gate::Gate,
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
}

impl Shown {
    pub(super) fn new(gate: &Gate, key: Arc<Key>) -> Self {
        let backend = key.version(0).map_or(&key.backend, |version| &version.backend);
        let availability = match gate.backends().get(backend) {
            Some(info) => info.probed().map(|probed| probed.availability),
            None => Some(Availability::Unavailable),
        };
        Self { key, availability }
    }
}

impl Keyring {
    /// Shows a key. `version` must be one of its versions, or 0.
    ///
    /// # Errors
    /// The key or the version does not exist; what the gate refuses.
    pub async fn show(&self, call: &Call, name: &KeyId, version: u32) -> Result<Shown, Error> {
        let (found, subject) = self.find(name);
        let keyring = self.clone();
        self.gate
            .admit(call, Action::GetKey, subject, move |_| async move {
                let key = known(found)?;
                if version != 0 && key.version(version).is_none() {
                    return Err(Error::VersionNotFound { key: key.id.clone(), version });
                }
                Ok(Shown::new(&keyring.gate, keyring.counted(key)))
            })
            .await
    }
}
