//! The use cases: one method of [`Keyring`] each, all of the same shape. Look the
//! key up in memory, pass the gate, decide what depends on the key, use the
//! device, answer.
//!
//! **Invariant:** nothing here touches a device but through a
//! [`Permit`](crate::gate::Permit).

mod adopt;
mod amend;
mod batch;
mod blocks;
mod create;
mod crypto;
mod csr;
mod error;
mod filter;
mod import;
mod intent;
mod joint;
mod large;
mod limits;
mod list;
mod lookup;
mod operations;
mod permissions;
mod placement;
mod public;
mod rotate;
mod schedule;
mod sign;
mod sweep;
mod system;
mod verify;
mod watch;

use std::{sync::Arc, time::SystemTime};

use tokio_util::sync::CancellationToken;

pub use self::{
    adopt::{Adopt, AdoptedKey, Becomes},
    amend::Amend,
    create::Create,
    crypto::{
        Aad, DataKey, DataKeyMade, Decrypt, DecryptStream, Decrypted, Derive, Derived, ENVELOPE_OVERHEAD,
        Encrypt, EncryptStream, EncryptedMessage, GenerateMac, Hkdf, MacMade, MacVerified, PlaintextMode,
        Random, RandomMade, ReEncrypt, ReEncrypted, Streamed, VerifyMac,
    },
    csr::{AlternativeName, BadName, CertificateRequest, Csr, DistinguishedName},
    error::{Error, Violation},
    filter::{Filter, FilterError, VersionFilter},
    import::{CreateImportJob, Import, ImportJobShown, Material, Wrapped},
    large::{Content, Large, SignLarge, VerifyLarge},
    limits::Limits,
    list::{List, Page, Which},
    lookup::{Attest, Show, Shown},
    permissions::Permission,
    public::{ListVersions, Public, VersionPage},
    rotate::Rotate,
    sign::{Encoding, Sign, Signed},
    sweep::Swept,
    system::{BackendShown, ServerInfo},
    verify::{Verified, Verify},
    watch::{Begin, Told, Watch},
};
pub use crate::{
    auth::Call,
    backends::{Availability, BackendInfo},
    catalog::{Amendment, Change, Error as CatalogError, Kind, Moment},
    gate::{Error as GateError, Exceeded, Reasoned},
};
use crate::{
    catalog::Catalog,
    gate::{Gate, Subject},
    model::{Key, KeyId},
};

/// Every use case of the gateway.
#[derive(Clone)]
pub struct Keyring {
    catalog: Arc<Catalog>,
    gate: Gate,
    limits: Arc<Limits>,
    started: SystemTime,
    at_work: intent::AtWork,
    nonces: Arc<crypto::Nonces>,
    operations: Arc<blocks::Blocks>,
    /// Of the items of one batch.
    joints: Option<Arc<joint::Joints>>,
    /// No stream takes any more.
    stopping: CancellationToken,
}

/// A key as it was looked up: before it is known whether the caller may know.
type Found = Result<Arc<Key>, KeyId>;

impl Keyring {
    /// The use cases over this catalog, behind this gate.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, gate: Gate, limits: Limits) -> Self {
        Self {
            catalog,
            gate,
            limits: Arc::new(limits),
            started: SystemTime::now(),
            at_work: intent::AtWork::default(),
            nonces: Arc::default(),
            operations: Arc::default(),
            joints: None,
            stopping: CancellationToken::new(),
        }
    }

    /// The same for the items of one batch, which ask devices together.
    #[must_use]
    pub fn together(&self) -> Self {
        Self { joints: Some(Arc::default()), ..self.clone() }
    }

    /// Has streams end, as soon as what they have taken is answered.
    pub fn stop_streams(&self) {
        self.stopping.cancel();
    }

    /// When streams are to end.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The limits that requests are held to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    fn find(&self, name: &KeyId) -> (Found, Subject) {
        match self.catalog.lookup(name) {
            Some(key) => (Ok(Arc::clone(&key)), Subject::Key(key, name.clone())),
            None => (Err(name.clone()), Subject::Missing(name.clone())),
        }
    }
}

fn known(found: Found) -> Result<Arc<Key>, Error> {
    found.map_err(|name| Error::KeyNotFound { name })
}

#[cfg(test)]
mod tests;
