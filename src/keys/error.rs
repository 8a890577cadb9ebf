//! What a use case can refuse, each with the reason that a client is told.

use skms_backend::{Class, KeyType, ProtectionLevel, SignatureAlgorithm};

use crate::{
    catalog,
    gate::{self, Reasoned},
    model::{BackendName, KeyId, Purpose, Reason, Refused, State, Why},
};

/// A field of a request that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, as the protocol names it.
    pub field: String,
    /// Why.
    pub reason: Reason,
    /// The same for people. It repeats nothing of a value that could be secret.
    pub description: String,
    /// A fact for programs: its name and value, such as `maxBytes`.
    pub about: Option<(&'static str, String)>,
}

impl Violation {
    /// A field at fault.
    pub fn new(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        Self { field: field.into(), reason, description: description.into(), about: None }
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn about(mut self, name: &'static str, value: usize) -> Self {
        self.about = Some((name, value.to_string()));
        self
    }
}

/// Why a use case was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is at fault, whatever the key.
    #[error("{}", first(violations))]
    Invalid {
        /// Every field at fault; never empty.
        violations: Vec<Violation>,
    },
    /// There is no such key.
    #[error("there is no key `{name}`")]
    KeyNotFound {
        /// As it was asked for.
        name: KeyId,
    },
    /// The key has no such version.
    #[error("the key `{key}` has no version {version}")]
    VersionNotFound {
        /// The key.
        key: KeyId,
        /// The version that was asked for.
        version: u32,
    },
    /// There is no such backend.
    #[error("there is no such backend; ListBackends names those there are")]
    BackendNotFound,
    /// The state of the version forbids it.
    #[error("version {version} of the key `{key}` is {}", state.name())]
    State {
        /// The key.
        key: KeyId,
        /// The version.
        version: u32,
        /// Its state.
        state: State,
    },
    /// The key is secret as a whole.
    #[error("the key `{key}` is secret as a whole and has no public half")]
    NoPublicHalf {
        /// The key.
        key: KeyId,
    },
    /// The key is for something else.
    #[error("the key `{key}` is for {}, not for {}", purpose.name(), wanted.name())]
    OtherPurpose {
        /// The key.
        key: KeyId,
        /// What it is for.
        purpose: Purpose,
        /// What it was to be used for.
        wanted: Purpose,
    },
    /// The ciphertext, or what stands beside it, is not what was made with the key. That
    /// is all that is ever said of it.
    #[error("the ciphertext cannot be decrypted with this key and what stands beside it")]
    DecryptionFailed,
    /// There is no such import job, or none of this caller.
    #[error("there is no import job `{job}`")]
    JobNotFound {
        /// As it was asked for.
        job: KeyId,
    },
    /// The time of the import job is over.
    #[error("the import job `{job}` has expired; make another")]
    JobExpired {
        /// The job.
        job: KeyId,
    },
    /// The material is no key of this type, or did not come out of its wrapping. That is
    /// all that is ever said of it.
    #[error("the material is no sound key of this type, or was not wrapped under this job")]
    MaterialInvalid,
    /// The material of the key comes from elsewhere only.
    #[error("every version of the key `{key}` is imported; ImportKey with `new_version` makes the next")]
    RotationNotSupported {
        /// The key.
        key: KeyId,
    },
    /// Others may be counting the same nonces.
    #[error(
        "version {version} of the key `{key}` was made elsewhere and so only decrypts on this backend: others may be using the same nonces; rotate the key to encrypt with it"
    )]
    DecryptsOnly {
        /// The key.
        key: KeyId,
        /// The version.
        version: u32,
    },
    /// No backend takes over keys that it did not make.
    #[error("no backend takes over keys that it did not make")]
    NoAdoption,
    /// The version has done as much as it may, or as is safe.
    #[error("version {version} of the key `{key}` was given all of its {most} operations; rotate the key")]
    UsedUp {
        /// The key.
        key: KeyId,
        /// The version.
        version: u32,
        /// How many they are.
        most: u64,
    },
    /// No backend gives so many random bytes, protected so well.
    #[error("no backend{} gives so many random bytes", floor.map_or_else(String::new, |floor| format!(" with protection level {} or better", floor.name())))]
    NoRandom {
        /// How well their source should be protected.
        floor: Option<ProtectionLevel>,
    },
    /// The key does not sign yet.
    #[error("the key `{key}` is not valid yet")]
    NotYetValid {
        /// The key.
        key: KeyId,
    },
    /// The key does not sign any more.
    #[error("the key `{key}` has expired")]
    Expired {
        /// The key.
        key: KeyId,
    },
    /// The version is below the key's minimum.
    #[error("version {version} of the key `{key}` is below the minimum of {minimum}")]
    BelowMinimum {
        /// The key.
        key: KeyId,
        /// The version.
        version: u32,
        /// The minimum.
        minimum: u32,
    },
    /// The change cannot be made, whatever the state.
    #[error(transparent)]
    Refused {
        /// Why.
        source: Refused,
    },
    /// No backend that protects keys as well as asked offers the key type.
    #[error("no backend with protection level {} or better offers {key_type} keys with these algorithms", floor.name())]
    ProtectionUnsatisfiable {
        /// What was asked for.
        key_type: KeyType,
        /// How well it should be protected.
        floor: ProtectionLevel,
    },
    /// The backend does not offer it.
    #[error("the backend `{backend}` does not offer this: {what}")]
    NotOffered {
        /// The backend.
        backend: BackendName,
        /// What it does not offer, and what it does.
        what: String,
    },
    /// It was not done, as another item of its batch failed.
    #[error("not done, as another item of this batch of all or nothing failed")]
    BatchAborted,
    /// The algorithm cannot begin before it has the whole message.
    #[error("{algorithm} needs the whole message, so one that comes in a stream has at most {most} bytes")]
    NotStreamed {
        /// The algorithm.
        algorithm: SignatureAlgorithm,
        /// The longest message.
        most: usize,
    },
    /// Who watches does not take what it is told.
    #[error("the watch fell behind what happens; go on with its last resume token, and take events sooner")]
    WatchTooSlow,
    /// What a watch was to go on behind is not remembered any more.
    #[error(
        "what changed since this token was given is not known any more; begin again with `send_initial_state`"
    )]
    WatchExpired,
    /// A device failed.
    #[error("the backend `{backend}` failed")]
    Backend {
        /// The backend.
        backend: BackendName,
        /// How.
        source: skms_backend::Error,
    },
    /// The catalog names a backend that the configuration does not.
    #[error("the backend `{backend}` is not configured any more")]
    BackendGone {
        /// The backend.
        backend: BackendName,
    },
    /// The catalog refused.
    #[error("the catalog refused")]
    Catalog {
        /// Why.
        source: catalog::Error,
    },
    /// The gate refused.
    #[error("the gate refused")]
    Gate {
        /// Why.
        source: gate::Error,
    },
    /// The gateway itself is at fault.
    #[error("{what}")]
    Internal {
        /// What went wrong.
        what: &'static str,
    },
}

fn first(violations: &[Violation]) -> String {
    match violations {
        [] => "the request is invalid".to_owned(),
        [one] if one.field.is_empty() => one.description.clone(),
        [one] => format!("`{}`: {}", one.field, one.description),
        [one, rest @ ..] => format!("`{}`: {} (and {} more)", one.field, one.description, rest.len()),
    }
}

impl From<gate::Error> for Error {
    fn from(source: gate::Error) -> Self {
        match source {
            // To be told apart from a key that is not there by nothing at all.
            gate::Error::Missing { name } => Self::KeyNotFound { name },
            source => Self::Gate { source },
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(source: catalog::Error) -> Self {
        let field = |field, why| Self::invalid(field, Reason::FieldInvalid, why);
        match source {
            catalog::Error::Refused(refused) => refused.into(),
            catalog::Error::Expires => {
                field("metadata.params.expire_time", "must be after `not_before_time`")
            }
            catalog::Error::NoPeriod => {
                field("metadata.params.next_rotation_time", "needs a `rotation_period`")
            }
            source => Self::Catalog { source },
        }
    }
}

impl From<Refused> for Error {
    fn from(source: Refused) -> Self {
        let Refused { key, version, why } = source.clone();
        match why {
            Why::Missing => Self::VersionNotFound { key, version },
            Why::State(state) => Self::State { key, version, state },
            Why::BelowMinimum(minimum) => Self::BelowMinimum { key, version, minimum },
            Why::TooLate | Why::Primary | Why::PrimaryBelow(_) => Self::Refused { source },
        }
    }
}

impl Error {
    /// One field at fault.
    pub fn invalid(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        Self::Invalid { violations: vec![Violation::new(field, reason, description)] }
    }
}

impl Reasoned for Error {
    fn reason(&self) -> Reason {
        match self {
            Self::Invalid { violations } => {
                violations.first().map_or(Reason::FieldInvalid, |violation| violation.reason)
            }
            Self::KeyNotFound { .. } => Reason::KeyNotFound,
            Self::VersionNotFound { .. } => Reason::KeyVersionNotFound,
            Self::BackendNotFound => Reason::BackendNotFound,
            Self::State { state, .. } => match state {
                State::PendingGeneration => Reason::KeyPendingGeneration,
                State::PendingImport => Reason::KeyPendingImport,
                State::Disabled => Reason::KeyDisabled,
                State::Compromised => Reason::KeyCompromised,
                State::DestroyScheduled => Reason::KeyDestroyScheduled,
                State::Destroyed | State::GenerationFailed | State::ImportFailed => Reason::KeyDestroyed,
                State::Enabled => Reason::Internal,
            },
            Self::OtherPurpose { .. } | Self::NoPublicHalf { .. } => Reason::KeyPurposeMismatch,
            Self::DecryptionFailed => Reason::DecryptionFailed,
            Self::JobNotFound { .. } => Reason::ImportJobNotFound,
            Self::JobExpired { .. } => Reason::ImportJobExpired,
            Self::MaterialInvalid => Reason::ImportMaterialInvalid,
            Self::RotationNotSupported { .. } => Reason::RotationNotSupported,
            Self::DecryptsOnly { .. } => Reason::KeyDecryptsOnly,
            Self::NoAdoption => Reason::OperationNotSupportedByBackend,
            Self::UsedUp { .. } => Reason::KeyUsageLimitExceeded,
            Self::NoRandom { floor: Some(_) } => Reason::ProtectionLevelUnsatisfiable,
            Self::NoRandom { floor: None } => Reason::OperationNotSupportedByBackend,
            Self::NotYetValid { .. } => Reason::KeyNotYetValid,
            Self::Expired { .. } => Reason::KeyExpired,
            Self::BelowMinimum { .. } => Reason::VersionBelowMinimum,
            Self::Refused { source } => match source.why {
                Why::Missing => Reason::KeyVersionNotFound,
                Why::State(_) => Reason::Internal,
                Why::TooLate => Reason::KeyDestroyScheduled,
                Why::Primary => Reason::PrimaryVersionRequired,
                Why::BelowMinimum(_) | Why::PrimaryBelow(_) => Reason::VersionBelowMinimum,
            },
            Self::ProtectionUnsatisfiable { .. } => Reason::ProtectionLevelUnsatisfiable,
            Self::NotOffered { .. } => Reason::OperationNotSupportedByBackend,
            Self::Backend { source, .. } => match source.class() {
                Class::Caller | Class::Broken | Class::Pin => Reason::BackendError,
                Class::Unsupported => Reason::OperationNotSupportedByBackend,
                Class::Key => Reason::KeyMaterialMissing,
                Class::StorageFull => Reason::BackendStorageFull,
                Class::Session | Class::Login | Class::Handle => Reason::BackendSessionLost,
                Class::Reinitialize => Reason::TokenNotPresent,
                Class::Shrink | Class::Hung => Reason::BackendUnavailable,
                Class::QueueFull => Reason::BackendQueueFull,
                Class::Timeout | Class::Cancelled => Reason::BackendTimeout,
                Class::Closed => Reason::ShuttingDown,
            },
            Self::BackendGone { .. } => Reason::BackendUnavailable,
            Self::BatchAborted => Reason::BatchAborted,
            Self::WatchTooSlow => Reason::WatchConsumerTooSlow,
            Self::WatchExpired => Reason::WatchResumeTokenExpired,
            Self::NotStreamed { .. } => Reason::StreamingNotSupportedForAlgorithm,
            Self::Catalog { source } => match source {
                catalog::Error::KeyExists(_) | catalog::Error::Held(_) => Reason::KeyAlreadyExists,
                catalog::Error::IdRetired(_) => Reason::KeyIdRetired,
                catalog::Error::AliasInUse(_) => Reason::AliasInUse,
                catalog::Error::Expires | catalog::Error::NoPeriod => Reason::FieldInvalid,
                // Told as what it is, and not as an error of the catalog.
                catalog::Error::Refused(_) => Reason::Internal,
                catalog::Error::KeyMissing => Reason::KeyNotFound,
                catalog::Error::ImportOnly(_) => Reason::RotationNotSupported,
                catalog::Error::JobExists(_) => Reason::ImportJobAlreadyExists,
                catalog::Error::JobMissing => Reason::ImportJobNotFound,
                catalog::Error::EtagMismatch => Reason::EtagMismatch,
                catalog::Error::PrimaryChanged { .. } => Reason::PrimaryVersionChanged,
                catalog::Error::RequestIdReused => Reason::RequestIdReused,
                catalog::Error::InProgress | catalog::Error::Relabelled => Reason::ConcurrentModification,
                catalog::Error::Open { .. }
                | catalog::Error::InUse { .. }
                | catalog::Error::Replaced { .. }
                | catalog::Error::Newer { .. }
                | catalog::Error::Migrate { .. } => Reason::StoreUnavailable,
                catalog::Error::Store { .. } if source.is_damage() => Reason::StoreIntegrityFailure,
                catalog::Error::Store { .. } => Reason::StoreUnavailable,
                catalog::Error::Unreadable { .. } => Reason::StoreIntegrityFailure,
                catalog::Error::Panicked { .. } => Reason::Internal,
            },
            Self::Gate { source } => match source {
                gate::Error::Denied => Reason::KeyAccessDenied,
                gate::Error::Missing { .. } => Reason::KeyNotFound,
                gate::Error::RateLimited { .. } => Reason::RateLimited,
                gate::Error::Audit { .. } => Reason::AuditUnavailable,
                gate::Error::ProofEnded { refusal } => refusal.reason,
                gate::Error::Closing => Reason::ShuttingDown,
                gate::Error::Deadline => Reason::BackendTimeout,
                gate::Error::Panicked => Reason::Internal,
            },
            Self::Internal { .. } => Reason::Internal,
        }
    }
}
