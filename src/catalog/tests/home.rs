//! A catalog that was copied, moved or put back by hand does not go on with its counters.

use std::path::PathBuf;

use super::*;

const MOST: u64 = 1 << 32;

/// A catalog with a key that has used a block of nonces.
async fn used() -> (Shelf, KeyTag) {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let tag = newest(&*create(&catalog, key("k")).await);
    assert_eq!(catalog.reserve_nonces(tag, 10, MOST).await.unwrap(), 0..10);
    drop(catalog);
    (shelf, tag)
}

fn beside(shelf: &Shelf) -> PathBuf {
    shelf.config().path.with_file_name("catalog.db-nonces")
}

async fn next(shelf: &Shelf, tag: KeyTag) -> Range<u64> {
    shelf.open().reserve_nonces(tag, 10, MOST).await.unwrap()
}

#[tokio::test]
async fn the_catalog_itself_goes_on() {
    let (shelf, tag) = used().await;
    assert_eq!(next(&shelf, tag).await, 10..20);
    assert_eq!(next(&shelf, tag).await, 20..30);
    // What a crash leaves between the catalog and the file beside it.
    std::fs::write(beside(&shelf), format!("{:020}\n", 2)).unwrap();
    assert_eq!(next(&shelf, tag).await, 30..40);
    // Another name, in the same place.
    let moved = shelf.config().path.with_file_name("moved.db");
    std::fs::rename(shelf.config().path, &moved).unwrap();
    std::fs::rename(beside(&shelf), moved.with_file_name("moved.db-nonces")).unwrap();
    let catalog = Catalog::open(&Config { path: moved, ..shelf.config() }).unwrap();
    assert_eq!(catalog.reserve_nonces(tag, 10, MOST).await.unwrap(), 40..50);
}

#[tokio::test]
async fn a_copy_does_not_go_on_and_what_it_makes_anew_does() {
    let (shelf, tag) = used().await;
    let copy = Shelf::new();
    std::fs::create_dir_all(copy.config().path.parent().unwrap()).unwrap();
    std::fs::copy(shelf.config().path, copy.config().path).unwrap();
    std::fs::copy(beside(&shelf), beside(&copy)).unwrap();
    assert!(next(&copy, tag).await.is_empty());
    let catalog = copy.open();
    let fresh = newest(&*create(&catalog, key("fresh")).await);
    assert_eq!(catalog.reserve_nonces(fresh, 10, MOST).await.unwrap(), 0..10);
    drop(catalog);
    // It is at home there now.
    assert_eq!(next(&copy, fresh).await, 10..20);
    assert!(next(&copy, tag).await.is_empty());
    assert_eq!(next(&shelf, tag).await, 10..20);
}

#[tokio::test]
async fn an_older_copy_over_the_same_file_does_not_go_on() {
    let (shelf, tag) = used().await;
    let older = std::fs::read(shelf.config().path).unwrap();
    assert_eq!(next(&shelf, tag).await, 10..20);
    std::fs::write(shelf.config().path, older).unwrap();
    assert!(next(&shelf, tag).await.is_empty());
    assert!(next(&shelf, tag).await.is_empty());
}

#[tokio::test]
async fn a_count_that_is_missing_or_damaged_is_no_reason_to_go_on() {
    for damage in [None, Some(""), Some("no number"), Some("99999999999999999999\n")] {
        let (shelf, tag) = used().await;
        match damage {
            None => std::fs::remove_file(beside(&shelf)).unwrap(),
            Some(text) => std::fs::write(beside(&shelf), text).unwrap(),
        }
        assert!(next(&shelf, tag).await.is_empty(), "{damage:?}");
        // A new version counts again, after the next start as well.
        let fresh = newest(&*create(&shelf.open(), key("fresh")).await);
        assert_eq!(next(&shelf, fresh).await, 0..10, "{damage:?}");
        assert_eq!(next(&shelf, fresh).await, 10..20, "{damage:?}");
    }
}

/// A catalog with a key of which each version may do a hundred operations, ten of which
/// were given out.
async fn counted() -> (Shelf, KeyTag) {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let limited = Key { max_operations: NonZeroU64::new(100), ..key("k") };
    let tag = newest(&*create(&catalog, limited).await);
    assert_eq!(catalog.reserve_operations(tag, 10).await.unwrap(), 0..10);
    assert_eq!(catalog.lookup(&id("k")).unwrap().versions[0].operations, 10);
    drop(catalog);
    (shelf, tag)
}

#[tokio::test]
async fn operations_are_given_out_once_up_to_the_limit() {
    let (shelf, tag) = counted().await;
    let catalog = shelf.open();
    let etag = catalog.lookup(&id("k")).unwrap().etag();
    assert_eq!(catalog.reserve_operations(tag, 10).await.unwrap(), 10..20);
    // What was not used comes back, but for what others have gone past.
    catalog.return_operations(vec![(tag, 3..10), (tag, 15..20)]).await.unwrap();
    assert_eq!(catalog.reserve_operations(tag, 90).await.unwrap(), 15..100);
    assert!(catalog.reserve_operations(tag, 1).await.unwrap().is_empty());
    let key = catalog.lookup(&id("k")).unwrap();
    assert_eq!((key.etag(), key.versions[0].operations), (etag, 100));
    let free = newest(&*create(&catalog, self::key("free")).await);
    assert_eq!(catalog.reserve_operations(free, 1000).await.unwrap(), 0..1000, "nothing bounds it");
    let missing = catalog.reserve_operations(KeyTag::random().unwrap(), 1).await;
    assert!(matches!(missing, Err(Error::KeyMissing)), "{missing:?}");
}

#[tokio::test]
async fn a_copy_or_an_older_file_has_no_operations_left() {
    let (shelf, tag) = counted().await;
    let older = std::fs::read(shelf.config().path).unwrap();
    let copy = Shelf::new();
    std::fs::create_dir_all(copy.config().path.parent().unwrap()).unwrap();
    std::fs::copy(shelf.config().path, copy.config().path).unwrap();
    std::fs::copy(beside(&shelf), beside(&copy)).unwrap();
    assert!(copy.open().reserve_operations(tag, 1).await.unwrap().is_empty());
    assert_eq!(shelf.open().reserve_operations(tag, 10).await.unwrap(), 10..20);
    std::fs::write(shelf.config().path, older).unwrap();
    assert!(shelf.open().reserve_operations(tag, 1).await.unwrap().is_empty());
}
