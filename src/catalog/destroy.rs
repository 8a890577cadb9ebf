//! The two transactions around the destruction of material: its tag is given up before
//! a device hears of it, and what was kept of it is wiped after the device has let go.
//!
//! A crash between the two leaves a version that is still to be destroyed, and that
//! nothing can bring back; destroying it once more comes to the same.

use std::{sync::Arc, time::SystemTime};

use skms_backend::KeyTag;
use tracing::warn;

use super::{
    Error, amend,
    store::{self, Store, Written},
};
use crate::model::{Key, KeyId, State, Verb};

impl Store {
    pub(super) fn begin_destroy(
        &mut self,
        id: &KeyId,
        number: u32,
        now: SystemTime,
    ) -> Result<Written<Option<KeyTag>>, Error> {
        let transaction = self.begin()?;
        let key = store::load_one(&transaction, id)?.ok_or(Error::KeyMissing)?;
        let due = key.version(number).filter(|version| {
            version.state == State::DestroyScheduled && version.destroys.is_some_and(|time| time <= now)
        });
        let tag = due.and_then(|version| Some(version.key.as_ref()?.tag));
        if let (Some(version), Some(_)) = (due, tag) {
            amend::give_up(&transaction, version)?;
            transaction.commit()?;
        }
        Ok(Written { value: tag, changes: Vec::new() })
    }

    pub(super) fn destroyed(
        &mut self,
        id: &KeyId,
        number: u32,
        now: SystemTime,
    ) -> Result<Written<Arc<Key>>, Error> {
        let transaction = self.begin()?;
        let key = store::load_one(&transaction, id)?.ok_or(Error::KeyMissing)?;
        let after = key.after(Verb::Destroy, &[number], now)?;
        let revision = store::next_revision(&transaction)?;
        amend::put(&transaction, &key, &after, revision)?;
        store::note(&transaction, revision, id, number, "destroyed")?;
        let written = store::commit(transaction, id, Arc::clone)?;
        // The write-ahead log still has the pages as they were.
        let truncated = self.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = truncated {
            warn!(key = %id, version = number, %error, "what was kept of a destroyed version is in the log of the catalog until that is next cut");
        }
        Ok(written)
    }
}
