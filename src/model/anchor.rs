//! A place in the audit log that is known outside of it.

use std::time::SystemTime;

/// A signed checkpoint of the audit log, as it is kept outside of the log. Whoever
/// cuts the log off before it, or puts another in its place, does not get far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The number of the record that is the checkpoint.
    pub sequence: u64,
    /// The hash of the chain up to and with that record.
    pub hash: [u8; 32],
    /// The fingerprint of the key that signed the checkpoint.
    pub key: String,
    /// Its signature.
    pub signature: Vec<u8>,
    /// When it was made.
    pub time: SystemTime,
}
