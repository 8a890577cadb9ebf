//! What a key is for: one thing, kept by the TPM and bound into the key.

use skms_backend::Usage;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Sign,
    Encrypt,
    Mac,
    Agree,
}

impl Duty {
    pub(crate) const ALL: [Self; 4] = [Self::Sign, Self::Encrypt, Self::Mac, Self::Agree];

    pub(crate) const fn of(usage: &Usage) -> Self {
        match usage {
            Usage::Sign(_) => Self::Sign,
            Usage::Encrypt(_) => Self::Encrypt,
            Usage::Mac => Self::Mac,
            Usage::Agree => Self::Agree,
        }
    }

    /// How it is written into the binding of a key. Never changed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sign => "sign",
            Self::Encrypt => "encrypt",
            Self::Mac => "mac",
            Self::Agree => "agree",
        }
    }
}
