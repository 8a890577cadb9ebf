//! Material that was on a device before the gateway, and that one version at most may be.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction, params};
use skms_backend::{GeneratedKey, KeyTag};

use super::Error;
use crate::model::{Key, Origin, Version};

/// Whether material that a version is to take over is no other version's: of two calls for
/// it, one comes first.
pub(super) fn is_nobodys(
    transaction: &Transaction<'_>,
    key: &Key,
    tag: KeyTag,
    made: &GeneratedKey,
) -> Result<(), Error> {
    let is_it = |version: &&Arc<Version>| version.key.as_ref().is_some_and(|key| key.tag == tag);
    let Some(version) = key.versions.iter().find(is_it) else { return Ok(()) };
    if version.origin != Origin::Discovered {
        return Ok(());
    }
    let held: Option<String> = transaction
        .query_row(
            "SELECT key_id FROM versions WHERE backend = ?1 AND tag <> ?2
                AND (public_key = ?3 OR check_value = ?4)",
            params![
                version.backend.as_str(),
                tag.as_bytes(),
                made.pin.public_key().map(|key| key.spki_der().as_ref()),
                made.pin.check_value().map(|value| value.0),
            ],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = held else { return Ok(()) };
    Err(Error::Held(id.try_into().map_err(|_| Error::Unreadable { what: "key id" })?))
}
