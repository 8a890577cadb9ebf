//! What comes back from a backup, what does not, and what stays as it is.

use std::path::PathBuf;

use rusqlite::Connection;

use super::*;
use crate::{catalog::store::Store, model::Anchor};

/// The database of a backup, made as it is now.
fn kept(shelf: &Shelf) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept.db");
    std::fs::copy(Snapshot::of(&shelf.config().path).unwrap().file(), &path).unwrap();
    (directory, path)
}

/// Puts versions, `ID.NUMBER`, into other states. No gateway has the catalog open.
fn set(shelf: &Shelf, states: &[(&str, State)]) {
    let database = Connection::open(shelf.config().path).unwrap();
    for (name, state) in states {
        let wiped = if *state == State::Destroyed { ", tag = NULL, blob = NULL" } else { "" };
        let sql = format!("UPDATE versions SET state = ?2{wiped} WHERE key_id || '.' || number = ?1");
        assert_eq!(database.execute(&sql, [*name, state.name()]).unwrap(), 1, "{name}");
    }
}

fn ask<T: rusqlite::types::FromSql>(shelf: &Shelf, sql: &str) -> T {
    Connection::open(shelf.config().path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn bring(shelf: &Shelf, kept: &(TempDir, PathBuf), place: RestorePlace) -> Result<Restored, RestoreError> {
    restore(&shelf.config().path, &kept.1, place, &[])
}

/// A key of a device that encrypts.
fn encrypting(name: &str) -> Key {
    Key { key_type: KeyType::Aes256, purpose: Purpose::EncryptDecrypt, ..key(name) }
}

async fn create_on_device(catalog: &Catalog, name: &str) -> KeyTag {
    let tag = newest(&*begin(catalog, encrypting(name)).await);
    let check = skms_backend::CheckValue([1; skms_backend::CheckValue::BYTES]);
    let made = GeneratedKey { pin: Pin::Secret(check), blob: Bytes::new() };
    catalog.activate(id(name), tag, made, true, Expected::default()).await.unwrap();
    tag
}

const MOST: u64 = 1 << 32;

#[tokio::test]
async fn into_an_empty_place_comes_everything_and_no_counter_goes_on() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, named("a", &["b"])).await;
    let used = create_on_device(&catalog, "used").await;
    let unused = create_on_device(&catalog, "unused").await;
    let limited = Key { max_operations: NonZeroU64::new(1000), ..key("limited") };
    let limited = newest(&*create(&catalog, limited).await);
    assert_eq!(catalog.reserve_nonces(used, 10, MOST).await.unwrap(), 0..10);
    let pending = newest(&*begin(&catalog, key("pending")).await);
    let anchor = Anchor {
        sequence: 7,
        hash: [7; 32],
        key: "key".to_owned(),
        signature: vec![1],
        time: SystemTime::UNIX_EPOCH,
    };
    catalog.keep_anchor(&anchor).unwrap();
    // While the catalog is open.
    let kept = kept(&shelf);
    let (instance, revision) = (catalog.instance(), ask_open(&catalog, "SELECT revision FROM catalog"));
    drop(catalog);

    let place = Shelf::new();
    let restored = bring(&place, &kept, RestorePlace::Empty).unwrap();
    let to_rotate = ["limited", "unused", "used"].map(str::to_owned).to_vec();
    assert_eq!((restored.keys, restored.to_rotate), (4, to_rotate));
    assert!(ask::<i64>(&place, "SELECT revision FROM catalog") > revision);
    let catalog = place.open();
    assert_eq!(catalog.instance(), instance);
    assert_eq!(catalog.lookup(&id("b")).unwrap().id, id("a"));
    assert!(catalog.lookup(&id("pending")).is_none() && catalog.intents().is_empty());
    assert_eq!(catalog.withdrawn().await.unwrap(), BTreeSet::from([pending]));
    assert_eq!(catalog.last_anchor().unwrap(), Some(anchor));
    for tag in [used, unused] {
        assert!(catalog.reserve_nonces(tag, 10, MOST).await.unwrap().is_empty());
    }
    assert!(catalog.reserve_operations(limited, 1).await.unwrap().is_empty());
    // Nothing but the catalog is there, and it is the owner's alone.
    drop(catalog);
    let left = std::fs::read_dir(place.config().path.parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".skms")), "{left:?}");
}

fn ask_open(catalog: &Catalog, sql: &str) -> i64 {
    catalog.store.lock().connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_catalog_that_is_there_is_left_alone_unless_it_may_be_replaced() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("a")).await;
    let kept = kept(&shelf);
    let refused = bring(&shelf, &kept, RestorePlace::MaybeTaken);
    assert!(matches!(refused, Err(RestoreError::Catalog(Error::InUse { .. }))), "{refused:?}");
    drop(catalog);
    let refused = bring(&shelf, &kept, RestorePlace::Empty);
    assert!(matches!(refused, Err(RestoreError::Taken { .. })), "{refused:?}");

    // Another one that holds keys marks other keys on devices.
    let other = Shelf::new();
    create(&other.open(), key("b")).await;
    let refused = bring(&other, &kept, RestorePlace::MaybeTaken);
    assert!(matches!(refused, Err(RestoreError::OtherInstance)), "{refused:?}");
    assert!(other.open().lookup(&id("a")).is_none());
    // One that was only just made does not.
    let other = Shelf::new();
    drop(other.open());
    assert_eq!(bring(&other, &kept, RestorePlace::MaybeTaken).unwrap().keys, 1);
    assert_eq!(other.open().instance(), shelf.open().instance());
}

/// Every state there, against every state in the backup.
#[tokio::test]
async fn of_two_states_the_worse_one_counts() {
    use State::{Compromised, DestroyScheduled, Destroyed, Disabled, Enabled};
    let order = [Enabled, Disabled, Compromised, DestroyScheduled, Destroyed];
    let shelf = Shelf::new();
    let catalog = shelf.open();
    for there in 0..order.len() {
        for then in 0..order.len() {
            create(&catalog, key(&format!("k{there}{then}"))).await;
        }
    }
    drop(catalog);
    let names: Vec<_> = (0..25).map(|at| (format!("k{}{}.1", at / 5, at % 5), at / 5, at % 5)).collect();
    let states = |pick: &dyn Fn(usize, usize) -> usize| -> Vec<_> {
        names.iter().map(|(name, there, then)| (name.as_str(), order[pick(*there, *then)])).collect()
    };
    let enabled = std::fs::read(shelf.config().path).unwrap();
    set(&shelf, &states(&|_, then| then));
    let kept = kept(&shelf);
    std::fs::write(shelf.config().path, enabled).unwrap();
    set(&shelf, &states(&|there, _| there));
    let restored = bring(&shelf, &kept, RestorePlace::MaybeTaken).unwrap();
    assert_eq!(restored.worse.len(), 10, "{:?}", restored.worse);
    assert!(restored.worse.contains(&"k40.1 destroyed".to_owned()), "{:?}", restored.worse);
    let catalog = shelf.open();
    for (name, there, then) in &names {
        let expected = order[*there.max(then)];
        assert_eq!(state(&catalog, name.split('.').next().unwrap()), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn what_the_backup_has_never_heard_of_is_kept() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, named("a", &["alias"])).await;
    // Its second version is made behind the back of the backup.
    let tag = newest(&*begin_version(&catalog, "a").await);
    let kept = kept(&shelf);
    catalog.activate(id("a"), tag, made(2), true, Expected::default()).await.unwrap();
    create(&catalog, key("new")).await;
    let nonces = create_on_device(&catalog, "counting").await;
    catalog.reserve_nonces(nonces, 10, MOST).await.unwrap();
    let change = Amendment::Said(Change { description: Some("changed".to_owned()), ..Change::default() });
    catalog.amend(id("a"), change, Expected::default(), None).await.unwrap();
    let anchor = Anchor {
        sequence: 1,
        hash: [7; 32],
        key: "key".to_owned(),
        signature: vec![1],
        time: SystemTime::UNIX_EPOCH,
    };
    catalog.keep_anchor(&anchor).unwrap();
    let etag = catalog.lookup(&id("a")).unwrap().etag();
    drop(catalog);

    let restored = bring(&shelf, &kept, RestorePlace::MaybeTaken).unwrap();
    assert_eq!(restored.kept, ["a.2", "counting", "new"].map(str::to_owned)[1..], "the backup knows of a.2");
    let catalog = shelf.open();
    let key = catalog.lookup(&id("alias")).unwrap();
    assert_eq!((key.latest(), key.primary, key.state()), (2, 2, State::Enabled));
    assert_eq!(key.description, "a key");
    assert_ne!(key.etag(), etag);
    assert!(catalog.withdrawn().await.unwrap().is_empty());
    assert_eq!(catalog.last_anchor().unwrap(), Some(anchor));
    // Of what was never taken back, the counter goes on.
    assert_eq!(catalog.reserve_nonces(nonces, 10, MOST).await.unwrap(), 10..20);
}

#[tokio::test]
async fn contradictions_are_listed_and_nothing_is_changed() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    for name in ["a", "b"] {
        create(&catalog, key(name)).await;
    }
    create(&catalog, named("c", &["d"])).await;
    drop(catalog);
    let kept = kept(&shelf);
    let database = Connection::open(shelf.config().path).unwrap();
    database
        .execute_batch(
            "UPDATE keys SET uid = randomblob(16) WHERE id = 'a';
             UPDATE versions SET tag = randomblob(16) WHERE key_id = 'b';
             DELETE FROM keys WHERE id = 'c'; DELETE FROM aliases; DELETE FROM versions WHERE key_id = 'c';",
        )
        .unwrap();
    drop(database);
    let catalog = shelf.open();
    create(&catalog, key("d")).await;
    let before = all(&catalog);
    drop(catalog);
    let refused = bring(&shelf, &kept, RestorePlace::MaybeTaken);
    let Err(RestoreError::Conflicts(conflicts)) = refused else { panic!("{refused:?}") };
    assert_eq!(conflicts, ["two keys `a`", "two meanings of `d`", "two versions `b.1`"]);
    let rounded = |text: &str| text.lines().filter(|line| !line.contains("tv_nsec")).collect::<String>();
    assert_eq!(rounded(&all(&shelf.open())), rounded(&before));
}

/// A table that is new must be decided on in `restore/merge.rs`, and then be named here.
#[test]
fn every_table_is_brought_back_or_left_on_purpose() {
    let shelf = Shelf::new();
    let store = Store::open(&shelf.config().path).unwrap();
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let mut statement = store.connection().prepare(sql).unwrap();
    let tables: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let decided = [
        "aliases",
        "audit_anchors",
        "catalog",
        "changes",
        "import_jobs",
        "keys",
        "nonces",
        "requests",
        "versions",
        "withdrawn",
    ];
    let undecided: Vec<_> = tables.iter().filter(|table| !decided.contains(&table.as_str())).collect();
    assert!(undecided.is_empty(), "{undecided:?}");
}
