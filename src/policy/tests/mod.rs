//! What policies allow, what is refused of them, and what is remembered.

mod look_alikes;
mod matrix;
mod reload;
mod shipped;
mod steps;
mod written;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use skms_backend::{KeyType, ProtectionLevel, SignatureAlgorithm};
use tempfile::TempDir;

use super::{Config, Decision, Error, Policies, Resource};
use crate::{
    auth::Caller,
    model::{Action, Key, Labels, Origin, Purpose, State, Version},
};

/// A directory of policies.
struct Directory(TempDir);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            directory.write(name, text);
        }
        directory
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    fn load(&self) -> Result<Policies, Error> {
        load(self.path())
    }

    /// What is said about it, without its path.
    fn complaint(&self) -> String {
        let Err(error) = self.load() else { panic!("the policies were taken") };
        self.shortened(&error)
    }

    fn shortened(&self, error: &Error) -> String {
        let path = format!("{}/", self.path().display());
        error.to_string().replace(&path, "").replace(&self.path().display().to_string(), "DIRECTORY")
    }
}

fn load(directory: &Path) -> Result<Policies, Error> {
    Policies::load(&Config { directory: directory.to_owned() })
}

/// Policies of one file, `a.cedar`.
fn policies(text: &str) -> Policies {
    Directory::new(&[("a.cedar", text)]).load().unwrap_or_else(|error| panic!("{error}"))
}

/// The policies that are shipped.
fn shipped() -> Policies {
    load(&shipped_directory()).unwrap_or_else(|error| panic!("{error}"))
}

fn shipped_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/policies")
}

/// Every state of a sample key has its own, as in the catalog: what is remembered of one
/// must not be taken for another.
fn revision() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// An enabled key in an HSM, of `corp/keeper`.
fn key(id: &str) -> Key {
    let now = SystemTime::UNIX_EPOCH;
    let version = Version {
        number: 1,
        state: State::Enabled,
        backend: "hsm".parse().unwrap(),
        protection_level: ProtectionLevel::Hsm,
        origin: Origin::Generated,
        key: None,
        public_key: None,
        check_value: None,
        operations: 0,
        created: now,
        generated: Some(now),
        compromised: None,
        destroys: None,
        destroyed: None,
    };
    Key {
        id: id.parse().unwrap(),
        key_type: KeyType::EcP256,
        purpose: Purpose::SignVerify,
        uid: uuid::Uuid::new_v4(),
        signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256],
        encryption_algorithms: Vec::new(),
        protection_floor: None,
        backend: "hsm".parse().unwrap(),
        labels: Labels::new(),
        aliases: Vec::new(),
        description: String::new(),
        import_only: false,
        owner: "corp/keeper".to_owned(),
        tenant: None,
        not_before: None,
        expires: None,
        max_operations: None,
        expiry_warned: None,
        destroy_after: Duration::ZERO,
        rotation_period: None,
        next_rotation: None,
        primary: 1,
        min_protect: 0,
        min_process: 0,
        revision: revision(),
        created: now,
        updated: now,
        versions: vec![Arc::new(version)],
    }
}

fn of_tenant(key: Key, tenant: &str) -> Key {
    Key { tenant: Some(tenant.to_owned()), revision: revision(), ..key }
}

fn labelled(key: Key, name: &str, value: &str) -> Key {
    Key { labels: [(name.to_owned(), value.to_owned())].into(), revision: revision(), ..key }
}

fn in_state(mut key: Key, state: State) -> Key {
    key.revision = revision();
    for version in &mut key.versions {
        Arc::make_mut(version).state = state;
    }
    key
}

/// A key that is still to be made.
fn proposed(key: Key) -> Key {
    Key { revision: 0, versions: Vec::new(), ..key }
}

fn sign(policies: &Policies, caller: &Caller, key: &Key) -> Decision {
    policies.decide(caller, Action::SignMessage, Resource::Key(key))
}

fn ids(decision: &Decision) -> Vec<&str> {
    decision.policies.iter().map(AsRef::as_ref).collect()
}
