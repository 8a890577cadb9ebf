//! Message authentication codes (HMAC, FIPS 198-1).

use std::{sync::Arc, time::SystemTime};

use aws_lc_rs::constant_time;
use bytes::Bytes;
use skms_backend::{Operation, ProtectionLevel};

use super::{Ready, asked, fits_mac, of_device, only};
use crate::{
    gate::{Permit, Work},
    keys::{
        Call, Error, Keyring, known,
        sign::{is_for, may_sign},
        verify::candidates,
    },
    model::{Action, Key, KeyId, Purpose, State, Version},
};

/// What to make a code of.
#[derive(Clone)]
pub struct GenerateMac {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The message.
    pub message: Bytes,
    /// The version; 0: the primary.
    pub version: u32,
}

/// A code, and what made it.
#[derive(Clone, Debug)]
pub struct MacMade {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that made it.
    pub version: u32,
    /// Where the key lives.
    pub protection_level: ProtectionLevel,
    /// The code, of full length.
    pub mac: Bytes,
}

/// What code to check.
#[derive(Clone)]
pub struct VerifyMac {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The message.
    pub message: Bytes,
    /// The code.
    pub mac: Bytes,
    /// The version; 0: the primary, then older ones.
    pub version: u32,
    /// Whether compromised versions are tried, too; that takes a permission more.
    pub accept_compromised: bool,
}

/// Whether a code is valid.
#[derive(Clone, Debug)]
pub struct MacVerified {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that matched, with its state; `None`: the code is not valid.
    pub matched: Option<(u32, State)>,
}

impl Keyring {
    /// Makes a message authentication code.
    ///
    /// # Errors
    /// There is no such key or version, or it must not; the device failed; what the gate
    /// refuses.
    pub async fn generate_mac(&self, call: &Call, request: GenerateMac) -> Result<MacMade, Error> {
        let (found, subject) = self.find(&request.key);
        let keyring = self.clone();
        self.gate
            .admit(call, Action::GenerateMac, subject, move |permit| async move {
                let key = known(found)?;
                let version = Arc::clone(may_sign(&key, request.version, SystemTime::now())?);
                is_for(&key, Purpose::Mac)?;
                note(&permit, &key, &request.message, Some(&version));
                fits_mac(&permit, &version, &request.message)?;
                keyring.protects(&permit, Work::Cipher, &key, &version).await?;
                let mac = keyring.mac(&permit, &version, &request.message).await?;
                Ok(MacMade { version: version.number, protection_level: version.protection_level, mac, key })
            })
            .await
    }

    /// Checks a message authentication code, in constant time. A bad one is no error.
    ///
    /// # Errors
    /// There is no such key or version, or it must not; the device failed; what the gate
    /// refuses.
    pub async fn verify_mac(&self, call: &Call, request: VerifyMac) -> Result<MacVerified, Error> {
        let (found, subject) = self.find(&request.key);
        let also = request.accept_compromised.then(|| (Action::VerifyCompromised, subject.clone()));
        let also = also.into_iter().collect();
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::VerifyMac, subject, also, move |permit| async move {
                let key = known(found)?;
                let candidates = candidates(&key, request.version, request.accept_compromised)?;
                is_for(&key, Purpose::Mac)?;
                note(&permit, &key, &request.message, None);
                let mut matched = None;
                for version in candidates {
                    fits_mac(&permit, version, &request.message)?;
                    permit.charge(Work::Cipher, &key, version.protection_level)?;
                    let mac = keyring.mac(&permit, version, &request.message).await?;
                    if constant_time::verify_slices_are_equal(&mac, &request.mac).is_ok() {
                        matched = Some((version.number, version.state));
                        break;
                    }
                }
                permit.note(|facts| facts.version = matched.map(|(number, _)| number));
                Ok(MacVerified { key, matched })
            })
            .await
    }

    async fn mac(&self, permit: &Permit, version: &Version, message: &Bytes) -> Result<Bytes, Error> {
        let ready = Ready::of(permit, version)?;
        let ctx = permit.context(self.limits.operation_timeout);
        let (device, at, ctx) = (&ready.device, &ready.key, &ctx);
        let ask = || async move { only(device.mac(at, vec![message.clone()], ctx).await, Operation::Mac) };
        asked(ask).await.map_err(|error| of_device(version, error))
    }
}

fn note(permit: &Permit, key: &Key, message: &Bytes, version: Option<&Version>) {
    permit.note(|facts| {
        facts.algorithm = Some(key.key_type.name());
        facts.input_bytes = Some(message.len());
        facts.version = version.map(|version| version.number);
        facts.backend = version.map(|version| version.backend.clone());
    });
}
