//! The chain: how a line of the log depends on every line before it.
//!
//! A line is one JSON object: `{"seq":7,"kind":"decision",…,"hash":"<64 digits>"}`.
//! Its hash is the SHA-256 (FIPS 180-4) of the 32 bytes of the hash before it and
//! then of the bytes of the line up to `,"hash":`. The first hash of all has 32 zero
//! bytes before it.
//!
//! **Invariant:** what is hashed are the bytes of the file. Nothing is parsed and
//! written again on the way to a hash, so there is one spelling of every line.

use std::io::Write as _;

use aws_lc_rs::digest;
use serde::Serialize;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A decision, or what came of it: see [`super::Record`].
    Decision,
    /// Refusals that were counted together.
    Refused,
    /// A file is begun, or gone on with.
    Open,
    /// The log can be written again.
    Resumed,
    /// Everything up to here is signed.
    Checkpoint,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Decision, Self::Refused, Self::Open, Self::Resumed, Self::Checkpoint];

    /// Its name in the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::Resumed => "resumed",
            Self::Checkpoint => "checkpoint",
        }
    }
}

/// A line before it has its place in the chain: a JSON object.
#[derive(Debug)]
pub(super) struct Entry {
    kind: Kind,
    object: Vec<u8>,
}

impl Entry {
    pub(super) fn new(kind: Kind, fields: &impl Serialize) -> Result<Self, serde_json::Error> {
        // Most records fit; one that does not grows once.
        let mut object = Vec::with_capacity(768);
        serde_json::to_writer(&mut object, fields)?;
        Ok(Self { kind, object })
    }

    /// How many bytes it takes in the file, or a few less.
    pub(super) const fn length(&self) -> usize {
        self.object.len() + END
    }
}

/// A place in the chain: after this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
}

impl Link {
    /// Before the first line.
    pub(super) const START: Self = Self { sequence: 0, hash: [0; 32] };

    /// Writes the entry as the next line into `out`, and stands after it then.
    pub(super) fn append(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        let (begin, sequence) = (out.len(), self.sequence + 1);
        // Writing to memory does not fail.
        let _ = write!(out, "{{\"seq\":{sequence},\"kind\":\"{}\"", entry.kind.name());
        let fields = entry.object.strip_prefix(b"{").and_then(|fields| fields.strip_suffix(b"}"));
        if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
            out.push(b',');
            out.extend_from_slice(fields);
        }
        self.sequence = sequence;
        self.hash = after(&self.hash, out.get(begin..).unwrap_or_default());
        out.extend_from_slice(HASH);
        let mut digits = [0; 64];
        // Sixty-four digits are what thirty-two bytes have.
        let _ = hex::encode_to_slice(self.hash, &mut digits);
        out.extend_from_slice(&digits);
        out.extend_from_slice(b"\"}\n");
    }
}

/// The hash of a line, of which `covered` is all but its end, after one with the hash
/// `before`.
pub(super) fn after(before: &Hash, covered: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(covered);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A line as it stands in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) sequence: u64,
    pub(super) hash: Hash,
    /// What its hash covers, beside the hash before it.
    pub(super) covered: &'a [u8],
    /// From its kind on.
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed; `None` where it is none of ours. Only the
    /// one spelling that [`Link::append`] writes is taken.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (covered, end) = line.split_at_checked(line.len().checked_sub(END)?)?;
        let digits = end.strip_prefix(HASH)?.strip_suffix(b"\"}")?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).ok()?;
        let after = covered.strip_prefix(b"{\"seq\":")?;
        let length = after.iter().position(|byte| !byte.is_ascii_digit())?;
        let (number, rest) = after.split_at_checked(length)?;
        let sequence = std::str::from_utf8(number).ok()?.parse().ok()?;
        let rest = rest.strip_prefix(b",\"kind\":\"")?;
        (!number.starts_with(b"0")).then_some(Self { sequence, hash, covered, rest })
    }

    /// What it is about; `None` where this version does not know it.
    pub(super) fn kind(&self) -> Option<Kind> {
        let length = self.rest.iter().position(|byte| *byte == b'"')?;
        let name = self.rest.get(..length)?;
        Kind::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Whether it comes right after a line with this hash.
    pub(super) fn follows(&self, before: &Hash) -> bool {
        after(before, self.covered) == self.hash
    }

    /// The place after it.
    pub(super) const fn link(&self) -> Link {
        Link { sequence: self.sequence, hash: self.hash }
    }
}

const HASH: &[u8] = b",\"hash\":\"";
/// How long the end of a line is that its hash does not cover, without the line feed.
const END: usize = HASH.len() + 64 + 2;
