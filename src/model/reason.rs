//! Why a call was refused: the one list of reasons that clients can match on.
//!
//! A reason is never renamed or removed; `reasons.txt` is checked by a test.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// The `reason` of a `google.rpc.ErrorInfo` in the domain `skms`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text on the wire.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

reasons! {
    /// The call has no proof of who makes it.
    TokenMissing = "TOKEN_MISSING",
    /// The proof is no token that is taken here.
    TokenMalformed = "TOKEN_MALFORMED",
    /// The token is not valid any more.
    TokenExpired = "TOKEN_EXPIRED",
    /// The token is not valid yet.
    TokenNotYetValid = "TOKEN_NOT_YET_VALID",
    /// The token is not signed by a key of its issuer.
    TokenSignatureInvalid = "TOKEN_SIGNATURE_INVALID",
    /// Nobody here trusts the issuer of the token.
    TokenIssuerUntrusted = "TOKEN_ISSUER_UNTRUSTED",
    /// The token is for somebody else.
    TokenAudienceMismatch = "TOKEN_AUDIENCE_MISMATCH",
    /// The token, its subject, tenant or certificate was revoked; or the token was good
    /// for one change, and was used for it.
    TokenRevoked = "TOKEN_REVOKED",
    /// The call must come with a client certificate, or with another one.
    ClientCertificateRequired = "CLIENT_CERTIFICATE_REQUIRED",
    /// No such key, or none that the caller may know of.
    KeyNotFound = "KEY_NOT_FOUND",
    /// The key has no such version.
    KeyVersionNotFound = "KEY_VERSION_NOT_FOUND",
    /// No such backend.
    BackendNotFound = "BACKEND_NOT_FOUND",
    /// There is a key of this id.
    KeyAlreadyExists = "KEY_ALREADY_EXISTS",
    /// There was a key of this id, and it is never used again.
    KeyIdRetired = "KEY_ID_RETIRED",
    /// The id or alias belongs to another key as an alias.
    AliasInUse = "ALIAS_IN_USE",
    /// A field that must be set is not.
    FieldRequired = "FIELD_REQUIRED",
    /// A field has a value that it cannot have.
    FieldInvalid = "FIELD_INVALID",
    /// A field does not apply to this key, algorithm or input.
    ParameterNotApplicable = "PARAMETER_NOT_APPLICABLE",
    /// No such key type, or none that any backend offers.
    UnsupportedKeyType = "UNSUPPORTED_KEY_TYPE",
    /// The algorithm is not on the key's list.
    AlgorithmNotAllowed = "ALGORITHM_NOT_ALLOWED",
    /// A digest has not the length of its hash.
    DigestLengthMismatch = "DIGEST_LENGTH_MISMATCH",
    /// A message is longer than the limit.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE",
    /// A checksum does not match what arrived.
    ChecksumMismatch = "CHECKSUM_MISMATCH",
    /// A page token was not made here, or not for this list.
    PageTokenInvalid = "PAGE_TOKEN_INVALID",
    /// A filter is not understood.
    FilterInvalid = "FILTER_INVALID",
    /// A stream is not as its method wants it.
    StreamProtocolViolation = "STREAM_PROTOCOL_VIOLATION",
    /// The algorithm needs the whole message, and the message is too long for that.
    StreamingNotSupportedForAlgorithm = "STREAMING_NOT_SUPPORTED_FOR_ALGORITHM",
    /// Who watches does not take what it is told.
    WatchConsumerTooSlow = "WATCH_CONSUMER_TOO_SLOW",
    /// What a watch was to go on behind is not remembered any more.
    WatchResumeTokenExpired = "WATCH_RESUME_TOKEN_EXPIRED",
    /// A request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The caller may not call this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    /// The caller may not do this with this key, or there is no such key.
    KeyAccessDenied = "KEY_ACCESS_DENIED",
    /// The version is disabled.
    KeyDisabled = "KEY_DISABLED",
    /// The version is still being made.
    KeyPendingGeneration = "KEY_PENDING_GENERATION",
    /// The version still waits for imported material.
    KeyPendingImport = "KEY_PENDING_IMPORT",
    /// There is no such import job, or none of this caller.
    ImportJobNotFound = "IMPORT_JOB_NOT_FOUND",
    /// There is an import job of this id.
    ImportJobAlreadyExists = "IMPORT_JOB_ALREADY_EXISTS",
    /// The time of the import job is over.
    ImportJobExpired = "IMPORT_JOB_EXPIRED",
    /// The material is no key of this type, or was not wrapped under this job.
    ImportMaterialInvalid = "IMPORT_MATERIAL_INVALID",
    /// The material of the key comes from elsewhere only.
    RotationNotSupported = "ROTATION_NOT_SUPPORTED",
    /// The version decrypts only: others may be counting the same nonces.
    KeyDecryptsOnly = "KEY_DECRYPTS_ONLY",
    /// The ciphertext is none of this gateway.
    CiphertextMalformed = "CIPHERTEXT_MALFORMED",
    /// The ciphertext cannot be decrypted with this key and what stands beside it.
    DecryptionFailed = "DECRYPTION_FAILED",
    /// The ciphertext was made with another key.
    KeyMismatch = "KEY_MISMATCH",
    /// The version will be destroyed.
    KeyDestroyScheduled = "KEY_DESTROY_SCHEDULED",
    /// The version is gone, or never came to be.
    KeyDestroyed = "KEY_DESTROYED",
    /// The version is known to others.
    KeyCompromised = "KEY_COMPROMISED",
    /// The key does not sign yet.
    KeyNotYetValid = "KEY_NOT_YET_VALID",
    /// The key does not sign any more.
    KeyExpired = "KEY_EXPIRED",
    /// The key is for something else.
    KeyPurposeMismatch = "KEY_PURPOSE_MISMATCH",
    /// The version is below the key's minimum.
    VersionBelowMinimum = "VERSION_BELOW_MINIMUM",
    /// The version is the primary, and the others would be left without it.
    PrimaryVersionRequired = "PRIMARY_VERSION_REQUIRED",
    /// No backend protects keys as well as was asked for.
    ProtectionLevelUnsatisfiable = "PROTECTION_LEVEL_UNSATISFIABLE",
    /// The version has encrypted as much as is safe.
    KeyUsageLimitExceeded = "KEY_USAGE_LIMIT_EXCEEDED",
    /// The key changed since its etag was read.
    EtagMismatch = "ETAG_MISMATCH",
    /// The primary version is another one.
    PrimaryVersionChanged = "PRIMARY_VERSION_CHANGED",
    /// Another call is changing the same thing.
    ConcurrentModification = "CONCURRENT_MODIFICATION",
    /// Another item of a batch of all or nothing failed.
    BatchAborted = "BATCH_ABORTED",
    /// Too many calls wait for the backend.
    BackendQueueFull = "BACKEND_QUEUE_FULL",
    /// The caller, or all callers of a key, asked for more than their share.
    RateLimited = "RATE_LIMITED",
    /// The device has no room for another key.
    BackendStorageFull = "BACKEND_STORAGE_FULL",
    /// The device, or every backend there is, does not offer this.
    OperationNotSupportedByBackend = "OPERATION_NOT_SUPPORTED_BY_BACKEND",
    /// There is no such method.
    MethodNotFound = "METHOD_NOT_FOUND",
    /// The backend does not answer.
    BackendUnavailable = "BACKEND_UNAVAILABLE",
    /// The session with the device was lost in the middle of the call.
    BackendSessionLost = "BACKEND_SESSION_LOST",
    /// The token is gone.
    TokenNotPresent = "TOKEN_NOT_PRESENT",
    /// The record of the call could not be written, so it was not answered.
    AuditUnavailable = "AUDIT_UNAVAILABLE",
    /// The catalog could not be written.
    StoreUnavailable = "STORE_UNAVAILABLE",
    /// The gateway is stopping.
    ShuttingDown = "SHUTTING_DOWN",
    /// The device did not answer within the deadline.
    BackendTimeout = "BACKEND_TIMEOUT",
    /// The device failed.
    BackendError = "BACKEND_ERROR",
    /// The gateway failed.
    Internal = "INTERNAL",
    /// The device has no such key any more.
    KeyMaterialMissing = "KEY_MATERIAL_MISSING",
    /// The catalog is damaged, or was changed by something else.
    StoreIntegrityFailure = "STORE_INTEGRITY_FAILURE",
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn no_reason_is_renamed_or_removed() {
        let now: Vec<_> = Reason::ALL.iter().map(|reason| reason.text()).collect();
        let golden: Vec<_> = include_str!("reasons.txt").lines().collect();
        assert_eq!(now, golden, "reasons are only ever added, in src/model/reasons.txt too");
    }
}
