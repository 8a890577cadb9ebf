//! Random bytes, of a device where it can.

use skms_backend::{KeyType, ProtectionLevel, Secret};

use super::{Error, asked};
use crate::{
    gate::{Permit, Subject, Work},
    keys::{Call, Keyring},
    model::{Action, BackendName},
};

/// What random bytes are wanted.
#[derive(Clone, Debug)]
pub struct Random {
    /// How many.
    pub length: usize,
    /// How well their source must be protected.
    pub floor: Option<ProtectionLevel>,
    /// The backend that is to give them; `None`: the first that can.
    pub backend: Option<BackendName>,
}

/// Random bytes, and where they are from.
pub struct RandomMade {
    /// The bytes.
    pub bytes: Secret,
    /// The backend that gave them.
    pub backend: BackendName,
    /// How well it is protected.
    pub protection_level: ProtectionLevel,
}

impl Keyring {
    /// Gives random bytes.
    ///
    /// # Errors
    /// No backend gives so many, or none that is protected so well; the device failed;
    /// what the gate refuses.
    pub async fn random(&self, call: &Call, request: Random) -> Result<RandomMade, Error> {
        let limit = self.limits.operation_timeout;
        self.gate
            .admit(call, Action::GenerateRandom, Subject::Gateway, move |permit| async move {
                let (backend, protection_level) = source(&permit, &request)?;
                permit.note(|facts| {
                    facts.backend = Some(backend.clone());
                    facts.input_bytes = Some(request.length);
                });
                // As if a key of AES were at work.
                permit.charge_caller(Work::Cipher, KeyType::Aes256, protection_level)?;
                let Some(device) = permit.device(&backend) else {
                    return Err(Error::BackendGone { backend });
                };
                let ctx = permit.context(limit);
                match asked(|| device.random(request.length, &ctx)).await {
                    Ok(bytes) => Ok(RandomMade { bytes, backend, protection_level }),
                    Err(source) => Err(Error::Backend { backend, source }),
                }
            })
            .await
    }
}

/// The backend that is to give them.
fn source(permit: &Permit, request: &Random) -> Result<(BackendName, ProtectionLevel), Error> {
    let mut exists = false;
    for info in permit.backends() {
        if request.backend.as_ref().is_some_and(|name| name != info.name()) {
            continue;
        }
        exists = true;
        let capabilities = info.capabilities();
        let protection = capabilities.protection_level;
        if capabilities.max_random_bytes >= request.length
            && request.floor.is_none_or(|floor| protection >= floor)
        {
            return Ok((info.name().clone(), protection));
        }
    }
    Err(if exists { Error::NoRandom { floor: request.floor } } else { Error::BackendNotFound })
}
