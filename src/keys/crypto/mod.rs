//! Encryption, message authentication codes, agreed secrets and random bytes.
//!
//! | read | for |
//! |---|---|
//! | `envelope` | the form of a ciphertext |
//! | `aad` | what is authenticated with it |
//! | `nonces` | where the nonces of device keys come from |
//! | `stream` | what is too long for one message |
//! | `cipher` | one encryption and one decryption, for all who need them |
//!
//! **Invariant:** no plaintext leaves before its tag and its commitment were checked, and
//! every failure of that is one error.

mod aad;
mod cipher;
mod data_key;
mod decrypt;
mod derive;
mod encrypt;
mod envelope;
mod mac;
mod nonces;
mod random;
mod reencrypt;
mod stream;

use std::sync::Arc;

use skms_backend::{Class, KeyBackend, KeyRef, Operation};

pub(super) use self::nonces::Nonces;
pub use self::{
    aad::Aad,
    data_key::{DataKey, DataKeyMade, PlaintextMode},
    decrypt::{Decrypt, Decrypted},
    derive::{Derive, Derived, Hkdf},
    encrypt::{Encrypt, EncryptedMessage},
    envelope::OVERHEAD as ENVELOPE_OVERHEAD,
    mac::{GenerateMac, MacMade, MacVerified, VerifyMac},
    random::{Random, RandomMade},
    reencrypt::{ReEncrypt, ReEncrypted},
    stream::{DecryptStream, EncryptStream, Streamed},
};
use super::{Error, Violation};
use crate::{
    gate::Permit,
    model::{Reason, Version},
};

/// A version on its device, ready to be asked.
struct Ready {
    device: Arc<dyn KeyBackend>,
    key: KeyRef,
}

impl Ready {
    fn of(permit: &Permit, version: &Version) -> Result<Self, Error> {
        match (permit.device(&version.backend), &version.key) {
            (Some(device), Some(key)) => Ok(Self { device, key: key.clone() }),
            _ => Err(Error::BackendGone { backend: version.backend.clone() }),
        }
    }
}

/// An error of a device, with the name of its backend.
fn of_device(version: &Version, source: skms_backend::Error) -> Error {
    Error::Backend { backend: version.backend.clone(), source }
}

/// Asks a device, and once more where the context that was asked lost its session, login
/// or handle: it is gone by then.
pub(super) async fn asked<T, Answer>(ask: impl Fn() -> Answer) -> Result<T, skms_backend::Error>
where
    Answer: Future<Output = Result<T, skms_backend::Error>>,
{
    match ask().await {
        Err(error) if matches!(error.class(), Class::Session | Class::Login | Class::Handle) => ask().await,
        answer => answer,
    }
}

/// The answer to the only input.
pub(in crate::keys) fn only<T>(
    answers: Vec<Result<T, skms_backend::Error>>,
    operation: Operation,
) -> Result<T, skms_backend::Error> {
    let nothing = || Err(skms_backend::Error::new(Class::Broken, operation));
    answers.into_iter().next().unwrap_or_else(nothing)
}

/// Refuses what is longer than one call to the device of a version takes.
fn fits_device(permit: &Permit, version: &Version, field: &str, bytes: usize) -> Result<(), Error> {
    let limit = permit.capabilities(&version.backend).map_or(0, |can| can.max_message_bytes);
    fits_limit(limit, field, bytes)
}

/// Refuses what is longer than the device makes a message authentication code of.
fn fits_mac(permit: &Permit, version: &Version, message: &[u8]) -> Result<(), Error> {
    let limit = permit.capabilities(&version.backend).map_or(0, |can| can.max_mac_bytes);
    fits_limit(limit, "message", message.len())
}

fn fits_limit(limit: usize, field: &str, bytes: usize) -> Result<(), Error> {
    if bytes <= limit {
        return Ok(());
    }
    let why = format!("{bytes} bytes are more than the {limit} that the backend takes at once");
    let violation = Violation::new(field, Reason::PayloadTooLarge, why).about("maxBytes", limit);
    Err(Error::Invalid { violations: vec![violation] })
}
