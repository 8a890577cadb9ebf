//! The keys that were used last, unsealed and ready.
//!
//! **Invariant:** a key is found only with the very blob that it was unsealed
//! from, and only if it was held against the pin that is asked for; the tag alone opens
//! nothing.
//!
//! **Invariant:** after [`UnsealedKeys::forget`] no key of that tag stays behind,
//! not even one that another thread was unsealing meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use quick_cache::sync::Cache;
use skms_backend::{Class, Error, KeyRef, KeyTag, KeyType, Operation, Pin, SaltedKey};

use crate::{
    keys::{Duty, Material},
    seal::{Bound, SealError, Sealer},
};

/// How many keys stay unsealed. One takes some 10 KiB at most (RSA-4096), so all
/// take 10 MiB; a key that is not here costs a fraction of a millisecond more.
const CAPACITY: usize = 1024;

pub(crate) struct UnsealedKeys {
    keys: Cache<KeyTag, Arc<Unsealed>>,
    /// Counts the calls of [`Self::forget`].
    forgotten: AtomicU64,
}

/// A key beside what it was unsealed from.
pub(crate) struct Unsealed {
    key_type: KeyType,
    duty: Duty,
    blob: Bytes,
    pin: Option<Pin>,
    pub(crate) key: Material,
}

impl UnsealedKeys {
    pub(crate) fn new() -> Self {
        Self { keys: Cache::new(CAPACITY), forgotten: AtomicU64::new(0) }
    }

    /// What `key` stands for, unsealed if it is not yet, for this duty.
    pub(crate) fn get(&self, sealer: &Sealer, key: &KeyRef, duty: Duty) -> Result<Arc<Unsealed>, Error> {
        if let Some(known) = self.keys.get(&key.tag)
            && known.key_type == key.key_type
            && known.duty == duty
            && known.blob == key.blob
            && (key.pin.is_none() || known.pin == key.pin)
        {
            return Ok(known);
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let material = open(sealer, key, duty, duty.operation())?;
        let (key_type, blob, pin) = (key.key_type, key.blob.clone(), key.pin.clone());
        let unsealed = Arc::new(Unsealed { key_type, duty, blob, pin, key: material });
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

/// Unseals the key of a blob, and holds it against its pin.
pub(crate) fn open(
    sealer: &Sealer,
    key: &KeyRef,
    duty: Duty,
    operation: Operation,
) -> Result<Material, Error> {
    let bound = Bound { tag: key.tag, key_type: key.key_type, duty };
    let encoded = sealer.unseal(bound, &key.blob).map_err(|error| match error {
        SealError::Library => Error::new(Class::Broken, operation).detail(error.to_string()),
        SealError::Malformed | SealError::Version(_) | SealError::OtherMasterKey | SealError::Forged => {
            Error::new(Class::Key, operation).detail(error.to_string())
        }
    })?;
    let unfit = |why: String| Error::new(Class::Key, operation).detail(why);
    let material = Material::read(key.key_type, duty, &encoded).map_err(|error| unfit(error.to_string()))?;
    match &key.pin {
        Some(pin) if pin_of(&material, key.key_type).as_ref() != Some(pin) => {
            Err(unfit("it is another key than the one that was made".to_owned()))
        }
        _ => Ok(material),
    }
}

/// What a key is told by; `None` only where the library fails.
pub(crate) fn pin_of(material: &Material, key_type: KeyType) -> Option<Pin> {
    match material {
        Material::Secret(bytes) => SaltedKey::new(bytes).check_value(key_type).map(Pin::Secret),
        material => material.public_key(key_type).ok().flatten().map(Pin::Public),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys, seal};

    fn sealed(sealer: &Sealer) -> KeyRef {
        let tag = KeyTag::random().unwrap();
        let key_type = KeyType::EcP256;
        let encoded = keys::generate(key_type).unwrap();
        let bound = Bound { tag, key_type, duty: Duty::Sign };
        KeyRef { tag, key_type, blob: sealer.seal(bound, &encoded).unwrap(), pin: None }
    }

    #[test]
    fn a_cached_key_is_not_found_with_another_blob_or_type() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let (one, other) = (sealed(&sealer), sealed(&sealer));
        keys.get(&sealer, &one, Duty::Sign).unwrap();

        for wrong in [
            KeyRef { blob: other.blob, ..one.clone() },
            KeyRef { blob: Bytes::new(), ..one.clone() },
            KeyRef { key_type: KeyType::EcP384, ..one.clone() },
        ] {
            assert_eq!(keys.get(&sealer, &wrong, Duty::Sign).err().unwrap().class(), Class::Key);
        }
        keys.get(&sealer, &one, Duty::Sign).unwrap();
    }

    #[test]
    fn a_key_that_is_not_the_pinned_one_is_not_used() {
        let sealer = seal::tests::sealer(1);
        let (one, other) = (sealed(&sealer), sealed(&sealer));
        let pin =
            |key: &KeyRef| pin_of(&open(&sealer, key, Duty::Sign, Operation::Sign).unwrap(), key.key_type);
        let keys = UnsealedKeys::new();
        let swapped = KeyRef { pin: pin(&other), ..one.clone() };
        assert_eq!(keys.get(&sealer, &swapped, Duty::Sign).err().unwrap().class(), Class::Key);
        keys.get(&sealer, &KeyRef { pin: pin(&one), ..one.clone() }, Duty::Sign).unwrap();
        // Nor is it once it is known.
        assert_eq!(keys.get(&sealer, &swapped, Duty::Sign).err().unwrap().class(), Class::Key);
        keys.get(&sealer, &one, Duty::Sign).unwrap();
        assert_eq!(keys.get(&sealer, &swapped, Duty::Sign).err().unwrap().class(), Class::Key);
    }

    #[test]
    fn a_key_opens_for_its_duty_alone() {
        let sealer = seal::tests::sealer(1);
        let (keys, key) = (UnsealedKeys::new(), sealed(&sealer));
        keys.get(&sealer, &key, Duty::Sign).unwrap();
        assert_eq!(keys.get(&sealer, &key, Duty::Agree).err().unwrap().class(), Class::Key);
    }

    #[test]
    fn a_key_is_unsealed_once_until_it_is_forgotten() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let key = sealed(&sealer);
        let first = keys.get(&sealer, &key, Duty::Sign).unwrap();
        assert!(Arc::ptr_eq(&first, &keys.get(&sealer, &key, Duty::Sign).unwrap()));
        keys.forget(key.tag);
        assert!(keys.keys.get(&key.tag).is_none());
        assert!(!Arc::ptr_eq(&first, &keys.get(&sealer, &key, Duty::Sign).unwrap()));
    }

    #[test]
    fn the_cache_is_bounded() {
        let sealer = seal::tests::sealer(1);
        let keys = UnsealedKeys::new();
        let one = sealed(&sealer);
        let unsealed = keys.get(&sealer, &one, Duty::Sign).unwrap();
        for _ in 0..4 * CAPACITY {
            keys.keys.insert(KeyTag::random().unwrap(), Arc::clone(&unsealed));
        }
        assert!(keys.keys.len() <= CAPACITY);
    }
}
