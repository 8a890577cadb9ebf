//! Giving out the public half of a key, and listing its versions.

use std::{num::NonZeroU64, sync::Arc};

use skms_backend::PublicKey;

use super::{Call, Error, Keyring, VersionFilter, known, sign::named};
use crate::model::{Action, Key, KeyId, State, Version};

/// The public half of a version.
#[derive(Clone, Debug)]
pub struct Public {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version.
    pub version: Arc<Version>,
    /// Its public key.
    pub public_key: PublicKey,
}

/// Which versions of a key to list.
#[derive(Clone, Debug)]
pub struct ListVersions {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// How many at most.
    pub limit: usize,
    /// The last version of the page before.
    pub after: Option<u32>,
    /// Which versions.
    pub filter: VersionFilter,
}

/// A page of versions.
#[derive(Debug)]
pub struct VersionPage {
    /// How often each of them may protect something.
    pub limit: Option<NonZeroU64>,
    /// The versions, the newest first.
    pub versions: Vec<Arc<Version>>,
    /// The last version of this page; `None` on the last page.
    pub next: Option<u32>,
}

impl Keyring {
    /// Gives out the public key of a version; 0 is the primary. Signatures outlive the
    /// use of their key, so that of a version which signs no more is given out, too.
    ///
    /// # Errors
    /// There is no such key or version, or no public key of it, or not any more; what
    /// the gate refuses.
    pub async fn public_key(&self, call: &Call, name: &KeyId, version: u32) -> Result<Public, Error> {
        let (found, subject) = self.find(name);
        self.gate
            .admit(call, Action::GetPublicKey, subject, move |permit| async move {
                let key = known(found)?;
                // As with every other use that a key is not for: whatever the state.
                if key.key_type.is_secret() {
                    return Err(Error::NoPublicHalf { key: key.id.clone() });
                }
                let version = Arc::clone(named(&key, version)?);
                permit.note(|facts| facts.version = Some(version.number));
                let public_key = shown(&key, &version)?.clone();
                Ok(Public { key, version, public_key })
            })
            .await
    }

    /// Lists the versions of a key. Whoever may see the key may: it shows no more of
    /// it than [`show`](Self::show) does.
    ///
    /// # Errors
    /// There is no such key; what the gate refuses.
    pub async fn list_versions(&self, call: &Call, request: ListVersions) -> Result<VersionPage, Error> {
        let (found, subject) = self.find(&request.key);
        let keyring = self.clone();
        self.gate
            .admit(call, Action::GetKey, subject, move |_| async move {
                let key = keyring.counted(known(found)?);
                let mut versions: Vec<_> = key
                    .versions
                    .iter()
                    .rev()
                    .filter(|version| request.after.is_none_or(|after| version.number < after))
                    .filter(|version| request.filter.accepts(version))
                    .take(request.limit.saturating_add(1))
                    .cloned()
                    .collect();
                let more = versions.len() > request.limit;
                versions.truncate(request.limit);
                let next = versions.last().filter(|_| more).map(|version| version.number);
                Ok(VersionPage { limit: key.max_operations, versions, next })
            })
            .await
    }
}

/// The public key of a version in a state in which it is shown.
fn shown<'a>(key: &Key, version: &'a Version) -> Result<&'a PublicKey, Error> {
    match version.state {
        State::Enabled | State::Disabled | State::Compromised | State::DestroyScheduled => version
            .public_key
            .as_ref()
            .ok_or(Error::Internal { what: "a version that was made has no public key" }),
        state @ (State::PendingGeneration
        | State::PendingImport
        | State::Destroyed
        | State::GenerationFailed
        | State::ImportFailed) => Err(Error::State { key: key.id.clone(), version: version.number, state }),
    }
}

#[cfg(test)]
mod tests {
    use skms_backend::KeyType;

    use super::*;
    use crate::{gate::Reasoned as _, model::Reason};

    #[test]
    fn every_state_shows_the_public_key_or_has_its_own_reason() {
        let point = [7; 32];
        for state in State::ALL {
            let version = Version {
                public_key: PublicKey::from_point(KeyType::X25519, &point).ok(),
                ..Version::sample(1, state)
            };
            let refused = shown(&Key::sample("key"), &version).err().map(|error| error.reason());
            let expected = match state {
                State::Enabled | State::Disabled | State::Compromised | State::DestroyScheduled => None,
                State::PendingGeneration => Some(Reason::KeyPendingGeneration),
                State::PendingImport => Some(Reason::KeyPendingImport),
                State::Destroyed | State::GenerationFailed | State::ImportFailed => {
                    Some(Reason::KeyDestroyed)
                }
            };
            assert_eq!(refused, expected, "{state:?}");
        }
    }
}
