//! Versions that end, and what is due.

use super::*;
use crate::model::{Refused, Verb, Why};

const DAY: Duration = Duration::from_secs(86_400);

async fn turn(catalog: &Catalog, name: &str, verb: Verb, versions: &[u32]) -> Result<Arc<Key>, Error> {
    let amendment = Amendment::Verb(verb, versions.to_vec());
    Ok(new(catalog.amend(id(name), amendment, Expected::default(), None).await?))
}

#[tokio::test]
async fn what_is_given_up_is_not_restored_even_if_the_clock_goes_back() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let tag = newest(&*create(&catalog, key("k")).await);
    let now = SystemTime::now();
    assert_eq!(catalog.begin_destroy(id("k"), 1, now + DAY * 2).await.unwrap(), None, "in use");
    turn(&catalog, "k", Verb::ScheduleDestruction, &[]).await.unwrap();
    assert_eq!(catalog.begin_destroy(id("k"), 1, now).await.unwrap(), None, "not yet");
    turn(&catalog, "k", Verb::Restore, &[]).await.unwrap();
    turn(&catalog, "k", Verb::ScheduleDestruction, &[]).await.unwrap();
    assert_eq!(catalog.begin_destroy(id("k"), 1, now + DAY * 2).await.unwrap(), Some(tag));
    assert!(catalog.withdrawn().await.unwrap().contains(&tag));
    let late = turn(&catalog, "k", Verb::Restore, &[]).await;
    assert!(matches!(late, Err(Error::Refused(Refused { why: Why::TooLate, .. }))));
    // A crash later the same is asked again.
    assert_eq!(catalog.begin_destroy(id("k"), 1, now + DAY * 2).await.unwrap(), Some(tag));
    let gone = catalog.destroyed(id("k"), 1, now + DAY * 2).await.unwrap();
    assert!(gone.is_gone() && gone.versions[0].key.is_none());
    assert_eq!(catalog.begin_destroy(id("k"), 1, now + DAY * 2).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_without_material_keeps_its_id_for_ever_and_frees_its_aliases() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, named("k", &["alias"])).await;
    turn(&catalog, "k", Verb::ScheduleDestruction, &[]).await.unwrap();
    let then = SystemTime::now() + DAY * 2;
    catalog.begin_destroy(id("k"), 1, then).await.unwrap();
    catalog.destroyed(id("k"), 1, then).await.unwrap();
    let before = all(&catalog);
    drop(catalog);
    let catalog = shelf.open();
    assert_eq!(all(&catalog), before);
    assert!(matches!(catalog.begin_create(key("k"), None).await, Err(Error::IdRetired(_))));
    assert!(matches!(catalog.begin_create(named("o", &["k"]), None).await, Err(Error::IdRetired(_))));
    assert!(catalog.lookup(&id("alias")).is_none());
    create(&catalog, key("alias")).await;
    assert_eq!(catalog.tags().len(), 1);
}

#[tokio::test]
async fn a_rotation_does_not_bring_back_what_was_taken_out_of_use_meanwhile() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("k")).await;
    let tag = newest(&*begin_version(&catalog, "k").await);
    turn(&catalog, "k", Verb::Disable, &[]).await.unwrap();
    let late = catalog.activate(id("k"), tag, made(2), true, Expected::default()).await;
    assert!(matches!(
        late,
        Err(Error::Refused(Refused { version: 1, why: Why::State(State::Disabled), .. }))
    ));
    assert!(catalog.abandon(id("k"), tag).await.unwrap());
}

#[tokio::test]
async fn what_is_due_is_known_in_order_and_when_it_changes() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let mut changes = catalog.due_changes();
    let soon = rows::time(rows::millis(SystemTime::now())) + DAY / 2;
    create(&catalog, key("plain")).await;
    assert!(!changes.has_changed().unwrap());
    let rotated = Key { rotation_period: Some(DAY), next_rotation: Some(soon), ..key("rotated") };
    create(&catalog, rotated).await;
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    turn(&catalog, "plain", Verb::ScheduleDestruction, &[]).await.unwrap();
    assert!(changes.has_changed().unwrap());
    let tasks =
        |by| catalog.due(by).into_iter().map(|due| (due.key.to_string(), due.task)).collect::<Vec<_>>();
    assert_eq!(tasks(SystemTime::now()), []);
    assert_eq!(tasks(soon), [("rotated".to_owned(), Task::Rotate)]);
    assert_eq!(tasks(soon + DAY)[1], ("plain".to_owned(), Task::Destroy(1)));
    assert_eq!(catalog.next_due(SystemTime::now()), Some(soon));

    // A rotation that was due is done with when its version is activated, and no other is.
    let due = Expected { due: Some(soon), ..Expected::default() };
    let begun = new(catalog.begin_rotate(id("rotated"), version(), due.clone(), None).await.unwrap());
    let done = catalog.activate(id("rotated"), newest(&begun), made(3), true, due.clone()).await.unwrap();
    assert_eq!(done.next_rotation, Some(soon + DAY));
    assert!(matches!(
        catalog.begin_rotate(id("rotated"), version(), due, None).await,
        Err(Error::Relabelled)
    ));
    turn(&catalog, "rotated", Verb::Disable, &[]).await.unwrap();
    assert_eq!(catalog.due(soon + DAY * 2).len(), 1, "a key that is out of use waits");
}

#[tokio::test]
async fn keys_of_the_time_before_are_as_they_were() {
    let shelf = Shelf::new();
    let path = shelf.config().path;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = rusqlite::Connection::open(path).unwrap();
    for step in [
        include_str!("../sql/0001_keys.sql"),
        include_str!("../sql/0002_tenants.sql"),
        include_str!("../sql/0003_audit_anchors.sql"),
    ] {
        database.execute_batch(step).unwrap();
    }
    database.pragma_update(None, "user_version", 3).unwrap();
    database
        .execute_batch(
            "INSERT INTO catalog VALUES (1, '6ba7b812-9dad-4b11-80b4-00c04fd430c8', 7);
             INSERT INTO keys VALUES ('k', 'ec-p256', 'sign-verify', '[\"ecdsa-p256-sha256\"]', NULL, 'soft',
                 '{}', '', 'me', NULL, NULL, 86400000, 1, 0, 0, 7, 1, 2, NULL);
             INSERT INTO versions VALUES ('k', 1, 'enabled', 'soft', 'software', 'generated',
                 x'000102030405060708090a0b0c0d0e0f', x'0708', x'01', 1, 2);",
        )
        .unwrap();
    drop(database);
    let catalog = shelf.open();
    let found = catalog.lookup(&id("k")).unwrap();
    let version = found.version(0).unwrap();
    assert_eq!((found.primary, version.state, version.destroys), (1, State::Enabled, None));
    assert_eq!(version.key.as_ref().unwrap().blob.as_ref(), [7, 8]);
    assert_eq!((found.rotation_period, found.next_rotation), (None, None));
}
