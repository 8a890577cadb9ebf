//! What a caller can ask for: one action per RPC, and the one list of them.

/// An action that is decided, recorded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Make a key.
    CreateKey,
    /// Take over a key that a device held before the gateway. Whoever does needs the
    /// permission to make that key as well.
    AdoptKey,
    /// See a key.
    GetKey,
    /// See the public half of a key, to verify with it elsewhere.
    GetPublicKey,
    /// List keys.
    ListKeys,
    /// Make a new version of a key.
    RotateKey,
    /// Change what is said of a key, and when it may be used.
    UpdateKey,
    /// Change the labels of a key. They decide who may use it, so this is asked of
    /// the key as it is and of the key as it would be.
    SetKeyLabels,
    /// Let lower versions of a key be used again. Asked besides changing the key.
    LowerMinVersion,
    /// Take versions of a key into use.
    EnableKey,
    /// Take versions of a key out of use.
    DisableKey,
    /// Call the destruction of versions of a key off.
    RestoreKey,
    /// Say that others know versions of a key.
    MarkKeyCompromised,
    /// Have versions of a key destroyed, later.
    ScheduleKeyDestruction,
    /// Make another version of a key the primary.
    SetPrimaryVersion,
    /// Make a key pair under which material is wrapped.
    CreateImportJob,
    /// See such a key pair.
    GetImportJob,
    /// Make a key, or a new version of one, of material that was made elsewhere.
    ImportKey,
    /// Do that with material in the clear.
    ImportKeyPlain,
    /// Have a key sign a request for a certificate of itself.
    CreateCsr,
    /// Sign with a key.
    SignMessage,
    /// Have it done before what others ask for. Asked besides signing.
    RaisePriority,
    /// Check a signature.
    VerifySignature,
    /// Check a signature also against versions that others know. Asked besides
    /// checking it.
    VerifyCompromised,
    /// Encrypt with a key.
    Encrypt,
    /// Decrypt with a key.
    Decrypt,
    /// Decrypt what a version encrypted that others may know.
    DecryptCompromised,
    /// Have what a key encrypted encrypted anew, by another key.
    ReEncryptFrom,
    /// Have a key encrypt anew what another key encrypted.
    ReEncryptTo,
    /// Have a data key made and encrypted by a key.
    GenerateDataKey,
    /// See such a data key in the clear.
    GenerateDataKeyPlaintext,
    /// Have such a data key encrypted to a public key.
    GenerateDataKeyWrapped,
    /// Make a message authentication code.
    GenerateMac,
    /// Check a message authentication code.
    VerifyMac,
    /// Agree on a secret with the owner of another key, and derive a key of it.
    DeriveSharedSecret,
    /// See such a secret itself.
    DeriveRawSecret,
    /// Get random bytes.
    GenerateRandom,
    /// See the backends.
    ListBackends,
    /// See one backend.
    GetBackend,
    /// See what one may do oneself.
    TestPermissions,
    /// See the gateway.
    GetServerInfo,
    /// See what the API looks like (gRPC reflection).
    DescribeApi,
    /// Look on devices for keys that the catalog does not know. The gateway's own.
    FindOrphans,
    /// Remove what a crash left half made. The gateway's own.
    Sweep,
    /// Destroy a version of a key whose time has come. The gateway's own.
    DestroyKey,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 45] = [
        Self::CreateKey,
        Self::AdoptKey,
        Self::GetKey,
        Self::GetPublicKey,
        Self::ListKeys,
        Self::RotateKey,
        Self::UpdateKey,
        Self::SetKeyLabels,
        Self::LowerMinVersion,
        Self::EnableKey,
        Self::DisableKey,
        Self::RestoreKey,
        Self::MarkKeyCompromised,
        Self::ScheduleKeyDestruction,
        Self::SetPrimaryVersion,
        Self::CreateImportJob,
        Self::GetImportJob,
        Self::ImportKey,
        Self::ImportKeyPlain,
        Self::CreateCsr,
        Self::SignMessage,
        Self::RaisePriority,
        Self::VerifySignature,
        Self::VerifyCompromised,
        Self::Encrypt,
        Self::Decrypt,
        Self::DecryptCompromised,
        Self::ReEncryptFrom,
        Self::ReEncryptTo,
        Self::GenerateDataKey,
        Self::GenerateDataKeyPlaintext,
        Self::GenerateDataKeyWrapped,
        Self::GenerateMac,
        Self::VerifyMac,
        Self::DeriveSharedSecret,
        Self::DeriveRawSecret,
        Self::GenerateRandom,
        Self::ListBackends,
        Self::GetBackend,
        Self::TestPermissions,
        Self::GetServerInfo,
        Self::DescribeApi,
        Self::FindOrphans,
        Self::Sweep,
        Self::DestroyKey,
    ];

    /// The name in audit records and policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateKey => "create-key",
            Self::AdoptKey => "adopt-key",
            Self::GetKey => "get-key",
            Self::GetPublicKey => "get-public-key",
            Self::ListKeys => "list-keys",
            Self::RotateKey => "rotate-key",
            Self::UpdateKey => "update-key",
            Self::SetKeyLabels => "set-key-labels",
            Self::LowerMinVersion => "lower-min-version",
            Self::EnableKey => "enable-key",
            Self::DisableKey => "disable-key",
            Self::RestoreKey => "restore-key",
            Self::MarkKeyCompromised => "mark-key-compromised",
            Self::ScheduleKeyDestruction => "schedule-key-destruction",
            Self::SetPrimaryVersion => "set-primary-version",
            Self::CreateImportJob => "create-import-job",
            Self::GetImportJob => "get-import-job",
            Self::ImportKey => "import-key",
            Self::ImportKeyPlain => "import-key-plain",
            Self::CreateCsr => "create-csr",
            Self::SignMessage => "sign-message",
            Self::RaisePriority => "raise-priority",
            Self::VerifySignature => "verify-signature",
            Self::VerifyCompromised => "verify-compromised",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::DecryptCompromised => "decrypt-compromised",
            Self::ReEncryptFrom => "re-encrypt-from",
            Self::ReEncryptTo => "re-encrypt-to",
            Self::GenerateDataKey => "generate-data-key",
            Self::GenerateDataKeyPlaintext => "generate-data-key-plaintext",
            Self::GenerateDataKeyWrapped => "generate-data-key-wrapped",
            Self::GenerateMac => "generate-mac",
            Self::VerifyMac => "verify-mac",
            Self::DeriveSharedSecret => "derive-shared-secret",
            Self::DeriveRawSecret => "derive-raw-secret",
            Self::GenerateRandom => "generate-random",
            Self::ListBackends => "list-backends",
            Self::GetBackend => "get-backend",
            Self::TestPermissions => "test-permissions",
            Self::GetServerInfo => "get-server-info",
            Self::DescribeApi => "describe-api",
            Self::FindOrphans => "find-orphans",
            Self::Sweep => "sweep",
            Self::DestroyKey => "destroy-key",
        }
    }

    /// Whether it changes what is kept: such an action is recorded before it is
    /// begun, and is finished even when its caller hangs up.
    #[must_use]
    pub const fn mutates(self) -> bool {
        match self {
            Self::CreateKey
            | Self::AdoptKey
            | Self::RotateKey
            | Self::UpdateKey
            | Self::SetKeyLabels
            | Self::LowerMinVersion
            | Self::EnableKey
            | Self::DisableKey
            | Self::RestoreKey
            | Self::MarkKeyCompromised
            | Self::ScheduleKeyDestruction
            | Self::SetPrimaryVersion
            | Self::CreateImportJob
            | Self::ImportKey
            | Self::ImportKeyPlain
            | Self::Sweep
            | Self::DestroyKey => true,
            Self::GetKey
            | Self::GetPublicKey
            | Self::ListKeys
            | Self::GetImportJob
            | Self::CreateCsr
            | Self::SignMessage
            | Self::RaisePriority
            | Self::VerifySignature
            | Self::VerifyCompromised
            | Self::Encrypt
            | Self::Decrypt
            | Self::DecryptCompromised
            | Self::ReEncryptFrom
            | Self::ReEncryptTo
            | Self::GenerateDataKey
            | Self::GenerateDataKeyPlaintext
            | Self::GenerateDataKeyWrapped
            | Self::GenerateMac
            | Self::VerifyMac
            | Self::DeriveSharedSecret
            | Self::DeriveRawSecret
            | Self::GenerateRandom
            | Self::ListBackends
            | Self::GetBackend
            | Self::TestPermissions
            | Self::GetServerInfo
            | Self::DescribeApi
            | Self::FindOrphans => false,
        }
    }

    /// What it is done to.
    #[must_use]
    pub const fn target(self) -> Target {
        match self {
            Self::CreateKey
            | Self::GetKey
            | Self::GetPublicKey
            | Self::RotateKey
            | Self::UpdateKey
            | Self::SetKeyLabels
            | Self::LowerMinVersion
            | Self::EnableKey
            | Self::DisableKey
            | Self::RestoreKey
            | Self::MarkKeyCompromised
            | Self::ScheduleKeyDestruction
            | Self::SetPrimaryVersion
            | Self::ImportKey
            | Self::ImportKeyPlain
            | Self::CreateCsr
            | Self::SignMessage
            | Self::RaisePriority
            | Self::VerifySignature
            | Self::VerifyCompromised
            | Self::Encrypt
            | Self::Decrypt
            | Self::DecryptCompromised
            | Self::ReEncryptFrom
            | Self::ReEncryptTo
            | Self::GenerateDataKey
            | Self::GenerateDataKeyPlaintext
            | Self::GenerateDataKeyWrapped
            | Self::GenerateMac
            | Self::VerifyMac
            | Self::DeriveSharedSecret
            | Self::DeriveRawSecret => Target::Key,
            Self::AdoptKey
            | Self::ListKeys
            | Self::CreateImportJob
            | Self::GetImportJob
            | Self::ListBackends
            | Self::GetBackend
            | Self::TestPermissions
            | Self::GetServerInfo
            | Self::GenerateRandom
            | Self::DescribeApi => Target::Gateway,
            Self::FindOrphans | Self::Sweep | Self::DestroyKey => Target::Nothing,
        }
    }
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A key.
    Key,
    /// The gateway as a whole.
    Gateway,
    /// Nothing that anybody can ask for: the gateway's own housekeeping.
    Nothing,
}
