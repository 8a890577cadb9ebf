//! What the catalog refuses, and what keeps it from working.

use std::path::PathBuf;

use crate::model::{KeyId, Refused};

/// What the catalog refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a key of this id.
    #[error("there is already a key `{0}`")]
    KeyExists(KeyId),
    /// There was a key of this id.
    #[error("there was a key `{0}`; its id is never used again")]
    IdRetired(KeyId),
    /// The name is an alias of another key.
    #[error("`{0}` is already an alias")]
    AliasInUse(KeyId),
    /// A version of this key is that material already.
    #[error("the key `{0}` is this key already")]
    Held(KeyId),
    /// There is no such key any more.
    #[error("the key is gone")]
    KeyMissing,
    /// Every version of the key is imported, and so none is made by a schedule.
    #[error("every version of the key `{0}` is imported, so that it cannot be rotated by a schedule")]
    ImportOnly(KeyId),
    /// There is an import job of this id.
    #[error("there is already an import job `{0}`")]
    JobExists(KeyId),
    /// There is no such import job any more.
    #[error("the import job is gone")]
    JobMissing,
    /// The key changed since its etag was read.
    #[error("the key has changed")]
    EtagMismatch,
    /// The primary version is another one than expected.
    #[error("the primary version is {actual}")]
    PrimaryChanged {
        /// The primary version.
        actual: u32,
    },
    /// What policies see of the key was changed while it was decided what its caller may
    /// do, or its schedule was.
    #[error("the key is being changed by another call")]
    Relabelled,
    /// A version or its state is in the way.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The key would expire before it is valid.
    #[error("the key would expire before it is valid")]
    Expires,
    /// There can be no next rotation without a period.
    #[error("the key has no rotation period")]
    NoPeriod,
    /// The request id was used for another request.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// The first call with this request id is still at work.
    #[error("the first call with this request id is still at work")]
    InProgress,
    /// The file or its directory cannot be used.
    #[error("cannot open the catalog `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another gateway has it open.
    #[error("the catalog `{}` is in use by another gateway", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was removed or replaced while it was open.
    #[error("the catalog `{}` was removed or replaced", path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a newer gateway.
    #[error("the catalog `{}` was written by a newer version of skms; use that version, or restore a backup", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The database refused.
    #[error("the catalog cannot be read or written")]
    Store {
        /// Why.
        #[from]
        source: rusqlite::Error,
    },
    /// The tables could not be made or migrated.
    #[error("the tables of the catalog cannot be made")]
    Migrate {
        /// Why.
        source: rusqlite_migration::Error,
    },
    /// A row that this version of skms cannot read.
    #[error("the catalog holds a {what} that cannot be read")]
    Unreadable {
        /// Of what.
        what: &'static str,
    },
    /// The transaction panicked.
    #[error("the catalog failed")]
    Panicked {
        /// How.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// Whether the database is damaged, so that no later try will do better.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Unreadable { .. } => true,
            Self::Store { source } => {
                matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }
}
