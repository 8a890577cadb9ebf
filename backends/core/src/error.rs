//! What can go wrong in a backend, classed by who caused it and what to do next.

use std::{error::Error as StdError, fmt, sync::Arc};

/// What a caller was doing when the device refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Opening the device, a session or a login.
    Open,
    /// A health probe.
    Probe,
    /// Making a key.
    Generate,
    /// Looking for keys.
    Find,
    /// Removing a key.
    Destroy,
    /// Signing.
    Sign,
    /// Taking over material that was made elsewhere.
    Import,
    /// Encrypting.
    Encrypt,
    /// Decrypting.
    Decrypt,
    /// Making a message authentication code.
    Mac,
    /// Agreeing on a secret.
    Agree,
    /// Giving random bytes.
    Random,
    /// Attesting a key.
    Attest,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Probe,
        Self::Generate,
        Self::Find,
        Self::Destroy,
        Self::Sign,
        Self::Import,
        Self::Encrypt,
        Self::Decrypt,
        Self::Mac,
        Self::Agree,
        Self::Random,
        Self::Attest,
    ];

    /// A word for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Probe => "probe",
            Self::Generate => "generate",
            Self::Find => "find",
            Self::Destroy => "destroy",
            Self::Sign => "sign",
            Self::Import => "import",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::Mac => "mac",
            Self::Agree => "agree",
            Self::Random => "random",
            Self::Attest => "attest",
        }
    }
}

/// Who caused an error and what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The input was bad. The device is well; the same call fails again.
    Caller,
    /// The device does not offer this.
    Unsupported,
    /// The key is not on the device, or not fit for the operation.
    Key,
    /// The device has no room for another key.
    StorageFull,
    /// The device answers sessions no more: retry on a new session.
    Session,
    /// The login is gone: log in again.
    Login,
    /// The handle of the key is stale: find the key again.
    Handle,
    /// The token or its library is gone: initialise the library again.
    Reinitialize,
    /// The device has no session, or no memory, for one more context: shrink the pool.
    Shrink,
    /// The PIN was refused. It must not be tried again until a person changed it.
    Pin,
    /// The queue in front of the device is full.
    QueueFull,
    /// The caller's deadline passed.
    Timeout,
    /// No context comes back from the device: not to be asked for a while.
    Hung,
    /// Nobody wants the answer any more.
    Cancelled,
    /// The backend was closed.
    Closed,
    /// The device, or this code, is broken in a way that no retry mends.
    Broken,
}

impl Class {
    /// Whether a device context that met such an error may serve the next call.
    #[must_use]
    pub const fn context_survives(self) -> bool {
        match self {
            Self::Unsupported
            | Self::StorageFull
            | Self::QueueFull
            | Self::Hung
            | Self::Timeout
            | Self::Cancelled
            | Self::Closed => true,
            // A refused input or handle can leave an operation active in the
            // session (PKCS#11 2.40 §11.1), to poison the next caller's.
            Self::Caller
            | Self::Key
            | Self::Session
            | Self::Login
            | Self::Handle
            | Self::Reinitialize
            | Self::Shrink
            | Self::Pin
            | Self::Broken => false,
        }
    }
}

/// An error of a backend.
///
/// `Display` says only this step; the cause is its `source`.
#[derive(Clone, Debug)]
pub struct Error {
    class: Class,
    operation: Operation,
    detail: Option<Arc<str>>,
    device_code: Option<&'static str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause of its own.
    #[must_use]
    pub const fn new(class: Class, operation: Operation) -> Self {
        Self { class, operation, detail: None, device_code: None, source: None }
    }

    /// Says more about this step, in lower case and without a full stop.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Arc<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The symbolic name of the return code, for example `CKR_DEVICE_ERROR`.
    #[must_use]
    pub const fn device_code(mut self, code: &'static str) -> Self {
        self.device_code = Some(code);
        self
    }

    /// The cause.
    #[must_use]
    pub fn source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Who caused it, and what to do next.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What was being done.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// What was said of this step besides its class.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The symbolic name of the device's return code, if a device gave one.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        self.device_code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.class {
            Class::Caller => "the device refused the input",
            Class::Unsupported => "the device does not offer this",
            Class::Key => "the key is missing on the device or not fit for this",
            Class::StorageFull => "the device has no room for another key",
            Class::Session => "the session with the device was lost",
            Class::Login => "the login to the token was lost",
            Class::Handle => "the handle of the key is stale",
            Class::Reinitialize => "the token is gone",
            Class::Shrink => "the device has no session left",
            Class::Pin => "the token refused the PIN",
            Class::QueueFull => "the queue in front of the device is full",
            Class::Timeout => "the device did not answer in time",
            Class::Hung => "the device does not come back from its calls",
            Class::Cancelled => "the call was cancelled",
            Class::Closed => "the backend is closed",
            Class::Broken => "the device failed",
        };
        write!(f, "{}: {step}", self.operation.name())?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(code) = self.device_code {
            write!(f, " ({code})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}
