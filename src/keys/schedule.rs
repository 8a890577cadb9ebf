//! What the gateway does by itself when its time has come: it destroys versions, rotates
//! keys, and tells those who follow that a key expires.
//!
//! It waits for the earliest time there is, and looks again when that changes. What
//! fails is tried again, later each time; the schedule itself is in the catalog, so a
//! crash loses none of it.
//!
//! **Invariant:** a device lets go of material before the catalog does, and after the
//! catalog has given its tag up: a destruction that is cut short can only be repeated,
//! and never be called off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use super::{Error, Keyring, Rotate};
use crate::{
    catalog::{Due, Task},
    failpoint,
    gate::Subject,
    model::{Action, BackendName, Key, Origin},
    telemetry::{Ended, Scheduled, chain, metrics},
};

/// The first wait after a failure; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait: as often as the sweep looks for what was left.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// The longest sleep: the clock of the machine may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Keyring {
    /// Does what is due, when it is due, for ever.
    pub async fn keep_schedule(&self) {
        let mut changes = self.catalog.due_changes();
        let mut late = Late::default();
        loop {
            changes.borrow_and_update();
            let sleep = self.round(SystemTime::now(), &mut late).await;
            tokio::select! {
                () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
                _ = changes.changed() => {}
            }
        }
    }

    /// Does what is due by then, and tells how long there is nothing more to do. What
    /// becomes due meanwhile is left to the next round, which is at once.
    pub(super) async fn round(&self, by: SystemTime, late: &mut Late) -> Duration {
        self.do_what_is_due(by, late).await;
        let next = late.next().into_iter().chain(self.catalog.next_due(by)).min();
        next.map_or(LONGEST_SLEEP, |next| next.duration_since(SystemTime::now()).unwrap_or_default())
    }

    async fn do_what_is_due(&self, by: SystemTime, late: &mut Late) {
        let due = self.catalog.due(by);
        late.keep(&due);
        // One that does not answer is not asked for each of its keys.
        let mut away = BTreeSet::new();
        for due in due {
            let Some(key) = self.catalog.lookup(&due.key) else { continue };
            let Some(backend) = backend_of(&key, due.task) else { continue };
            if late.waits(&due) {
                continue;
            }
            if due.task != Task::WarnOfExpiry && away.contains(&backend) {
                late.failed(&due);
                continue;
            }
            let (task, done) = match due.task {
                Task::Destroy(version) => (Scheduled::Destruction, self.destroy(key, version).await),
                Task::Rotate => (Scheduled::Rotation, self.rotate_as_scheduled(&due).await),
                Task::WarnOfExpiry => (Scheduled::ExpiryWarning, self.warn_of_expiry(&key).await),
            };
            // What is done is due no more, and forgotten in the next round.
            late.failed(&due);
            match done {
                Ok(()) => metrics().scheduled(task, Ended::Done),
                Err(error) => {
                    metrics().scheduled(task, Ended::Failed);
                    warn!(key = %due.key, task = ?due.task, error = chain(&error), "not done now; tried again later");
                    if matches!(error, Error::Backend { .. } | Error::BackendGone { .. }) {
                        away.insert(backend);
                    }
                }
            }
        }
    }

    /// Removes the material of a version from its device, and then what the catalog
    /// keeps of it.
    async fn destroy(&self, key: Arc<Key>, number: u32) -> Result<(), Error> {
        let (catalog, limit) = (Arc::clone(&self.catalog), self.limits.operation_timeout);
        let subject = Subject::Key(Arc::clone(&key), key.id.clone());
        self.gate
            .admit(&self.own_call(), Action::DestroyKey, subject, move |permit| async move {
                let Some(version) = key.version(number) else { return Ok(()) };
                let backend = version.backend.clone();
                permit.note(|facts| {
                    facts.version = Some(number);
                    facts.backend = Some(backend.clone());
                    facts.scheduled = true;
                });
                let Some(device) = permit.device(&backend) else {
                    return Err(Error::BackendGone { backend });
                };
                // It may have been restored since it was listed.
                let Some(tag) = catalog.begin_destroy(key.id.clone(), number, SystemTime::now()).await?
                else {
                    return Ok(());
                };
                failpoint::reached("destroy-key.given-up");
                let ctx = permit.patient_context(limit);
                let failed = |source| Error::Backend { backend: backend.clone(), source };
                if let (Origin::Discovered, Some(adoption), Some(key_ref)) =
                    (version.origin, device.adoption(), &version.key)
                {
                    let release = adoption.release(key_ref, &ctx).await.map_err(failed)?;
                    permit.note(|facts| facts.adopted = Some(release.name()));
                }
                device.destroy(tag, &ctx).await.map_err(failed)?;
                failpoint::reached("destroy-key.material-gone");
                catalog.destroyed(key.id.clone(), number, SystemTime::now()).await?;
                failpoint::reached("destroy-key.wiped");
                info!(key = %key.id, version = number, "version destroyed");
                Ok(())
            })
            .await
    }

    async fn warn_of_expiry(&self, key: &Key) -> Result<(), Error> {
        let Some(expires) = key.expires else { return Ok(()) };
        self.catalog.warned_of_expiry(key.id.clone(), expires).await?;
        info!(key = %key.id, expires = %humantime::format_rfc3339_seconds(expires), "the key expires");
        Ok(())
    }

    async fn rotate_as_scheduled(&self, due: &Due) -> Result<(), Error> {
        let request = Rotate {
            key: due.key.clone(),
            etag: None,
            expected_primary: 0,
            repeatable: None,
            stage_only: false,
            due: Some(due.time),
        };
        let shown = self.rotate(&self.own_call(), request).await?;
        info!(key = %due.key, version = shown.key.primary, "key rotated as scheduled");
        Ok(())
    }
}

/// Who is needed for it; `None` where there is nothing to be done any more.
fn backend_of(key: &Key, task: Task) -> Option<BackendName> {
    match task {
        Task::Destroy(version) => key.version(version).map(|version| version.backend.clone()),
        Task::Rotate | Task::WarnOfExpiry => Some(key.backend.clone()),
    }
}

/// What was tried, and when it is tried again.
#[derive(Default)]
pub(super) struct Late(BTreeMap<Due, (u32, SystemTime)>);

impl Late {
    /// Forgets what is not due any more.
    fn keep(&mut self, due: &[Due]) {
        let due: BTreeSet<_> = due.iter().collect();
        self.0.retain(|late, _| due.contains(late));
    }

    fn waits(&self, due: &Due) -> bool {
        self.0.get(due).is_some_and(|(_, again)| *again > SystemTime::now())
    }

    fn failed(&mut self, due: &Due) {
        let failures = self.0.get(due).map_or(0, |(failures, _)| *failures);
        let wait = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
        self.0.insert(due.clone(), (failures + 1, SystemTime::now() + wait));
    }

    fn next(&self) -> Option<SystemTime> {
        self.0.values().map(|(_, again)| *again).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(key: &str) -> Due {
        Due { time: SystemTime::UNIX_EPOCH, key: key.parse().unwrap(), task: Task::Rotate }
    }

    #[test]
    fn what_fails_waits_longer_each_time_and_not_for_ever() {
        let mut late = Late::default();
        let mut before = Duration::ZERO;
        for _ in 0..40 {
            late.failed(&due("a"));
            let wait = late.next().unwrap().duration_since(SystemTime::now()).unwrap_or_default();
            assert!(wait + Duration::from_millis(500) >= before && wait <= LONGEST_WAIT, "{wait:?}");
            before = wait;
        }
        assert!(late.waits(&due("a")) && !late.waits(&due("b")));
    }

    #[test]
    fn what_was_done_starts_anew() {
        let mut late = Late::default();
        late.failed(&due("a"));
        late.failed(&due("b"));
        late.keep(&[due("b")]);
        assert!(!late.waits(&due("a")) && late.waits(&due("b")));
    }
}
