//! Keys and versions as rows of tables.

use std::{
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Row, Transaction, named_params};
use serde::{Serialize, de::DeserializeOwned};
use skms_backend::{CheckValue, KeyRef, KeyTag, KeyType, Pin, ProtectionLevel, PublicKey};
use uuid::Uuid;

use super::Error;
use crate::model::{BackendName, Key, KeyId, Origin, Purpose, State, Version};

/// Milliseconds since 1970. A time before that, or after the year 292 million,
/// is no time that anything here can have.
pub(super) fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn text<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|_| Error::Unreadable { what: "key" })
}

fn parsed<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| Error::Unreadable { what })
}

/// Reads the name of something that serialises as a plain JSON string.
pub(super) fn named<T: DeserializeOwned>(name: String, what: &'static str) -> Result<T, Error> {
    serde_json::from_value(serde_json::Value::String(name)).map_err(|_| Error::Unreadable { what })
}

fn name<T: Serialize>(value: &T) -> Result<String, Error> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(Error::Unreadable { what: "name" }),
    }
}

fn number(value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Unreadable { what: "version number" })
}

pub(super) fn insert_key(transaction: &Transaction<'_>, key: &Key) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO keys (id, uid, key_type, purpose, signature_algorithms, encryption_algorithms,
            protection_floor, backend, labels, description, owner, not_before, expires, destroy_after,
            primary_version, min_protect, min_process, revision, created, updated, tenant,
            rotation_period, next_rotation, import_only, max_operations)
         VALUES (:id, :uid, :key_type, :purpose, :signature_algorithms, :encryption_algorithms,
            :protection_floor, :backend, :labels, :description, :owner, :not_before, :expires, :destroy_after,
            :primary, :min_protect, :min_process, :revision, :created, :updated, :tenant,
            :rotation_period, :next_rotation, :import_only, :max_operations)",
        named_params! {
            ":id": key.id.as_str(),
            ":uid": key.uid.as_bytes(),
            ":encryption_algorithms": text(&key.encryption_algorithms)?,
            ":key_type": key.key_type.name(),
            ":purpose": key.purpose.name(),
            ":signature_algorithms": text(&key.signature_algorithms)?,
            ":protection_floor": key.protection_floor.map(ProtectionLevel::name),
            ":backend": key.backend.as_str(),
            ":labels": text(&key.labels)?,
            ":description": key.description,
            ":owner": key.owner,
            ":not_before": key.not_before.map(millis),
            ":expires": key.expires.map(millis),
            ":destroy_after": span(key.destroy_after),
            ":primary": key.primary,
            ":min_protect": key.min_protect,
            ":min_process": key.min_process,
            ":revision": signed(key.revision),
            ":created": millis(key.created),
            ":updated": millis(key.updated),
            ":tenant": key.tenant,
            ":rotation_period": key.rotation_period.map(span),
            ":next_rotation": key.next_rotation.map(millis),
            ":import_only": key.import_only,
            ":max_operations": key.max_operations.map(|most| signed(most.get())),
        },
    )?;
    for alias in &key.aliases {
        transaction.execute("INSERT INTO aliases VALUES (?1, ?2)", [alias.as_str(), key.id.as_str()])?;
    }
    for version in &key.versions {
        insert_version(transaction, &key.id, version)?;
    }
    Ok(())
}

/// All of a key that can change, but its aliases and versions.
pub(super) fn update_key(transaction: &Transaction<'_>, key: &Key, revision: u64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE keys SET labels = :labels, description = :description, not_before = :not_before,
            expires = :expires, rotation_period = :rotation_period, next_rotation = :next_rotation,
            primary_version = :primary, min_protect = :min_protect, min_process = :min_process,
            revision = :revision, updated = :updated WHERE id = :id",
        named_params! {
            ":id": key.id.as_str(),
            ":labels": text(&key.labels)?,
            ":description": key.description,
            ":not_before": key.not_before.map(millis),
            ":expires": key.expires.map(millis),
            ":rotation_period": key.rotation_period.map(span),
            ":next_rotation": key.next_rotation.map(millis),
            ":primary": key.primary,
            ":min_protect": key.min_protect,
            ":min_process": key.min_process,
            ":revision": signed(revision),
            ":updated": millis(SystemTime::now()),
        },
    )?;
    Ok(())
}

/// The state of a version and what belongs to it. Without a key, what was kept of its
/// material is wiped.
pub(super) fn update_version(
    transaction: &Transaction<'_>,
    id: &KeyId,
    version: &Version,
) -> Result<(), Error> {
    transaction.execute(
        "UPDATE versions SET state = :state, tag = :tag, blob = :blob, compromised = :compromised,
            destroys = :destroys, destroyed = :destroyed WHERE key_id = :key_id AND number = :number",
        named_params! {
            ":key_id": id.as_str(),
            ":number": version.number,
            ":state": version.state.name(),
            ":tag": version.key.as_ref().map(|key| key.tag.as_bytes()),
            ":blob": version.key.as_ref().map(|key| key.blob.as_ref()),
            ":compromised": version.compromised.map(millis),
            ":destroys": version.destroys.map(millis),
            ":destroyed": version.destroyed.map(millis),
        },
    )?;
    Ok(())
}

/// SQLite has no unsigned numbers; what is counted stays far below the sign.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn insert_version(
    transaction: &Transaction<'_>,
    id: &KeyId,
    version: &Version,
) -> Result<(), Error> {
    let Some(key) = &version.key else {
        return Err(Error::Unreadable { what: "version without a tag" });
    };
    transaction.execute(
        "INSERT INTO versions (key_id, number, state, backend, protection_level, origin, tag, blob,
            public_key, check_value, created, generated)
         VALUES (:key_id, :number, :state, :backend, :protection_level, :origin, :tag, :blob,
            :public_key, :check_value, :created, :generated)",
        named_params! {
            ":key_id": id.as_str(),
            ":number": version.number,
            ":state": version.state.name(),
            ":backend": version.backend.as_str(),
            ":protection_level": version.protection_level.name(),
            ":origin": name(&version.origin)?,
            ":tag": key.tag.as_bytes(),
            ":blob": key.blob.as_ref(),
            ":public_key": version.public_key.as_ref().map(|key| key.spki_der().as_ref()),
            ":check_value": version.check_value.map(|value| value.0),
            ":created": millis(version.created),
            ":generated": version.generated.map(millis),
        },
    )?;
    Ok(())
}

/// A row of `keys`, without aliases and versions.
pub(super) fn key(row: &Row<'_>) -> Result<Key, Error> {
    let id: String = row.get("id")?;
    let key_type: String = row.get("key_type")?;
    let signatures: String = row.get("signature_algorithms")?;
    let encryption: String = row.get("encryption_algorithms")?;
    let uid: Vec<u8> = row.get("uid")?;
    let labels: String = row.get("labels")?;
    let floor: Option<String> = row.get("protection_floor")?;
    let destroy_after: i64 = row.get("destroy_after")?;
    let revision: i64 = row.get("revision")?;
    Ok(Key {
        id: id.try_into().map_err(|_| Error::Unreadable { what: "key id" })?,
        uid: Uuid::from_slice(&uid).map_err(|_| Error::Unreadable { what: "key number" })?,
        key_type: key_type.parse().map_err(|_| Error::Unreadable { what: "key type" })?,
        purpose: named::<Purpose>(row.get("purpose")?, "purpose")?,
        signature_algorithms: parsed(&signatures, "list of algorithms")?,
        encryption_algorithms: parsed(&encryption, "list of algorithms")?,
        protection_floor: floor.map(|floor| named(floor, "protection level")).transpose()?,
        backend: named::<BackendName>(row.get("backend")?, "backend name")?,
        labels: parsed(&labels, "set of labels")?,
        aliases: Vec::new(),
        description: row.get("description")?,
        import_only: row.get("import_only")?,
        owner: row.get("owner")?,
        tenant: row.get("tenant")?,
        not_before: row.get::<_, Option<i64>>("not_before")?.map(time),
        expires: row.get::<_, Option<i64>>("expires")?.map(time),
        max_operations: row
            .get::<_, Option<i64>>("max_operations")?
            .and_then(|most| NonZeroU64::new(most.unsigned_abs())),
        expiry_warned: row.get::<_, Option<i64>>("expiry_warned")?.map(time),
        destroy_after: Duration::from_millis(u64::try_from(destroy_after).unwrap_or_default()),
        rotation_period: row
            .get::<_, Option<i64>>("rotation_period")?
            .map(|period| Duration::from_millis(u64::try_from(period).unwrap_or_default())),
        next_rotation: row.get::<_, Option<i64>>("next_rotation")?.map(time),
        primary: number(row.get("primary_version")?)?,
        min_protect: number(row.get("min_protect")?)?,
        min_process: number(row.get("min_process")?)?,
        revision: u64::try_from(revision).unwrap_or_default(),
        created: time(row.get("created")?),
        updated: time(row.get("updated")?),
        versions: Vec::new(),
    })
}

/// A row of `versions`, of a key of this type.
pub(super) fn version(key_type: KeyType, row: &Row<'_>) -> Result<Arc<Version>, Error> {
    let state: String = row.get("state")?;
    let tag: Option<Vec<u8>> = row.get("tag")?;
    let blob: Option<Vec<u8>> = row.get("blob")?;
    let public_key: Option<Vec<u8>> = row.get("public_key")?;
    let public_key = public_key.map(|der| PublicKey::from_stored(key_type, der.into()));
    let check_value: Option<[u8; CheckValue::BYTES]> = row.get("check_value")?;
    let check_value = check_value.map(CheckValue);
    let pin = public_key.clone().map(Pin::Public).or(check_value.map(Pin::Secret));
    let key = match tag {
        Some(tag) => Some(KeyRef {
            tag: KeyTag::from_slice(&tag).ok_or(Error::Unreadable { what: "tag" })?,
            key_type,
            blob: blob.unwrap_or_default().into(),
            pin,
        }),
        None => None,
    };
    Ok(Arc::new(Version {
        number: number(row.get("number")?)?,
        state: State::from_name(&state).ok_or(Error::Unreadable { what: "state" })?,
        backend: named::<BackendName>(row.get("backend")?, "backend name")?,
        protection_level: named(row.get("protection_level")?, "protection level")?,
        origin: named::<Origin>(row.get("origin")?, "origin")?,
        key,
        public_key,
        check_value,
        operations: row.get::<_, i64>("operations")?.unsigned_abs(),
        created: time(row.get("created")?),
        generated: row.get::<_, Option<i64>>("generated")?.map(time),
        compromised: row.get::<_, Option<i64>>("compromised")?.map(time),
        destroys: row.get::<_, Option<i64>>("destroys")?.map(time),
        destroyed: row.get::<_, Option<i64>>("destroyed")?.map(time),
    }))
}
