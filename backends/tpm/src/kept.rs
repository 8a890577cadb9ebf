//! The keys that the TPM only keeps, unsealed and ready: those that were used last.
//!
//! **Invariant:** a key is found only with the very blob that it was unsealed from, and
//! only if it was held against the pin that is asked for.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::sync::Cache;
use skms_backend::{KeyRef, KeyTag, KeyType, Pin, Secret};

/// How many keys stay unsealed. One takes some 500 bytes with its blob; a key that is not
/// here costs three commands of the TPM.
const CAPACITY: usize = 1024;

pub(crate) struct KeptKeys(Cache<KeyTag, Arc<Unsealed>>);

struct Unsealed {
    key_type: KeyType,
    blob: Bytes,
    pin: Option<Pin>,
    bytes: Arc<Secret>,
}

impl KeptKeys {
    pub(crate) fn new() -> Self {
        Self(Cache::new(CAPACITY))
    }

    pub(crate) fn get(&self, key: &KeyRef) -> Option<Arc<Secret>> {
        let known = self.0.get(&key.tag)?;
        let same = known.key_type == key.key_type
            && known.blob == key.blob
            && (key.pin.is_none() || known.pin == key.pin);
        same.then(|| Arc::clone(&known.bytes))
    }

    pub(crate) fn insert(&self, key: &KeyRef, bytes: Secret) -> Arc<Secret> {
        let KeyRef { tag, key_type, blob, pin } = key.clone();
        let bytes = Arc::new(bytes);
        self.0.insert(tag, Arc::new(Unsealed { key_type, blob, pin, bytes: Arc::clone(&bytes) }));
        bytes
    }

    /// Drops the key of a tag. One thread uses the TPM, so no other is unsealing it.
    pub(crate) fn forget(&self, tag: KeyTag) {
        self.0.remove(&tag);
    }
}
