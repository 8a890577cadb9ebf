//! Where the material of a version comes from, and what differs by that.

use bytes::Bytes;
use skms_backend::{KeyType, Secret};

use crate::{
    gate::{Permit, Subject, Work},
    keys::{Call, Error, Keyring},
    model::{Action, Key, KeyId, Origin, Reason},
};

/// Material that was made elsewhere: PKCS#8 for a key pair, the bare bytes for a secret key.
pub enum Material {
    /// Wrapped on its way.
    Wrapped(Wrapped),
    /// In the clear.
    Plain(Secret),
}

/// Wrapped material.
#[derive(Clone, Debug)]
pub struct Wrapped {
    /// The job under which it was wrapped.
    pub job: KeyId,
    /// What the method of the job made of it.
    pub ciphertext: Bytes,
}

/// Where the material of a version comes from.
pub(in crate::keys) enum Source {
    /// The device makes it.
    Generated,
    /// Its caller brings it, for a key of this type where it says so.
    Imported(Material, Option<KeyType>),
}

/// The failpoints of a call that makes a version.
pub(in crate::keys) struct Points {
    pub(in crate::keys) intent_written: &'static str,
    pub(in crate::keys) material_made: &'static str,
    pub(in crate::keys) activated: &'static str,
}

const IMPORT: Points = Points {
    intent_written: "import-key.intent-written",
    material_made: "import-key.material-made",
    activated: "import-key.activated",
};

impl Source {
    /// What is asked of the policies, where `generated` is it for a generated key.
    pub(in crate::keys) const fn action(&self, generated: Action) -> Action {
        match self {
            Self::Generated => generated,
            Self::Imported(..) => Action::ImportKey,
        }
    }

    /// What else is asked of them.
    pub(in crate::keys) fn also(&self, subject: &Subject) -> Vec<(Action, Subject)> {
        match self {
            Self::Imported(Material::Plain(_), _) => vec![(Action::ImportKeyPlain, subject.clone())],
            Self::Generated | Self::Imported(Material::Wrapped(_), _) => Vec::new(),
        }
    }

    pub(in crate::keys) const fn origin(&self) -> Origin {
        match self {
            Self::Generated => Origin::Generated,
            Self::Imported(..) => Origin::Imported,
        }
    }

    /// What the device is to do.
    pub(in crate::keys) const fn work(&self) -> Work {
        match self {
            Self::Generated => Work::Generate,
            Self::Imported(..) => Work::Import,
        }
    }

    /// The failpoints, where `generated` are those for a generated key.
    pub(in crate::keys) const fn points(&self, generated: Points) -> Points {
        match self {
            Self::Generated => generated,
            Self::Imported(..) => IMPORT,
        }
    }

    /// Whether the next version of this key may come from here.
    pub(in crate::keys) fn fits(&self, key: &Key) -> Result<(), Error> {
        match self {
            Self::Generated if key.import_only => Err(Error::RotationNotSupported { key: key.id.clone() }),
            Self::Imported(_, Some(key_type)) if *key_type != key.key_type => {
                let why = format!("the key is of type {}", key.key_type);
                Err(Error::invalid("key_type", Reason::FieldInvalid, why))
            }
            // Who imports knows what it imports, and must not put it in the place of what
            // nobody knows.
            Self::Imported(..) if !key.takes_imports() => {
                let why = "the gateway made this key; only one that was imported takes another import";
                Err(Error::invalid("new_version", Reason::FieldInvalid, why))
            }
            Self::Generated | Self::Imported(..) => Ok(()),
        }
    }
}

impl Keyring {
    /// Whether the source could be used, without using it.
    pub(in crate::keys) fn check_source(&self, call: &Call, source: &Source) -> Result<(), Error> {
        match source {
            Source::Imported(Material::Wrapped(wrapped), _) => {
                self.usable_job(&call.caller, &wrapped.job).map(drop)
            }
            Source::Generated | Source::Imported(Material::Plain(_), _) => Ok(()),
        }
    }

    /// The material in the clear; `None` where the device is to make it.
    pub(in crate::keys) async fn material(
        &self,
        permit: &Permit,
        call: &Call,
        source: Source,
    ) -> Result<Option<Secret>, Error> {
        match source {
            Source::Generated => Ok(None),
            Source::Imported(Material::Plain(material), _) => Ok(Some(material)),
            Source::Imported(Material::Wrapped(wrapped), _) => {
                self.unwrapped(permit, call, &wrapped).await.map(Some)
            }
        }
    }
}
