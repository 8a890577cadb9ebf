//! What is on disk: it comes back, belongs to one gateway, and to its owner alone.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Instant};

use super::*;

#[tokio::test]
async fn what_was_written_is_read_again() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, named("a", &["x", "w"])).await;
    create(&catalog, key("b")).await;
    let tag = newest(&*begin_version(&catalog, "b").await);
    catalog.activate(id("b"), tag, made(2), true, Expected::default()).await.unwrap();
    begin_version(&catalog, "b").await;
    let gone = newest(&*begin(&catalog, key("gone")).await);
    catalog.abandon(id("gone"), gone).await.unwrap();
    begin(&catalog, key("pending")).await;
    let (before, instance, tags) = (all(&catalog), catalog.instance(), catalog.tags());
    assert_eq!(catalog.intents().len(), 2);
    drop(catalog);

    let catalog = shelf.open();
    // Times are kept in milliseconds, and what was just written shows more.
    let rounded = |text: &str| text.lines().filter(|line| !line.contains("tv_nsec")).collect::<String>();
    assert_eq!(rounded(&all(&catalog)), rounded(&before));
    assert_eq!((catalog.instance(), catalog.tags()), (instance, tags));
    assert_eq!(catalog.intents().len(), 2);
    assert_eq!(catalog.withdrawn().await.unwrap(), BTreeSet::from([gone]));
    assert_eq!(catalog.lookup(&id("w")).unwrap().id, id("a"));
}

#[tokio::test]
async fn a_commit_survives_without_a_farewell() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("k")).await;
    // What a crash leaves: the files as they are now, the log not yet merged.
    let copy = Shelf::new();
    fs::create_dir_all(copy.config().path.parent().unwrap()).unwrap();
    for file in files(&shelf) {
        fs::copy(&file, copy.config().path.with_file_name(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(state(&copy.open(), "k"), Some(State::Enabled));
}

#[tokio::test]
async fn the_log_is_written_ahead_and_everything_is_the_owners_alone() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("k")).await;
    let files = files(&shelf);
    let names: Vec<_> = files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    // No `-shm`: the index of the log is in the memory of the one process that may.
    assert_eq!(names, ["catalog.db", "catalog.db-wal"]);
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    // File format 2 is the write-ahead log (<https://www.sqlite.org/fileformat2.html>).
    assert_eq!(fs::read(&files[0]).unwrap()[18..20], [2, 2]);
}

#[test]
fn a_catalog_in_use_is_refused() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let refused = Catalog::open(&shelf.config()).map(|_| ());
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    drop(catalog);
    shelf.open();
}

#[test]
fn a_catalog_of_a_newer_version_is_refused_and_left_alone() {
    let shelf = Shelf::new();
    drop(shelf.open());
    let database = rusqlite::Connection::open(shelf.config().path).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let refused = Catalog::open(&shelf.config()).map(|_| ());
    assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
    let database = rusqlite::Connection::open(shelf.config().path).unwrap();
    let version: u32 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_file_that_is_no_catalog_is_refused_and_left_alone() {
    let shelf = Shelf::new();
    let path = shelf.config().path;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "not a database, but long enough to be looked at\n".repeat(40)).unwrap();
    let before = fs::read(&path).unwrap();
    let refused = Catalog::open(&shelf.config()).map(|_| ());
    assert!(matches!(refused, Err(Error::Store { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_row_that_cannot_be_read_is_an_error_and_not_a_missing_key() {
    let shelf = Shelf::new();
    drop(shelf.open());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { create(&shelf.open(), key("k")).await });
    let database = rusqlite::Connection::open(shelf.config().path).unwrap();
    database.execute("UPDATE versions SET state = 'unheard-of'", []).unwrap();
    drop(database);
    let refused = Catalog::open(&shelf.config()).map(|_| ());
    assert!(matches!(refused, Err(Error::Unreadable { what: "state" })), "{refused:?}");
}

#[test]
fn ten_thousand_keys_are_read_at_once() {
    const KEYS: u32 = 10_000;
    let shelf = Shelf::new();
    drop(shelf.open());
    let mut database = rusqlite::Connection::open(shelf.config().path).unwrap();
    let transaction = database.transaction().unwrap();
    for number in 0..KEYS {
        let mut key = named(&format!("key-{number}"), &[&format!("alias-{number}")]);
        let version =
            Version { state: State::Enabled, public_key: made(1).pin.public_key().cloned(), ..version() };
        (key.versions, key.primary) = (vec![Arc::new(version)], 1);
        rows::insert_key(&transaction, &key).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let begun = Instant::now();
    let catalog = shelf.open();
    println!("{KEYS} keys with an alias each: read in {} ms", begun.elapsed().as_millis());
    assert_eq!(catalog.page(Order::default(), None, usize::MAX, |_| true).0.len(), 10_000);
    assert_eq!(catalog.lookup(&id("alias-9999")).unwrap().id, id("key-9999"));
}

fn files(shelf: &Shelf) -> Vec<PathBuf> {
    let directory = shelf.config().path.parent().unwrap().to_owned();
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
