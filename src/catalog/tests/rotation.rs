//! Rotations side by side: who becomes the primary, and who is refused.

use super::*;

async fn activate(
    catalog: &Catalog,
    tag: KeyTag,
    promote: bool,
    expected: Expected,
) -> Result<Arc<Key>, Error> {
    catalog.activate(id("k"), tag, made(tag.as_bytes()[0]), promote, expected).await
}

#[tokio::test]
async fn the_newest_version_is_the_primary_in_whatever_order_they_are_made() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let shelf = Shelf::new();
        let catalog = shelf.open();
        create(&catalog, key("k")).await;
        let mut tags = Vec::new();
        for number in 2..5 {
            let begun = begin_version(&catalog, "k").await;
            assert_eq!((begun.latest(), begun.primary), (number, 1));
            tags.push(newest(&begun));
        }
        let mut newest = 1;
        for at in order {
            let active = activate(&catalog, tags[at], true, Expected::default()).await.unwrap();
            newest = newest.max(u32::try_from(at).unwrap() + 2);
            assert_eq!(active.primary, newest, "{order:?}");
        }
        assert!(catalog.intents().is_empty());
        assert_eq!(catalog.tags().len(), 4);
    }
}

#[tokio::test]
async fn a_staged_version_leaves_the_primary_where_it_is() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let before = create(&catalog, key("k")).await;
    let tag = newest(&*begin_version(&catalog, "k").await);
    let staged = activate(&catalog, tag, false, Expected::default()).await.unwrap();
    assert_eq!((staged.primary, staged.latest()), (1, 2));
    assert_eq!(staged.version(2).unwrap().state, State::Enabled);
    assert_ne!(staged.etag(), before.etag());
}

#[tokio::test]
async fn what_a_caller_believes_is_checked_before_the_device_is_asked() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let old = create(&catalog, key("k")).await.etag();
    let tag = newest(&*begin_version(&catalog, "k").await);
    let now = activate(&catalog, tag, true, Expected::default()).await.unwrap().etag();
    let begin = |expected| catalog.begin_rotate(id("k"), version(), expected, None);
    let stale = begin(Expected { etag: Some(old), primary: 0, ..Expected::default() }).await;
    assert!(matches!(stale, Err(Error::EtagMismatch)));
    let stale = begin(Expected { etag: None, primary: 1, ..Expected::default() }).await;
    assert!(matches!(stale, Err(Error::PrimaryChanged { actual: 2 })));
    let missing = catalog.begin_rotate(id("no"), version(), Expected::default(), None).await;
    assert!(matches!(missing, Err(Error::KeyMissing)));
    assert!(catalog.intents().is_empty(), "nothing of the refused ones is left");
    let judged = Expected { labels: Some([("team".into(), "other".into())].into()), ..Expected::default() };
    assert!(matches!(begin(judged).await, Err(Error::Relabelled)));
    new(begin(Expected { etag: Some(now), primary: 2, ..Expected::default() }).await.unwrap());
}

#[tokio::test]
async fn of_two_callers_who_believe_the_same_one_is_refused_after_the_device_was_asked() {
    type Guard = fn(&Key) -> Expected;
    let guards: [Guard; 2] = [
        |key| Expected { etag: Some(key.etag()), primary: 0, ..Expected::default() },
        |key| Expected { etag: None, primary: key.primary, ..Expected::default() },
    ];
    for guard in guards {
        let shelf = Shelf::new();
        let catalog = shelf.open();
        let expected = guard(&*create(&catalog, key("k")).await);
        let mut tags = Vec::new();
        for _ in 0..2 {
            let begun = catalog.begin_rotate(id("k"), version(), expected.clone(), None).await;
            tags.push(newest(&new(begun.unwrap())));
        }
        let won = activate(&catalog, tags[1], true, expected.clone()).await.unwrap();
        let lost = activate(&catalog, tags[0], true, expected.clone()).await;
        assert!(matches!(lost, Err(Error::EtagMismatch | Error::PrimaryChanged { actual: 3 })));
        assert_eq!(catalog.lookup(&id("k")).unwrap().etag(), won.etag());
        assert!(catalog.abandon(id("k"), tags[0]).await.unwrap(), "the loser can be given up");
        assert_eq!(catalog.lookup(&id("k")).unwrap().primary, 3);
    }
}

#[tokio::test]
async fn a_version_is_activated_once() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let active = create(&catalog, key("k")).await;
    let again = activate(&catalog, newest(&active), true, Expected::default()).await;
    assert!(matches!(again, Err(Error::KeyMissing)));
    assert_eq!(all(&catalog), format!("{:#?}", [active]));
}

#[tokio::test]
async fn every_change_has_a_revision_of_its_own() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let mut revisions = vec![create(&catalog, key("a")).await.revision];
    revisions.push(create(&catalog, key("b")).await.revision);
    let tag = newest(&*begin_version(&catalog, "a").await);
    revisions
        .push(catalog.activate(id("a"), tag, made(2), true, Expected::default()).await.unwrap().revision);
    assert!(revisions.is_sorted_by(|one, next| one < next), "{revisions:?}");
    drop(catalog);

    // Whoever follows the changes finds that of a key under the revision that the key shows.
    let database = rusqlite::Connection::open(shelf.config().path).unwrap();
    let mut statement = database.prepare("SELECT revision, kind FROM changes ORDER BY revision").unwrap();
    let rows =
        statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, String>(1)?)));
    let changes: Vec<_> = rows.unwrap().map(Result::unwrap).collect();
    let activated: Vec<_> =
        changes.iter().filter(|(_, kind)| kind == "activated").map(|(revision, _)| *revision).collect();
    assert_eq!(activated, revisions);
    assert_eq!(changes.len(), 6);
}
