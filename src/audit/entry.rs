//! What the log says of itself: that a file was begun, that records were lost, that
//! everything so far is signed.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::chain::{Hash, Link};
use crate::model::Anchor;

/// The time now, as records have it.
#[must_use]
pub fn now() -> String {
    time(SystemTime::now())
}

/// A time, as records have it: RFC 3339 in UTC, with microseconds.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// A file is begun, or gone on with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) time: String,
    pub(super) why: Why,
    /// The version of the gateway.
    pub(super) version: String,
    /// The hash that the chain has before this line.
    pub(super) prev: String,
    pub(super) chain: Chain,
    /// Where the chain had come to by what is known outside of the log; only where
    /// the log says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) anchor: Option<Place>,
    /// What stands right before this line in its file, and is not of the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) foreign: Option<Foreign>,
}

/// Why a file is begun, or gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Why {
    /// The gateway was started.
    Start,
    /// The file before it was long enough, or somebody moved it away.
    Rotated,
    /// The file before it could not be made safe on its disk: a power cut may have lost
    /// some of it.
    Unsafe,
}

/// How the chain goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Chain {
    /// It begins here.
    New,
    /// Where it had come to.
    Continued,
    /// Not where an anchor says that it had come to: what is there was cut off,
    /// replaced or taken away.
    AnchorMismatch,
}

/// A place in the chain, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) seq: u64,
    pub(super) hash: String,
}

impl From<Link> for Place {
    fn from(link: Link) -> Self {
        Self { seq: link.sequence, hash: hex::encode(link.hash) }
    }
}

/// Bytes that are not of the chain: a line that a crash cut off, or what was there
/// before there was a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Foreign {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The log can be written again.
#[derive(Debug, Serialize)]
pub(super) struct Resumed {
    pub(super) time: String,
    /// Since when it could not.
    pub(super) since: String,
    /// How many calls were not answered meanwhile because there could be no record.
    pub(super) unanswered: u64,
}

/// Everything up to here is signed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub(super) time: String,
    /// The hash of the line before this one.
    pub(super) head: String,
    /// The fingerprint of the key.
    pub(super) key: String,
    /// The signature over [`signed`], in hexadecimal.
    pub(super) signature: String,
}

/// What is signed at a checkpoint of this number after a line of this hash.
#[must_use]
pub fn signed(sequence: u64, head: &Hash, time: &str) -> Vec<u8> {
    // Nothing else that a key may be used for begins so.
    let mut message = b"skms audit checkpoint v1\n".to_vec();
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(head);
    message.extend_from_slice(time.as_bytes());
    message
}

/// An anchor, as it is written in a copy that the operator keeps: a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    seq: u64,
    hash: String,
    key: String,
    signature: String,
    time: String,
}

impl From<&Anchor> for Kept {
    fn from(anchor: &Anchor) -> Self {
        Self {
            seq: anchor.sequence,
            hash: hex::encode(anchor.hash),
            key: anchor.key.clone(),
            signature: hex::encode(&anchor.signature),
            time: time(anchor.time),
        }
    }
}

impl Kept {
    /// The anchor; `None` where it is none.
    pub(super) fn anchor(self) -> Option<Anchor> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.hash, &mut hash).ok()?;
        Some(Anchor {
            sequence: self.seq,
            hash,
            key: self.key,
            signature: hex::decode(&self.signature).ok()?,
            time: humantime::parse_rfc3339(&self.time).ok()?,
        })
    }
}
