//! Showing the gateway and its backends.

use std::time::{Duration, SystemTime};

use skms_backend::{Capabilities, KeyType, WorkersStatus};
use uuid::Uuid;

use super::{BackendInfo, Call, Error, Keyring, Limits};
use crate::{
    backends::Probed,
    catalog::REQUEST_ID_LIFETIME,
    gate::Subject,
    model::{Action, BackendName},
};

/// What is shown of a backend.
#[derive(Clone, Debug)]
pub struct BackendShown {
    /// Its name.
    pub name: BackendName,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What the last probe found.
    pub probed: Option<Probed>,
    /// The pool in front of it.
    pub pool: WorkersStatus,
}

impl From<&BackendInfo> for BackendShown {
    fn from(info: &BackendInfo) -> Self {
        Self {
            name: info.name().clone(),
            capabilities: info.capabilities().clone(),
            probed: info.probed(),
            pool: info.status(),
        }
    }
}

/// What is shown of the gateway.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The random id of its catalog.
    pub instance: Uuid,
    /// When it was started.
    pub started: SystemTime,
    /// Its limits.
    pub limits: Limits,
    /// How long a request id is remembered.
    pub request_id_lifetime: Duration,
    /// The key types that some backend can make.
    pub key_types: Vec<KeyType>,
}

impl Keyring {
    /// Shows every backend, in placement order.
    ///
    /// # Errors
    /// What the gate refuses.
    pub async fn backends(&self, call: &Call) -> Result<Vec<BackendShown>, Error> {
        self.gate
            .admit(call, Action::ListBackends, Subject::Gateway, move |permit| async move {
                Ok(permit.backends().map(BackendShown::from).collect())
            })
            .await
    }

    /// Shows one backend.
    ///
    /// # Errors
    /// There is none of this name; what the gate refuses.
    pub async fn backend(&self, call: &Call, name: BackendName) -> Result<BackendShown, Error> {
        self.gate
            .admit(call, Action::GetBackend, Subject::Gateway, move |permit| async move {
                permit.note(|facts| facts.backend = Some(name.clone()));
                permit
                    .backends()
                    .find(|info| *info.name() == name)
                    .map(BackendShown::from)
                    .ok_or(Error::BackendNotFound)
            })
            .await
    }

    /// Shows the gateway.
    ///
    /// # Errors
    /// What the gate refuses.
    pub async fn server_info(&self, call: &Call) -> Result<ServerInfo, Error> {
        let (instance, limits) = (self.catalog.instance(), self.limits().clone());
        let started = self.started;
        self.gate
            .admit(call, Action::GetServerInfo, Subject::Gateway, move |permit| async move {
                let mut key_types: Vec<_> = permit
                    .backends()
                    .flat_map(|info| &info.capabilities().key_types)
                    .map(|offered| offered.key_type)
                    .collect();
                key_types.sort_unstable();
                key_types.dedup();
                let request_id_lifetime = REQUEST_ID_LIFETIME;
                Ok(ServerInfo { instance, started, limits, request_id_lifetime, key_types })
            })
            .await
    }
}
