//! Strangers who are refused: the first few one by one, the rest in one line.

use std::collections::BTreeMap;

use super::*;
use crate::{
    audit::refusals::{Refusals, WINDOW},
    auth::Caller,
    model::Reason,
};

fn refused(source: &str, reason: Reason) -> Refused<'_> {
    Refused {
        source,
        caller: None,
        peer: "192.0.2.1:50000",
        certificate: None,
        request_id: "id",
        rpc: "unknown",
        reason,
        detail: "why",
        latency: Duration::from_micros(7),
    }
}

fn alone(shelf: &Shelf) -> usize {
    shelf.of_kind("decision").len()
}

/// By source and reason.
fn together(shelf: &Shelf) -> BTreeMap<(String, String), u64> {
    let mut counts = BTreeMap::new();
    for line in shelf.of_kind("refused") {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        assert!(text("first") <= text("last"), "{line}");
        *counts.entry((text("source"), text("result"))).or_default() += line["count"].as_u64().unwrap();
    }
    counts
}

#[tokio::test]
async fn the_first_few_are_records_and_the_rest_is_counted() {
    let shelf = Shelf::new();
    let log = shelf.open();
    for _ in 0..100 {
        log.refused(&refused("192.0.2.1", Reason::TokenExpired)).await;
        log.refused(&refused("192.0.2.2", Reason::TokenMissing)).await;
    }
    log.refused(&refused("192.0.2.2", Reason::TokenRevoked)).await;
    log.close().await;
    assert_eq!(alone(&shelf), 5 + 5 + 1);
    let record = &shelf.of_kind("decision")[0];
    assert_eq!((&record["result"], &record["detail"]), (&"TOKEN_EXPIRED".into(), &"why".into()));
    assert_eq!(record["code"], "UNAUTHENTICATED");
    let expected = [
        (("192.0.2.1".to_owned(), "TOKEN_EXPIRED".to_owned()), 95),
        (("192.0.2.2".to_owned(), "TOKEN_MISSING".to_owned()), 95),
    ];
    assert_eq!(together(&shelf), expected.into());
    assert!(shelf.verify().good);
}

#[test]
fn a_caller_that_is_refused_is_named() {
    let caller = Caller::sample("corp", "alice", &[], Some("north"));
    let refused = Refused { caller: Some(&caller), ..refused(caller.id(), Reason::RateLimited) };
    let record = serde_json::to_value(refused.record()).unwrap();
    let fields = ["caller", "issuer", "subject", "tenant", "authenticated_by"].map(|name| &record[name]);
    assert_eq!(fields, ["corp/alice", "corp", "alice", "north", "token"]);
    assert_eq!(record["latency_us"], 7);
}

/// However many strangers there are: everything is counted, and little is written.
#[tokio::test]
async fn strangers_cannot_fill_the_log_and_each_is_counted() {
    let shelf = Shelf::with(|config| config.refused_bytes_per_minute = 64 << 10);
    let log = shelf.open();
    let mut sent = 0;
    for stranger in 0..6000 {
        for _ in 0..7 {
            let source = format!("2001:db8:{stranger:x}::/64");
            log.refused(&refused(&source, Reason::TokenMalformed)).await;
            sent += 1;
        }
    }
    log.close().await;
    let counted: u64 = together(&shelf).values().sum();
    assert_eq!(alone(&shelf) as u64 + counted, sent);
    assert!(alone(&shelf) >= 100 && together(&shelf).keys().any(|(source, _)| source == "others"));
    // The quota, what came back to it meanwhile, and what the log says of itself.
    let length = fs::metadata(shelf.path()).unwrap().len();
    assert!(length < (64 << 10) + 20_000, "{length}");
}

/// Of each of them it is known in the end, and none of them is a call without an answer.
#[tokio::test]
async fn strangers_who_come_while_the_log_fails_are_counted() {
    let shelf = Shelf::new();
    let log = shelf.open();
    let (below, away) = (shelf.path().parent().unwrap(), shelf.directory.path().join("away"));
    fs::rename(below, &away).unwrap();
    // The first finds out, and the others know.
    for source in ["192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        log.refused(&refused(source, Reason::TokenMissing)).await;
    }
    assert!(log.state().failing);
    fs::rename(&away, below).unwrap();
    becomes(&log, true).await;
    log.refused(&refused("192.0.2.3", Reason::TokenMissing)).await;
    log.close().await;
    let missing = "TOKEN_MISSING".to_owned();
    let expected = [(("192.0.2.1".to_owned(), missing.clone()), 1), (("192.0.2.2".to_owned(), missing), 2)];
    assert_eq!((together(&shelf), alone(&shelf)), (expected.into(), 1));
    assert_eq!(shelf.of_kind("resumed")[0]["unanswered"], 0);
}

#[test]
fn a_window_that_is_over_is_written_and_forgotten() {
    let begun = Instant::now();
    let mut refusals = Refusals::new(1 << 20, begun);
    for _ in 0..6 {
        refusals.count(&refused("192.0.2.1", Reason::TokenMissing), begun);
    }
    assert_eq!(refusals.due(), Some(begun + WINDOW));
    assert!(refusals.take(begun + WINDOW / 2, false).is_empty());
    assert_eq!(refusals.take(begun + WINDOW, false).len(), 1);
    // The next is a record of its own again, and nothing waits.
    assert_eq!(refusals.count(&refused("192.0.2.1", Reason::TokenMissing), begun + WINDOW), Counted::Alone);
    assert_eq!(refusals.due(), None);
    for later in 2..9 {
        let now = begun + WINDOW * later;
        assert_eq!(refusals.count(&refused("192.0.2.1", Reason::TokenMissing), now), Counted::Alone);
    }
}

#[test]
fn a_quota_that_is_used_up_comes_back_with_time() {
    let begun = Instant::now();
    let mut refusals = Refusals::new(6400, begun);
    let mut alone = |source: usize, now| {
        let source = source.to_string();
        refusals.count(&refused(&source, Reason::TokenMissing), now) == Counted::Alone
    };
    assert_eq!((0..100).filter(|source| alone(*source, begun)).count(), 10);
    let later = begun + Duration::from_secs(30);
    assert_eq!((100..200).filter(|source| alone(*source, later)).count(), 5);
}
