//! A caller, as everything behind the front door sees it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use skms_backend::Flow;

/// How a caller proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// It reached a socket that only this machine can reach.
    Local,
    /// It is the gateway itself, doing what nobody asked it for.
    Gateway,
}

impl Method {
    /// The name in audit records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gateway => "gateway",
        }
    }
}

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    subject: Arc<str>,
    method: Method,
}

impl Caller {
    /// Whoever can reach a socket of this machine. All of them are one caller.
    #[must_use]
    pub(crate) fn local() -> Self {
        Self { subject: "local".into(), method: Method::Local }
    }

    /// The gateway itself.
    #[must_use]
    pub(crate) fn gateway() -> Self {
        Self { subject: "gateway".into(), method: Method::Gateway }
    }

    /// Who it is: the owner of what it creates, the scope of its request ids.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// How it proved that.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whose work its calls are, for queues that know no names.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let mut hasher = DefaultHasher::new();
        self.subject.hash(&mut hasher);
        Flow(hasher.finish())
    }
}
