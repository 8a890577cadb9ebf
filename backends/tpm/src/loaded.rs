//! The keys that are in the TPM now.
//!
//! A bare TPM has three slots for objects. The storage key has one. A command that makes a
//! key needs one for itself while it runs, and then a loaded key makes room.
//!
//! **Invariant:** a key is found only with the very blob that it was loaded from, and with
//! the pin that it was held against.

use bytes::Bytes;
use skms_backend::{KeyRef, KeyTag, KeyType, Pin};
use tss_esapi::{Context, constants::PropertyTag, handles::ObjectHandle};

use crate::duty::Duty;

/// How many slots the specification demands at least (TPM 2.0 PC Client profile).
const FEWEST_SLOTS: usize = 3;
/// More keys than this do not make anything quicker.
const MOST: usize = 64;

/// Handles of keys, the one used last at the end.
pub(crate) struct Loaded {
    room: usize,
    keys: Vec<Entry>,
}

struct Entry {
    tag: KeyTag,
    key_type: KeyType,
    duty: Duty,
    blob: Bytes,
    pin: Option<Pin>,
    handle: ObjectHandle,
}

impl Loaded {
    /// Room for as many keys as the TPM has slots, but that of the storage key.
    pub(crate) fn new(context: &mut Context) -> tss_esapi::Result<Self> {
        let slots = context.get_tpm_property(PropertyTag::HrTransientMin)?;
        let slots = slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(FEWEST_SLOTS);
        Ok(Self { room: slots.saturating_sub(1).clamp(1, MOST), keys: Vec::new() })
    }

    /// The handle of a key, if it is loaded.
    pub(crate) fn get(&mut self, key: &KeyRef, duty: Duty) -> Option<ObjectHandle> {
        let at = self.keys.iter().position(|entry| {
            entry.tag == key.tag
                && entry.key_type == key.key_type
                && entry.duty == duty
                && entry.blob == key.blob
                && (key.pin.is_none() || entry.pin == key.pin)
        })?;
        let entry = self.keys.remove(at);
        let handle = entry.handle;
        self.keys.push(entry);
        Some(handle)
    }

    /// Remembers a key that was loaded.
    pub(crate) fn insert(&mut self, key: &KeyRef, duty: Duty, handle: ObjectHandle) {
        let KeyRef { tag, key_type, blob, pin } = key.clone();
        self.keys.push(Entry { tag, key_type, duty, blob, pin, handle });
    }

    /// What must be flushed before another key is loaded.
    pub(crate) fn excess(&mut self) -> Option<ObjectHandle> {
        if self.keys.len() >= self.room { self.oldest() } else { None }
    }

    /// The key that was not used for longest.
    pub(crate) fn oldest(&mut self) -> Option<ObjectHandle> {
        if self.keys.is_empty() { None } else { Some(self.keys.remove(0).handle) }
    }

    /// The keys of a tag, which are to be flushed.
    pub(crate) fn forget(&mut self, tag: KeyTag) -> Vec<ObjectHandle> {
        let (gone, kept) = std::mem::take(&mut self.keys).into_iter().partition(|entry| entry.tag == tag);
        self.keys = kept;
        let gone: Vec<Entry> = gone;
        gone.into_iter().map(|entry| entry.handle).collect()
    }
}
