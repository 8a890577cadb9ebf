//! Calls that are made again.

use super::*;
use crate::model::Action;

fn call(action: Action, request_id: u128, body: u8) -> Idempotency {
    Idempotency {
        principal: "local".to_owned(),
        action,
        request_id: Uuid::from_u128(request_id),
        fingerprint: [body; 32],
    }
}

fn create_call(request_id: u128, body: u8) -> Option<Idempotency> {
    Some(call(Action::CreateKey, request_id, body))
}

async fn rotate(catalog: &Catalog, request: Idempotency) -> Result<Begun, Error> {
    catalog.begin_rotate(id("k"), version(), Expected::default(), Some(request)).await
}

#[tokio::test]
async fn a_repeated_call_gives_the_first_answer_without_the_material() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = new(catalog.begin_create(named("k", &["alias"]), create_call(1, 1)).await.unwrap());
    let tag = newest(&begun);
    let first = catalog.activate(id("k"), tag, made(9), true, Expected::default()).await.unwrap();
    // The key goes on, the answer does not.
    let tag = newest(&*begin_version(&catalog, "k").await);
    catalog.activate(id("k"), tag, made(8), true, Expected::default()).await.unwrap();

    let mut opened = Some(catalog);
    for _ in 0..2 {
        let catalog = opened.take().unwrap_or_else(|| shelf.open());
        let again = catalog.begin_create(named("k", &["alias"]), create_call(1, 1)).await.unwrap();
        let Begun::Repeated(again) = again else { panic!("made again") };
        assert_eq!((again.primary, again.etag()), (1, first.etag()));
        assert_eq!(again.aliases, first.aliases);
        assert_eq!(again.versions[0].public_key, first.versions[0].public_key);
        assert!(again.versions[0].key.is_none(), "an answer that is kept holds no sealed key");
        assert!(catalog.intents().is_empty());
    }
}

#[tokio::test]
async fn a_request_id_belongs_to_one_request_of_one_caller_and_action() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    new(catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap());
    let reused = catalog.begin_create(key("other"), create_call(1, 2)).await;
    assert!(matches!(reused, Err(Error::RequestIdReused)));
    let running = catalog.begin_create(key("k"), create_call(1, 1)).await;
    assert!(matches!(running, Err(Error::InProgress)));
    // Under another action, or of another caller, it is another id.
    new(rotate(&catalog, call(Action::RotateKey, 1, 3)).await.unwrap());
    let other = Idempotency { principal: "other".to_owned(), ..call(Action::CreateKey, 1, 1) };
    new(catalog.begin_create(key("theirs"), Some(other)).await.unwrap());
}

#[tokio::test]
async fn a_call_that_was_given_up_can_be_made_again() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = new(catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap());
    assert!(catalog.abandon(id("k"), newest(&begun)).await.unwrap());
    let begun = new(catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap());
    catalog.activate(id("k"), newest(&begun), made(1), true, Expected::default()).await.unwrap();

    let begun = new(rotate(&catalog, call(Action::RotateKey, 2, 2)).await.unwrap());
    assert!(catalog.abandon(id("k"), newest(&begun)).await.unwrap());
    new(rotate(&catalog, call(Action::RotateKey, 2, 2)).await.unwrap());
}

#[tokio::test]
async fn a_refused_call_leaves_its_request_id_free() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    create(&catalog, key("k")).await;
    let taken = catalog.begin_create(key("k"), create_call(1, 1)).await;
    assert!(matches!(taken, Err(Error::KeyExists(_))));
    new(catalog.begin_create(key("free"), create_call(1, 2)).await.unwrap());
}

#[tokio::test]
async fn answers_are_forgotten_after_a_day_and_calls_at_work_are_not() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = new(catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap());
    catalog.activate(id("k"), newest(&begun), made(1), true, Expected::default()).await.unwrap();
    new(catalog.begin_create(key("slow"), create_call(2, 2)).await.unwrap());

    let soon = SystemTime::now() + REQUEST_ID_LIFETIME - Duration::from_secs(60);
    catalog.forget_answers(soon).await.unwrap();
    let again = catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap();
    assert!(matches!(again, Begun::Repeated(_)));

    let later = SystemTime::now() + REQUEST_ID_LIFETIME + Duration::from_secs(60);
    catalog.forget_answers(later).await.unwrap();
    let forgotten = catalog.begin_create(key("k"), create_call(1, 1)).await;
    assert!(matches!(forgotten, Err(Error::KeyExists(_))), "asked anew");
    let running = catalog.begin_create(key("slow"), create_call(2, 2)).await;
    assert!(matches!(running, Err(Error::InProgress)));
}

#[tokio::test]
async fn an_answer_that_is_a_day_old_is_not_given_even_before_it_is_swept() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let begun = new(catalog.begin_create(key("k"), create_call(1, 1)).await.unwrap());
    catalog.activate(id("k"), newest(&begun), made(1), true, Expected::default()).await.unwrap();
    assert!(catalog.first_answer(create_call(1, 1)).await.unwrap().is_some());
    drop(catalog);
    let database = rusqlite::Connection::open(shelf.config().path).unwrap();
    let day = i64::try_from(REQUEST_ID_LIFETIME.as_millis()).unwrap();
    database.execute("UPDATE requests SET created = created - ?1 - 1", [day]).unwrap();
    drop(database);

    let catalog = shelf.open();
    assert!(catalog.first_answer(create_call(1, 1)).await.unwrap().is_none());
    // The id can be used anew, though the old row is still there.
    new(catalog.begin_create(key("other"), create_call(1, 2)).await.unwrap());
    let running = catalog.first_answer(create_call(1, 2)).await;
    assert!(matches!(running, Err(Error::InProgress)));
}

#[tokio::test]
async fn tags_that_were_given_up_outlive_the_answers() {
    let shelf = Shelf::new();
    let catalog = shelf.open();
    let tag = newest(&*begin(&catalog, key("k")).await);
    assert!(catalog.abandon(id("k"), tag).await.unwrap());
    for (days, kept) in [(2, 1), (29, 1), (31, 0)] {
        let later = SystemTime::now() + Duration::from_secs(days * 86_400);
        catalog.forget_answers(later).await.unwrap();
        assert_eq!(catalog.withdrawn().await.unwrap().len(), kept, "after {days} days");
    }
}
