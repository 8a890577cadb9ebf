//! Keys that were made elsewhere: import jobs, and making a key or a version of what
//! comes wrapped under one, or in the clear.
//!
//! | read | for |
//! |---|---|
//! | `job` | the key pairs under which material is wrapped |
//! | `source` | where the material of a version comes from |
//! | `unwrap` | how wrapped material becomes material |
//!
//! **Invariant:** material in the clear is in a [`Secret`](skms_backend::Secret) and
//! nowhere else: no error, no record and no line of the log has any of it.
//!
//! **Invariant:** whatever is wrong with material is one error, and what is wrong within
//! its wrapping takes no way of its own.

mod job;
mod source;
mod unwrap;

use skms_backend::KeyType;

pub(super) use self::source::{Points, Source};
pub use self::{
    job::{CreateImportJob, ImportJobShown},
    source::{Material, Wrapped},
};
use super::{Call, Create, Error, Keyring, Rotate, Shown};

/// What to make of material.
pub enum Import {
    /// A key of its own.
    Key(Create),
    /// A new version of a key that is there.
    Version {
        /// Which key, and what is believed of it.
        rotate: Rotate,
        /// The type that its caller believes it to have; `None`: any.
        key_type: Option<KeyType>,
    },
}

impl Keyring {
    /// Makes a key, or a new version of one, of material that was made elsewhere. Material
    /// in the clear takes a permission more.
    ///
    /// # Errors
    /// As [`Self::create`] and [`Self::rotate`]; [`Error::MaterialInvalid`] for everything
    /// that is wrong with the material; there is no such import job of this caller, or its
    /// time is over.
    pub async fn import(&self, call: &Call, request: Import, material: Material) -> Result<Shown, Error> {
        match request {
            Import::Key(create) => self.make(call, create, Source::Imported(material, None)).await,
            Import::Version { rotate, key_type } => {
                self.renew(call, rotate, Source::Imported(material, key_type)).await
            }
        }
    }
}
