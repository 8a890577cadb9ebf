//! Keys that were on the device before the gateway knew it.

use bytes::Bytes;

use crate::{Error, KeyRef, KeyType, OpContext, Pin, Usage};

/// The power to take over a key that already lives on the device.
///
/// Nothing on the device changes by it. A key that was taken over is used like any other;
/// its [`KeyRef::blob`](crate::KeyRef::blob), never empty, says where it is, and it is held
/// against its pin whenever it is found again. [`destroy`](crate::KeyBackend::destroy)
/// removes what was made under a tag, and so never such a key; [`release`] does.
///
/// [`release`]: KeyAdoption::release
#[async_trait::async_trait]
pub trait KeyAdoption: Send + Sync {
    /// The one key that a PKCS#11 URI (RFC 7512) names, shown to do what it may do.
    ///
    /// # Errors
    /// [`Class::Caller`](crate::Class::Caller) when the URI names none, more than one, one
    /// of the gateway's own, or one that cannot be used; [`Error::why`] says so for the
    /// caller, and repeats no value of the URI.
    async fn adopt(&self, uri: &str, ctx: &OpContext) -> Result<Adopted, Error>;

    /// Lets go of a key that was taken over and is destroyed now: removes it from the
    /// device where the configuration says so, and leaves it there otherwise. What is not
    /// the pinned key is never removed; to remove what is gone succeeds.
    ///
    /// # Errors
    /// [`Class::Key`](crate::Class::Key) when another key is in its place, or the device
    /// does not let it be removed; whatever keeps the device from answering.
    async fn release(&self, key: &KeyRef, ctx: &OpContext) -> Result<Release, Error>;
}

/// What became of a key that was taken over when it was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It is on the device as before.
    Left,
    /// It is not there any more.
    Removed,
}

impl Release {
    /// The name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Removed => "removed",
        }
    }
}

/// A key that can be taken over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The material.
    pub key_type: KeyType,
    /// What it may do on this device, with every algorithm that it may do it with. Never
    /// empty.
    pub uses: Vec<Usage>,
    /// To be kept in [`KeyRef::pin`](crate::KeyRef::pin).
    pub pin: Pin,
    /// To be kept in [`KeyRef::blob`](crate::KeyRef::blob).
    pub blob: Bytes,
    /// How well the device has kept it.
    pub custody: Custody,
}

/// How well a device keeps a key and has kept it, in its own words; `None` where it does
/// not say (PKCS#11 2.40 §4.9, §4.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Custody {
    /// Whether it is never shown in the clear.
    pub sensitive: Option<bool>,
    /// Whether it can leave the device, wrapped.
    pub extractable: Option<bool>,
    /// Whether it was sensitive all its life.
    pub always_sensitive: Option<bool>,
    /// Whether it was never extractable.
    pub never_extractable: Option<bool>,
    /// Whether the device made it.
    pub local: Option<bool>,
    /// Whether its attributes can be changed.
    pub modifiable: Option<bool>,
}
