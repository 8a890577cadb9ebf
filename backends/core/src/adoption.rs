//! Keys that were on the device before the gateway knew it.

use bytes::Bytes;

use crate::{Error, KeyType, OpContext, Pin, Usage};

/// The power to take over a key that already lives on the device.
///
/// Nothing on the device changes by it. A key that was taken over is used like any other;
/// its [`KeyRef::blob`](crate::KeyRef::blob), never empty, says where it is, and it is held
/// against its pin whenever it is found again. [`destroy`](crate::KeyBackend::destroy)
/// removes what was made under a tag, and so never such a key.
#[async_trait::async_trait]
pub trait KeyAdoption: Send + Sync {
    /// The one key that a PKCS#11 URI (RFC 7512) names, shown to do what it may do.
    ///
    /// # Errors
    /// [`Class::Caller`](crate::Class::Caller) when the URI names none, more than one, one
    /// of the gateway's own, or one that cannot be used; [`Error::why`] says so for the
    /// caller, and repeats no value of the URI.
    async fn adopt(&self, uri: &str, ctx: &OpContext) -> Result<Adopted, Error>;
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
