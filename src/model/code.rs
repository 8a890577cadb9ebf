//! The codes of gRPC that an answer of the gateway can have, by their names only, so
//! that records tell them without knowing gRPC.

use super::Reason;

/// How a call ended, as gRPC has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It was done.
    Ok,
    /// What was asked for makes no sense.
    InvalidArgument,
    /// It took too long.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// The caller may not.
    PermissionDenied,
    /// There is no room, or no share left.
    ResourceExhausted,
    /// The state is in the way.
    FailedPrecondition,
    /// It lies where nothing is any more.
    OutOfRange,
    /// Somebody else changed it meanwhile.
    Aborted,
    /// It is not offered.
    Unimplemented,
    /// The gateway or a device failed.
    Internal,
    /// A later try may do.
    Unavailable,
    /// Something is gone for good.
    DataLoss,
    /// It is not known who calls.
    Unauthenticated,
}

impl Code {
    /// The code of a reason; there is no other place that decides it.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason {
            Reason::TokenMissing
            | Reason::TokenMalformed
            | Reason::TokenExpired
            | Reason::TokenNotYetValid
            | Reason::TokenSignatureInvalid
            | Reason::TokenIssuerUntrusted
            | Reason::TokenAudienceMismatch
            | Reason::TokenRevoked
            | Reason::ClientCertificateRequired => Self::Unauthenticated,
            Reason::KeyNotFound
            | Reason::KeyVersionNotFound
            | Reason::BackendNotFound
            | Reason::ImportJobNotFound => Self::NotFound,
            Reason::KeyAlreadyExists
            | Reason::KeyIdRetired
            | Reason::AliasInUse
            | Reason::ImportJobAlreadyExists => Self::AlreadyExists,
            Reason::FieldRequired
            | Reason::FieldInvalid
            | Reason::ParameterNotApplicable
            | Reason::UnsupportedKeyType
            | Reason::AlgorithmNotAllowed
            | Reason::DigestLengthMismatch
            | Reason::PayloadTooLarge
            | Reason::ChecksumMismatch
            | Reason::PageTokenInvalid
            | Reason::FilterInvalid
            | Reason::CiphertextMalformed
            | Reason::DecryptionFailed
            | Reason::KeyMismatch
            | Reason::ImportMaterialInvalid
            | Reason::StreamProtocolViolation
            | Reason::RequestIdReused => Self::InvalidArgument,
            Reason::MethodNotAllowed | Reason::KeyAccessDenied => Self::PermissionDenied,
            Reason::KeyDisabled
            | Reason::KeyPendingGeneration
            | Reason::KeyPendingImport
            | Reason::KeyDestroyScheduled
            | Reason::KeyDestroyed
            | Reason::KeyCompromised
            | Reason::KeyNotYetValid
            | Reason::KeyExpired
            | Reason::KeyPurposeMismatch
            | Reason::VersionBelowMinimum
            | Reason::PrimaryVersionRequired
            | Reason::ImportJobExpired
            | Reason::RotationNotSupported
            | Reason::KeyDecryptsOnly
            | Reason::ProtectionLevelUnsatisfiable => Self::FailedPrecondition,
            Reason::EtagMismatch
            | Reason::PrimaryVersionChanged
            | Reason::ConcurrentModification
            | Reason::BatchAborted => Self::Aborted,
            Reason::BackendQueueFull
            | Reason::BackendStorageFull
            | Reason::RateLimited
            | Reason::WatchConsumerTooSlow
            | Reason::KeyUsageLimitExceeded => Self::ResourceExhausted,
            Reason::WatchResumeTokenExpired => Self::OutOfRange,
            Reason::OperationNotSupportedByBackend
            | Reason::StreamingNotSupportedForAlgorithm
            | Reason::MethodNotFound => Self::Unimplemented,
            Reason::BackendUnavailable
            | Reason::BackendSessionLost
            | Reason::TokenNotPresent
            | Reason::AuditUnavailable
            | Reason::StoreUnavailable
            | Reason::ShuttingDown => Self::Unavailable,
            Reason::BackendTimeout => Self::DeadlineExceeded,
            Reason::BackendError | Reason::Internal => Self::Internal,
            Reason::KeyMaterialMissing | Reason::StoreIntegrityFailure => Self::DataLoss,
        }
    }

    /// Its name, as in the specification of gRPC.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Aborted => "ABORTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}
