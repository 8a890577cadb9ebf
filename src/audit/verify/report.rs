//! What was found.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// What was found in a log.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing was found.
    pub good: bool,
    /// How many lines of the chain there are, checkpoints and the like with them.
    pub records: u64,
    /// The number of the first.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// How many checkpoints there are.
    pub checkpoints: u64,
    /// The number of the last checkpoint.
    pub last_checkpoint: Option<u64>,
    /// The number of the last checkpoint that is known outside of the log.
    pub last_anchor: Option<u64>,
    /// How many records come after it: what could be cut off without a trace.
    pub unanchored: u64,
    /// What is wrong, in the order of the files.
    pub findings: Vec<Finding>,
    /// How many more there are: after a first damage much may look damaged.
    pub more_findings: u64,
    /// What is worth knowing and not wrong.
    pub remarks: Vec<String>,
}

/// Something that is wrong, and where.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line in it; none where it is not about one.
    pub line: Option<u64>,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// Its hash is another one.
    #[error("record {sequence} was changed, or the one before it was")]
    Changed {
        /// Its number.
        sequence: u64,
    },
    /// Numbers were left out.
    #[error("records {from} to {to} are missing")]
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// It comes after one with a higher number.
    #[error("record {sequence} stands behind record {after}")]
    OutOfOrder {
        /// Its number.
        sequence: u64,
        /// The number of the one before it.
        after: u64,
    },
    /// It is no line of the chain.
    #[error("this is no record of the log")]
    NoRecord,
    /// A kind of record that this version does not know.
    #[error("record {sequence} is of a kind that this version of skms does not know")]
    UnknownKind {
        /// Its number.
        sequence: u64,
    },
    /// It can say nothing, as it is not what the gateway writes.
    #[error("checkpoint {sequence} cannot be read")]
    Unreadable {
        /// Its number.
        sequence: u64,
    },
    /// The signature is not that of the key.
    #[error("checkpoint {sequence} is not signed by the key `{key}` that it names")]
    BadSignature {
        /// Its number.
        sequence: u64,
        /// The fingerprint of the key.
        key: String,
    },
    /// The key was not given.
    #[error("checkpoint {sequence} is signed by the unknown key `{key}`")]
    UnknownKey {
        /// Its number.
        sequence: u64,
        /// The fingerprint of the key.
        key: String,
    },
    /// It is not what was anchored.
    #[error("record {sequence} is not the one that was anchored")]
    NotAnchored {
        /// Its number.
        sequence: u64,
    },
    /// Something was anchored that is not there.
    #[error("checkpoint {anchor} was anchored and is missing")]
    AnchorMissing {
        /// The number of the anchor.
        anchor: u64,
    },
    /// The end was cut off.
    #[error("the log ends with record {last}, but record {anchor} was anchored: its end was cut off")]
    Truncated {
        /// The last record.
        last: u64,
        /// The number of the anchor.
        anchor: u64,
    },
}

/// As many findings as anybody reads.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    more: u64,
}

/// One damage makes few findings; more than this many are not read one by one.
const MOST: usize = 1000;

impl Findings {
    pub(super) fn add(&mut self, file: &Path, line: Option<u64>, problem: Problem) {
        if self.list.len() < MOST {
            self.list.push(Finding { file: file.to_owned(), line, problem });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Finding>, u64) {
        (self.list, self.more)
    }
}
