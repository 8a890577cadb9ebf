//! What a healthy log looks like: in order, chained, signed, rotated.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[tokio::test]
async fn a_record_is_in_the_file_when_its_caller_goes_on() {
    for durability in [Durability::Write, Durability::Fsync] {
        let shelf = Shelf::with(|config| config.durability = durability);
        let log = shelf.open();
        for number in 0..20 {
            log.append(&record(&number.to_string())).await.unwrap();
            assert_eq!(shelf.ids(), ids(0..number + 1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_many_callers_are_all_there_and_the_chain_is_whole() {
    let shelf = Shelf::new();
    let log = shelf.open();
    let callers = (0..8).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                log.append(&record(&format!("{caller}-{number}"))).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    log.close().await;
    let found = shelf.ids();
    for caller in 0..8 {
        let own = found.iter().filter(|id| id.starts_with(&format!("{caller}-")));
        assert!(own.eq((0..100).map(|number| format!("{caller}-{number}")).collect::<Vec<_>>().iter()));
    }
    let report = shelf.verify();
    assert!(report.good && report.unanchored == 0 && report.remarks.is_empty(), "{report:?}");
}

/// What a reader can count on, to the letter.
#[tokio::test]
async fn a_line_looks_as_it_is_documented() {
    let shelf = Shelf::new();
    let log = shelf.open();
    let reason = crate::model::Reason::KeyNotFound;
    let outcome = Some(Outcome::refused(reason, Duration::from_micros(7)));
    log.append(&Record { outcome, tenant: Some("t"), ..record("id") }).await.unwrap();
    log.close().await;
    let text = fs::read_to_string(shelf.path()).unwrap();
    let line = text.lines().find(|line| line.contains("\"decision\"")).unwrap();
    let (covered, hash) = line.split_once(",\"hash\":\"").unwrap();
    assert_eq!(
        covered,
        "{\"seq\":3,\"kind\":\"decision\",\"time\":\"2024-01-01T00:00:00.000000Z\",\"phase\":\"outcome\",\
         \"request_id\":\"id\",\"caller\":\"corp/alice\",\"issuer\":\"corp\",\"subject\":\"alice\",\
         \"tenant\":\"t\",\"authenticated_by\":\"token\",\"peer\":\"unix\",\"action\":\"create-key\",\
         \"decision\":\"allow\",\"policies\":[],\"key\":\"payroll\",\"result\":\"KEY_NOT_FOUND\",\
         \"code\":\"NOT_FOUND\",\"latency_us\":7"
    );
    assert!(hash.len() == 66 && hash.ends_with("\"}"), "{hash}");
    let kinds: Vec<_> = shelf.lines().iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["open", "checkpoint", "decision", "checkpoint"]);
}

#[tokio::test]
async fn a_checkpoint_comes_after_so_many_records_or_so_long_a_time() {
    let shelf = Shelf::with(|config| config.checkpoint_records = NonZeroU64::new(10).unwrap());
    shelf.write(0..95).await;
    // At the start, at the end, and between.
    assert_eq!(shelf.of_kind("checkpoint").len(), 1 + 9 + 1);
    let report = shelf.verify();
    assert!(report.good && report.checkpoints == 11, "{report:?}");

    let shelf = Shelf::with(|config| config.checkpoint_interval = Duration::from_millis(20));
    let log = shelf.open();
    log.append(&record("1")).await.unwrap();
    let sequence = || log.state().checkpoint.unwrap().0;
    while sequence() < 4 {
        tokio::task::yield_now().await;
    }
    log.close().await;
    assert!(shelf.verify().good);
}

#[tokio::test]
async fn a_file_that_is_long_enough_is_kept_under_another_name_and_the_chain_goes_on() {
    let shelf = Shelf::with(|config| config.rotate_bytes = 10_000);
    shelf.write(0..200).await;
    let files = shelf.files();
    assert!(files.len() > 5, "{files:?}");
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["kind"], "open");
        if file != shelf.path() {
            assert!(file.to_str().unwrap().ends_with(&format!(".{:020}", first["seq"].as_u64().unwrap())));
            // Nothing of it is unsigned.
            let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(last["kind"], "checkpoint");
        }
    }
    assert_eq!(shelf.ids(), ids(0..200));
    let report = shelf.verify();
    assert!(report.good && report.first == 1 && report.unanchored == 0, "{report:?}");
    // One that was moved away on purpose is told by the number after it.
    let second: Value =
        serde_json::from_str(fs::read_to_string(&files[1]).unwrap().lines().next().unwrap()).unwrap();
    let first = second["seq"].as_u64();
    let report = verify(&files[1..], &Against { first, ..shelf.against() }).unwrap();
    assert!(report.good && Some(report.first) == first, "{report:?}");
    let report = verify(&files[1..], &shelf.against()).unwrap();
    assert!(!report.good);
}

#[tokio::test]
async fn a_file_that_somebody_moved_away_is_begun_anew_and_the_chain_goes_on() {
    let shelf = Shelf::new();
    let log = shelf.open();
    log.append(&record("0")).await.unwrap();
    let moved = shelf.directory.path().join("moved.jsonl");
    fs::rename(shelf.path(), &moved).unwrap();
    log.append(&record("1")).await.unwrap();
    log.close().await;
    assert_eq!(shelf.ids(), ["1"]);
    let report = verify(&[shelf.path().to_owned(), moved], &shelf.against()).unwrap();
    assert!(report.good && report.first == 1, "{report:?}");
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_one_writer_has_it() {
    let shelf = Shelf::new();
    let log = shelf.open();
    log.append(&record("0")).await.unwrap();
    assert_eq!(fs::metadata(shelf.path()).unwrap().permissions().mode() & 0o777, 0o600);
    let Err(Error::Open { source, .. }) = Log::open(&shelf.config) else { panic!("two write one log") };
    assert_eq!(source.kind(), io::ErrorKind::ResourceBusy);
    log.close().await;
    assert!(matches!(log.append(&record("late")).await, Err(Error::Write { .. })));
    shelf.write(1..2).await;
    assert_eq!(shelf.ids(), ids(0..2));
}

#[tokio::test]
async fn an_operator_keeps_a_copy_of_the_anchors() {
    let mut shelf = Shelf::new();
    let kept = shelf.directory.path().join("anchors.jsonl");
    shelf.config.anchor_file = Some(kept.clone());
    shelf.write(0..3).await;
    shelf.write(3..6).await;
    let anchors = anchors_of(&kept).unwrap();
    let times = |anchor: Anchor| (anchor.sequence, anchor.hash, anchor.signature);
    let expected = shelf.notary.anchors.lock().clone();
    assert!(anchors.clone().into_iter().map(times).eq(expected.into_iter().map(times)));
    let report = verify(&shelf.files(), &Against { anchors, ..shelf.against() }).unwrap();
    assert!(report.good && report.unanchored == 0, "{report:?}");
}
