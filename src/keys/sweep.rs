//! The sweep: removes what a crash, or a device that went away in the middle,
//! left half made.
//!
//! Two things can be left: an *intent* in the catalog, with or without material
//! on the device, and *material* under the tag of an intent that was given up,
//! which a device may show only later. Both are removed; a caller that was never
//! answered may ask again. Import jobs go the same way, and also when their time is long
//! over.
//!
//! **Invariant:** only material whose tag the catalog knows as given up is
//! removed. A key that carries this gateway's mark and that the catalog has never
//! heard of (the catalog may have been restored from an old copy) is reported and
//! left alone.
//!
//! What a token itself leaves half written, when it is killed while it makes a
//! pair, may bear neither label nor tag (SoftHSM 2.6.1 does that). Such an object
//! could be anybody's, holds no key, and is left alone.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use skms_backend::{KeyTag, Selector};
use tracing::{info, warn};

use super::{Call, Error, Keyring, intent::Withdrawn};
use crate::{
    auth::Caller,
    gate::{Permit, Subject},
    model::{Action, BackendName, ImportJob, Key, Version},
};

/// What a sweep found and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Intents that were withdrawn.
    pub intents: usize,
    /// Import jobs that were not made to their end, or whose time is long over.
    pub jobs: usize,
    /// Keys on devices that the catalog did not know.
    pub orphans: usize,
    /// What could not be removed now.
    pub left: usize,
}

impl Keyring {
    /// Looks everywhere, once.
    ///
    /// # Errors
    /// What the gate refuses. A device that does not answer is not an error: it
    /// is swept next time.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for (key, version) in self.catalog.intents() {
            let Some(tag) = version.key.as_ref().map(|key| key.tag) else { continue };
            if self.at_work.lock().contains(&tag) {
                continue;
            }
            match self.withdraw_intent(key, version, tag).await? {
                Withdrawn::Wholly => swept.intents += 1,
                Withdrawn::Left => swept.left += 1,
                // Its call came to an end since the intents were listed.
                Withdrawn::Never => {}
            }
        }
        for (job, tag) in self.stale_jobs(SystemTime::now()) {
            match self.sweep_job(job, tag).await? {
                Withdrawn::Wholly => swept.jobs += 1,
                Withdrawn::Left => swept.left += 1,
                Withdrawn::Never => {}
            }
        }
        for (backend, tag) in self.orphans().await? {
            if self.remove_orphan(backend, tag).await? {
                swept.orphans += 1;
            } else {
                swept.left += 1;
            }
        }
        self.catalog.forget_answers(SystemTime::now()).await?;
        if swept != Swept::default() {
            let Swept { intents, jobs, orphans, left } = swept;
            info!(intents, jobs, orphans, left, "swept");
        }
        Ok(swept)
    }

    async fn withdraw_intent(
        &self,
        key: Arc<Key>,
        version: Arc<Version>,
        tag: KeyTag,
    ) -> Result<Withdrawn, Error> {
        let keyring = self.clone();
        self.gate
            .admit(
                &self.own_call(),
                Action::Sweep,
                Subject::Key(Arc::clone(&key), key.id.clone()),
                move |permit| async move {
                    permit.note(|facts| {
                        facts.version = Some(version.number);
                        facts.backend = Some(version.backend.clone());
                    });
                    Ok(keyring.withdraw(&permit, &key, &version, tag).await)
                },
            )
            .await
    }

    async fn sweep_job(&self, job: Arc<ImportJob>, tag: KeyTag) -> Result<Withdrawn, Error> {
        let keyring = self.clone();
        self.gate
            .admit(&self.own_call(), Action::Sweep, Subject::Gateway, move |permit| async move {
                permit.note(|facts| {
                    facts.import_job = Some(job.id.clone());
                    facts.backend = Some(job.backend.clone());
                });
                Ok(keyring.withdraw_job(&permit, &job, tag).await)
            })
            .await
    }

    /// Every key of this gateway on any device that the catalog does not hold.
    async fn orphans(&self) -> Result<Vec<(BackendName, KeyTag)>, Error> {
        let keyring = self.clone();
        self.gate
            .admit(&self.own_call(), Action::FindOrphans, Subject::Gateway, move |permit| async move {
                let mut orphans = Vec::new();
                let names: Vec<_> = permit.backends().map(|info| info.name().clone()).collect();
                for name in names {
                    orphans.extend(keyring.orphans_of(&permit, name).await?);
                }
                Ok(orphans)
            })
            .await
    }

    async fn orphans_of(
        &self,
        permit: &Permit,
        name: BackendName,
    ) -> Result<Vec<(BackendName, KeyTag)>, Error> {
        let Some(device) = permit.device(&name) else { return Ok(Vec::new()) };
        let ctx = permit.patient_context(self.limits.operation_timeout);
        let found = match device.find(Selector::Own, &ctx).await {
            Ok(found) => found,
            Err(error) => {
                warn!(backend = %name, %error, "not swept: the backend cannot be searched");
                return Ok(Vec::new());
            }
        };
        // Read after the search: a key whose intent was written later is not in
        // `found`, and one that was made before it is in the catalog by now.
        let (held, withdrawn) = (self.catalog.tags(), self.catalog.withdrawn().await?);
        let mut orphans = Vec::new();
        for tag in found.into_iter().map(|key| key.tag).filter(|tag| !held.contains(tag)) {
            if withdrawn.contains(&tag) {
                orphans.push((name.clone(), tag));
            } else {
                warn!(backend = %name, %tag, "left alone: a key of this gateway that the catalog does not know");
            }
        }
        Ok(orphans)
    }

    async fn remove_orphan(&self, backend: BackendName, tag: KeyTag) -> Result<bool, Error> {
        let limit = self.limits.operation_timeout;
        self.gate
            .admit(&self.own_call(), Action::Sweep, Subject::Gateway, move |permit| async move {
                permit.note(|facts| facts.backend = Some(backend.clone()));
                let Some(device) = permit.device(&backend) else { return Ok(false) };
                warn!(%backend, %tag, "removing what was left of a withdrawn key");
                let removed = device.destroy(tag, &permit.patient_context(limit)).await;
                if let Err(error) = &removed {
                    warn!(%backend, %tag, %error, "cannot remove it now");
                }
                Ok(removed.is_ok())
            })
            .await
    }

    /// A call of the gateway to itself.
    pub(super) fn own_call(&self) -> Call {
        Call {
            caller: Caller::gateway(),
            peer: "".into(),
            certificate: None,
            request_id: uuid::Uuid::new_v4().to_string().into(),
            // Longer than any device call that it makes.
            deadline: Instant::now() + self.limits.generate_timeout + self.limits.operation_timeout,
            priority: skms_backend::Priority::Low,
            item: None,
            standing: Default::default(),
            taken: Default::default(),
        }
    }
}
