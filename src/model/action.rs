//! What a caller can ask for: one action per RPC, and the one list of them.

/// An action that is decided, recorded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Make a key.
    CreateKey,
    /// See a key.
    GetKey,
    /// List keys.
    ListKeys,
    /// Make a new version of a key.
    RotateKey,
    /// Sign with a key.
    SignMessage,
    /// Check a signature.
    VerifySignature,
    /// See the backends.
    ListBackends,
    /// See one backend.
    GetBackend,
    /// See the gateway.
    GetServerInfo,
    /// Look on devices for keys that the catalog does not know. The gateway's own.
    FindOrphans,
    /// Remove what a crash left half made. The gateway's own.
    Sweep,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::CreateKey,
        Self::GetKey,
        Self::ListKeys,
        Self::RotateKey,
        Self::SignMessage,
        Self::VerifySignature,
        Self::ListBackends,
        Self::GetBackend,
        Self::GetServerInfo,
        Self::FindOrphans,
        Self::Sweep,
    ];

    /// The name in audit records and policies.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateKey => "create-key",
            Self::GetKey => "get-key",
            Self::ListKeys => "list-keys",
            Self::RotateKey => "rotate-key",
            Self::SignMessage => "sign-message",
            Self::VerifySignature => "verify-signature",
            Self::ListBackends => "list-backends",
            Self::GetBackend => "get-backend",
            Self::GetServerInfo => "get-server-info",
            Self::FindOrphans => "find-orphans",
            Self::Sweep => "sweep",
        }
    }

    /// Whether it changes what is kept: such an action is recorded before it is
    /// begun, and is finished even when its caller hangs up.
    #[must_use]
    pub const fn mutates(self) -> bool {
        match self {
            Self::CreateKey | Self::RotateKey | Self::Sweep => true,
            Self::GetKey
            | Self::ListKeys
            | Self::SignMessage
            | Self::VerifySignature
            | Self::ListBackends
            | Self::GetBackend
            | Self::GetServerInfo
            | Self::FindOrphans => false,
        }
    }
}
