//! What a stranger brings as proof of who it is, and what it is told.

use skms::model::Reason;
use tonic::{
    codegen::http::{HeaderMap, HeaderName, HeaderValue},
    metadata::MetadataMap,
};

/// Proof that does not hold.
#[derive(Clone)]
pub(super) struct Credential {
    /// What is wrong with it.
    pub(super) name: String,
    /// Why it is refused.
    pub(super) reason: Reason,
    /// How it travels.
    pub(super) headers: MetadataMap,
}

impl Credential {
    /// Headers of these names and values, in this order.
    pub(super) fn of(name: impl Into<String>, reason: Reason, headers: &[(&'static str, &[u8])]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        Self { name: name.into(), reason, headers: MetadataMap::from_headers(map) }
    }
}

/// A token as it should travel.
pub(super) fn bearer(name: impl Into<String>, reason: Reason, token: impl AsRef<[u8]>) -> Credential {
    Credential::of(name, reason, &[("authorization", &[b"Bearer ", token.as_ref()].concat())])
}
