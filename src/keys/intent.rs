//! From an intent in the catalog to a version in use, or back to nothing.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use skms_backend::{Class, KeySpec, KeyTag, Secret};
use tracing::warn;

use super::{Error, Keyring};
use crate::{
    catalog::Expected,
    failpoint,
    gate::Permit,
    model::{Key, Version},
};

/// A version that the catalog has announced and no device has heard of yet.
pub(super) struct Intent {
    pub(super) key: Arc<Key>,
    pub(super) number: u32,
    pub(super) spec: KeySpec,
    /// What it is to be made of; `None`: the device makes it.
    pub(super) material: Option<Secret>,
    /// Whether it is to become the primary.
    pub(super) promote: bool,
    /// What must still be true when it is taken into use.
    pub(super) expected: Expected,
    /// The failpoint between device and catalog.
    pub(super) made: &'static str,
}

/// The tags that calls are working on right now; the sweep keeps off them.
pub(super) type AtWork = Arc<Mutex<BTreeSet<KeyTag>>>;

/// Ends the work on some tags when it is dropped.
pub(super) struct Working {
    tags: Vec<KeyTag>,
    at_work: AtWork,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut at_work = self.at_work.lock();
        for tag in &self.tags {
            at_work.remove(tag);
        }
    }
}

/// What became of an intent that was to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawn {
    /// It is gone, and so is whatever the device held of it.
    Wholly,
    /// Something of it is left to the next sweep.
    Left,
    /// It was no intent any more.
    Never,
}

impl Keyring {
    /// Marks versions as being worked on. To be called before their intent is written.
    pub(super) fn at_work(&self, versions: &[Arc<Version>]) -> Working {
        let tags: Vec<_> = versions.iter().filter_map(|version| Some(version.key.as_ref()?.tag)).collect();
        self.working(tags)
    }

    /// Marks tags as being worked on.
    pub(super) fn working(&self, tags: Vec<KeyTag>) -> Working {
        self.at_work.lock().extend(tags.iter().copied());
        Working { tags, at_work: Arc::clone(&self.at_work) }
    }

    /// Has the device make the material, and takes it into use. When that fails,
    /// the intent is given up, and whatever was made is removed.
    pub(super) async fn fulfil(&self, permit: &Permit, intent: Intent) -> Result<Arc<Key>, Error> {
        let id = intent.key.id.clone();
        let Some(version) = intent.key.version(intent.number) else {
            return Err(Error::Internal { what: "the intent has no version" });
        };
        let Some(tag) = version.key.as_ref().map(|key| key.tag) else {
            return Err(Error::Internal { what: "the intent has no tag" });
        };
        let backend = version.backend.clone();
        permit.note(|facts| facts.version = Some(intent.number));
        let device =
            permit.device(&backend).ok_or_else(|| Error::BackendGone { backend: backend.clone() })?;
        let ctx = permit.wanted_context(self.limits.generate_timeout);
        let imported = intent.material.is_some();
        let made = match intent.material {
            None => device.generate(&intent.spec, tag, &ctx).await,
            Some(material) => device.import(&intent.spec, tag, material, &ctx).await,
        };
        let failed = match made {
            Ok(made) => {
                failpoint::reached(intent.made);
                let activated = self.catalog.activate(id, tag, made, intent.promote, intent.expected).await;
                match activated {
                    Ok(key) => return Ok(key),
                    Err(error) => Error::from(error),
                }
            }
            Err(source) if imported && source.class() == Class::Caller => Error::MaterialInvalid,
            Err(source) => {
                // The device may still be making it: too early to look for remnants,
                // and asking it would only wait behind them. The names are free at once.
                let unknown = matches!(source.class(), Class::Timeout | Class::Cancelled);
                let failed = Error::Backend { backend: backend.clone(), source };
                if unknown {
                    if let Err(error) = self.catalog.abandon(id, tag).await {
                        warn!(key = %intent.key.id, version = intent.number, %error, "intent left to the sweep");
                    }
                    return Err(failed);
                }
                failed
            }
        };
        self.withdraw(permit, &intent.key, version, tag).await;
        Err(failed)
    }

    /// Gives up an intent, and then removes what a device may hold of it. In this
    /// order, because only the catalog knows whether it is too late: an activation
    /// may have come first, or have failed in a way that still comes true after a
    /// crash. What the device does not confirm to have removed is left to the
    /// sweep, which finds it by its tag.
    pub(super) async fn withdraw(
        &self,
        permit: &Permit,
        key: &Key,
        version: &Version,
        tag: KeyTag,
    ) -> Withdrawn {
        match self.catalog.abandon(key.id.clone(), tag).await {
            Ok(true) => {}
            Ok(false) => return Withdrawn::Never,
            Err(error) => {
                warn!(key = %key.id, version = version.number, %error, "intent left to the sweep");
                return Withdrawn::Left;
            }
        }
        let Some(device) = permit.device(&version.backend) else { return Withdrawn::Left };
        let ctx = permit.patient_context(self.limits.operation_timeout);
        if let Err(error) = device.destroy(tag, &ctx).await {
            warn!(key = %key.id, version = version.number, %tag, %error, "remnant left to the sweep");
            return Withdrawn::Left;
        }
        Withdrawn::Wholly
    }
}
