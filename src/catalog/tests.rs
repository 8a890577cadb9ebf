//! The promises of the catalog, through its public functions and real files.

mod anchors;
mod disk;
mod home;
mod lifecycle;
mod requests;
mod restore;
mod rotation;

use std::{collections::BTreeMap, num::NonZeroU64, sync::Arc, time::Duration};

use bytes::Bytes;
use skms_backend::{KeyRef, KeyType, Pin, ProtectionLevel, PublicKey, SignatureAlgorithm};
use tempfile::TempDir;

use super::*;
use crate::model::{Origin, Purpose, State};

/// A catalog in a directory of its own.
struct Shelf {
    directory: TempDir,
}

impl Shelf {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config {
        Config { path: self.directory.path().join("below").join("catalog.db"), ..Config::default() }
    }

    fn open(&self) -> Catalog {
        Catalog::open(&self.config()).unwrap()
    }
}

fn id(name: &str) -> KeyId {
    name.parse().unwrap()
}

fn version() -> Version {
    let tag = KeyTag::random().unwrap();
    Version {
        number: 1,
        state: State::PendingGeneration,
        backend: "hsm".parse().unwrap(),
        protection_level: ProtectionLevel::Hsm,
        origin: Origin::Generated,
        key: Some(KeyRef { tag, key_type: KeyType::EcP256, blob: Bytes::new(), pin: None }),
        public_key: None,
        check_value: None,
        operations: 0,
        created: SystemTime::now(),
        generated: None,
        compromised: None,
        destroys: None,
        destroyed: None,
    }
}

/// A key with one version, about to be made.
fn key(name: &str) -> Key {
    let now = SystemTime::now();
    Key {
        id: id(name),
        key_type: KeyType::EcP256,
        purpose: Purpose::SignVerify,
        uid: Uuid::new_v4(),
        signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256],
        encryption_algorithms: Vec::new(),
        protection_floor: Some(ProtectionLevel::Hsm),
        backend: "hsm".parse().unwrap(),
        labels: BTreeMap::from([("team".to_owned(), "payments".to_owned())]),
        aliases: Vec::new(),
        description: "a key".to_owned(),
        import_only: false,
        owner: "local".to_owned(),
        tenant: None,
        not_before: Some(now),
        expires: None,
        max_operations: None,
        expiry_warned: None,
        destroy_after: Duration::from_secs(86_400),
        rotation_period: None,
        next_rotation: None,
        primary: 0,
        min_protect: 0,
        min_process: 0,
        revision: 0,
        created: now,
        updated: now,
        versions: vec![Arc::new(version())],
    }
}

fn named(name: &str, aliases: &[&str]) -> Key {
    Key { aliases: aliases.iter().map(|alias| id(alias)).collect(), ..key(name) }
}

/// What a device gives back; every one is another.
fn made(blob: u8) -> GeneratedKey {
    GeneratedKey {
        pin: Pin::Public(PublicKey::from_stored(KeyType::EcP256, Bytes::from(vec![blob; 91]))),
        blob: Bytes::from(vec![blob; 3]),
    }
}

fn tag_of(version: &Version) -> KeyTag {
    version.key.as_ref().unwrap().tag
}

fn new(begun: Begun) -> Arc<Key> {
    match begun {
        Begun::New(key) => key,
        Begun::Repeated(key) => panic!("a repeated answer for {}", key.id),
    }
}

/// The tag of the newest version.
fn newest(key: &Key) -> KeyTag {
    tag_of(key.versions.last().unwrap())
}

async fn begin(catalog: &Catalog, key: Key) -> Arc<Key> {
    new(catalog.begin_create(key, None).await.unwrap())
}

async fn begin_version(catalog: &Catalog, name: &str) -> Arc<Key> {
    new(catalog.begin_rotate(id(name), version(), Expected::default(), None).await.unwrap())
}

/// A key that is in use.
async fn create(catalog: &Catalog, key: Key) -> Arc<Key> {
    let key = begin(catalog, key).await;
    catalog.activate(key.id.clone(), newest(&key), made(1), true, Expected::default()).await.unwrap()
}

/// Everything that the view holds, to be compared.
fn all(catalog: &Catalog) -> String {
    let (keys, more) = catalog.page(Order::default(), None, usize::MAX, |_| true);
    assert!(!more);
    format!("{keys:#?}")
}

fn state(catalog: &Catalog, name: &str) -> Option<State> {
    catalog.lookup(&id(name)).map(|key| key.state())
}

#[tokio::test]
async fn a_key_is_an_intent_until_it_is_activated() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = begin(&catalog, key("payroll")).await;
    assert_eq!((begun.primary, begun.latest(), begun.state()), (0, 1, State::PendingGeneration));
    let tag = newest(&begun);
    let intents = catalog.intents();
    assert_eq!(intents.iter().map(|(_, version)| tag_of(version)).collect::<Vec<_>>(), [tag]);

    let made = made(7);
    let active = catalog.activate(id("payroll"), tag, made.clone(), true, Expected::default()).await.unwrap();
    assert_eq!((active.primary, active.latest(), active.state()), (1, 1, State::Enabled));
    let version = active.version(0).unwrap();
    assert_eq!(version.public_key.as_ref(), made.pin.public_key());
    assert_eq!(version.key.as_ref().unwrap().blob, made.blob);
    assert!(version.generated.is_some());
    assert!(catalog.intents().is_empty());
    assert_eq!(catalog.tags(), BTreeSet::from([tag]));
    assert_eq!(catalog.lookup(&id("payroll")).unwrap().etag(), active.etag());
    assert_ne!(active.etag(), begun.etag());
}

#[tokio::test]
async fn an_abandoned_key_is_forgotten_and_its_tag_is_kept() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = begin(&catalog, named("payroll", &["wages"])).await;
    let tag = newest(&begun);
    assert!(catalog.abandon(id("payroll"), tag).await.unwrap());
    assert!(catalog.lookup(&id("payroll")).is_none());
    assert!(catalog.lookup(&id("wages")).is_none());
    assert!(catalog.intents().is_empty());
    assert_eq!(catalog.withdrawn().await.unwrap(), BTreeSet::from([tag]));
    assert!(!catalog.abandon(id("payroll"), tag).await.unwrap(), "there is nothing left to give up");

    // Whoever still works on it is told, and both names are free.
    let late = catalog.activate(id("payroll"), tag, made(1), true, Expected::default()).await;
    assert!(matches!(late, Err(Error::KeyMissing)));
    let again = create(&catalog, named("payroll", &["wages"])).await;
    assert_eq!(catalog.lookup(&id("wages")).unwrap().id, again.id);
}

#[tokio::test]
async fn an_abandoned_rotation_leaves_the_key_as_it_was() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let before = create(&catalog, key("payroll")).await;
    let begun = begin_version(&catalog, "payroll").await;
    assert_eq!((begun.primary, begun.latest()), (1, 2));
    assert_eq!(begun.etag(), before.etag(), "an intent is no change that a client could have seen");
    assert!(catalog.abandon(id("payroll"), newest(&begun)).await.unwrap());
    let after = catalog.lookup(&id("payroll")).unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
}

#[tokio::test]
async fn what_is_in_use_cannot_be_abandoned() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let active = create(&catalog, key("payroll")).await;
    assert!(!catalog.abandon(id("payroll"), newest(&active)).await.unwrap());
    assert_eq!(state(&catalog, "payroll"), Some(State::Enabled));
    assert!(catalog.withdrawn().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_late_abandon_does_not_meet_the_next_version_of_the_same_number() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("payroll")).await;
    let first = newest(&*begin_version(&catalog, "payroll").await);
    assert!(catalog.abandon(id("payroll"), first).await.unwrap());
    let second = begin_version(&catalog, "payroll").await;
    assert_eq!(second.latest(), 2);
    assert!(!catalog.abandon(id("payroll"), first).await.unwrap());
    let late = catalog.activate(id("payroll"), first, made(3), true, Expected::default()).await;
    assert!(matches!(late, Err(Error::KeyMissing)));
    let tag = newest(&second);
    let active = catalog.activate(id("payroll"), tag, made(4), true, Expected::default()).await.unwrap();
    assert_eq!(active.primary, 2);
}

#[tokio::test]
async fn ids_and_aliases_share_one_namespace() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, named("a", &["b", "c"])).await;
    for (name, aliases, wanted) in [
        ("a", vec![], "there is already a key `a`"),
        ("b", vec![], "`b` is already an alias"),
        ("d", vec!["a"], "there is already a key `a`"),
        ("d", vec!["c"], "`c` is already an alias"),
    ] {
        let Err(error) = catalog.begin_create(named(name, &aliases), None).await else {
            panic!("{name} {aliases:?}")
        };
        assert_eq!(error.to_string(), wanted);
    }
    // A pending key holds its names, too.
    begin(&catalog, named("e", &["f"])).await;
    assert!(matches!(catalog.begin_create(key("f"), None).await, Err(Error::AliasInUse(_))));
    assert!(matches!(catalog.begin_create(key("e"), None).await, Err(Error::KeyExists(_))));
    assert_eq!(catalog.lookup(&id("c")).unwrap().id, id("a"));
    assert!(catalog.lookup(&id("d")).is_none());
}

#[tokio::test]
async fn pages_are_whole_in_order_and_filtered() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    for name in ["c", "a", "e", "b", "d"] {
        create(&catalog, named(name, &[&format!("0-{name}")])).await;
    }
    let order = Order::default();
    let place = |name| Place { millis: 0, id: id(name) };
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let (page, more) = catalog.page(order, after.as_ref(), 2, |key| key.id != id("b"));
        assert!(page.len() == 2 || !more);
        seen.extend(page.iter().map(|key| key.id.to_string()));
        after = page.last().map(|key| Place::of(key, order.by));
        if !more {
            break;
        }
    }
    assert_eq!(seen, ["a", "c", "d", "e"]);
    // A key that went meanwhile is a place to go on from all the same.
    let (page, more) = catalog.page(order, Some(&place("cc")), 9, |_| true);
    assert_eq!((page.len(), more), (2, false));
    assert_eq!(catalog.page(order, Some(&place("e")), 9, |_| true).0.len(), 0);
    assert!(catalog.page(order, None, 0, |_| true).1, "an empty page of keys that are there");
}
