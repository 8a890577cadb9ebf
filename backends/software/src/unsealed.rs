//! The keys that were used last, unsealed and ready.
//!
//! **Invariant:** a key is found only with the very blob that it was unsealed
//! from; the tag alone opens nothing.
//!
//! **Invariant:** after [`UnsealedKeys::forget`] no key of that tag stays behind,
//! not even one that another thread was unsealing meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use quick_cache::sync::Cache;
use skms_backend::{Class, Error, KeyRef, KeyTag, KeyType, Operation};

use crate::{
    keys::PrivateKey,
    seal::{SealError, Sealer},
};

/// How many keys stay unsealed. One takes some 10 KiB at most (RSA-4096), so all
/// take 10 MiB; a key that is not here costs a fraction of a millisecond more.
const CAPACITY: usize = 1024;

pub(crate) struct UnsealedKeys {
    keys: Cache<KeyTag, Arc<Unsealed>>,
    /// Counts the calls of [`Self::forget`].
    forgotten: AtomicU64,
}

/// A private key beside what it was unsealed from.
pub(crate) struct Unsealed {
    key_type: KeyType,
    blob: Bytes,
    pub(crate) key: PrivateKey,
}

impl UnsealedKeys {
    pub(crate) fn new() -> Self {
        Self { keys: Cache::new(CAPACITY), forgotten: AtomicU64::new(0) }
    }

    /// The private key of `key`, unsealed if it is not yet.
    pub(crate) fn get(&self, sealer: &Sealer, key: &KeyRef) -> Result<Arc<Unsealed>, Error> {
        if let Some(known) = self.keys.get(&key.tag)
            && known.key_type == key.key_type
            && known.blob == key.blob
        {
            return Ok(known);
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let private = open(sealer, key, Operation::Sign)?;
        let unsealed = Arc::new(Unsealed { key_type: key.key_type, blob: key.blob.clone(), key: private });
        self.keys.insert(key.tag, Arc::clone(&unsealed));
        if self.forgotten.load(Ordering::SeqCst) != forgotten {
            // Perhaps this very key; it is not worth finding out.
            self.keys.remove(&key.tag);
        }
        Ok(unsealed)
    }

    /// Drops the key of a tag.
    pub(crate) fn forget(&self, tag: KeyTag) {
        // First counted, then removed: see `get`.
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.keys.remove(&tag);
    }
}

/// Unseals the key of a blob.
pub(crate) fn open(sealer: &Sealer, key: &KeyRef, operation: Operation) -> Result<PrivateKey, Error> {
    let pkcs8 = sealer.unseal(key.tag, key.key_type, &key.blob).map_err(|error| match error {
        SealError::Library => Error::new(Class::Broken, operation).detail(error.to_string()),
        SealError::Malformed | SealError::Version(_) | SealError::OtherMasterKey | SealError::Forged => {
            Error::new(Class::Key, operation).detail(error.to_string())
        }
    })?;
    PrivateKey::from_pkcs8(key.key_type, &pkcs8)
        .map_err(|error| Error::new(Class::Key, operation).detail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal;

    fn sealed(sealer: &Sealer) -> KeyRef {
        let tag = KeyTag::random().unwrap();
        let key_type = KeyType::EcP256;
        let pkcs8 = PrivateKey::generate(key_type).unwrap().to_pkcs8().unwrap();
        KeyRef { tag, key_type, blob: sealer.seal(tag, key_type, &pkcs8).unwrap() }
    }

    #[test]
    fn a_cached_key_is_not_found_with_another_blob_or_type() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let (one, other) = (sealed(&sealer), sealed(&sealer));
        keys.get(&sealer, &one).unwrap();

        for wrong in [
            KeyRef { blob: other.blob, ..one.clone() },
            KeyRef { blob: Bytes::new(), ..one.clone() },
            KeyRef { key_type: KeyType::EcP384, ..one.clone() },
        ] {
            assert_eq!(keys.get(&sealer, &wrong).err().unwrap().class(), Class::Key);
        }
        keys.get(&sealer, &one).unwrap();
    }

    #[test]
    fn a_key_is_unsealed_once_until_it_is_forgotten() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let key = sealed(&sealer);
        let first = keys.get(&sealer, &key).unwrap();
        assert!(Arc::ptr_eq(&first, &keys.get(&sealer, &key).unwrap()));
        keys.forget(key.tag);
        assert!(keys.keys.get(&key.tag).is_none());
        assert!(!Arc::ptr_eq(&first, &keys.get(&sealer, &key).unwrap()));
    }

    #[test]
    fn the_cache_is_bounded() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let one = sealed(&sealer);
        let unsealed = keys.get(&sealer, &one).unwrap();
        for _ in 0..4 * CAPACITY {
            keys.keys.insert(KeyTag::random().unwrap(), Arc::clone(&unsealed));
        }
        assert!(keys.keys.len() <= CAPACITY);
    }
}
