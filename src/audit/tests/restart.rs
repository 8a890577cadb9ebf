//! What a start makes of the log that it finds.

use super::*;

/// The first line of the last start.
fn opened(shelf: &Shelf) -> Value {
    shelf.of_kind("open").pop().unwrap()
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let shelf = Shelf::new();
    for start in 0..3 {
        shelf.write(start * 10..start * 10 + 10).await;
    }
    assert_eq!(shelf.ids(), ids(0..30));
    assert_eq!(opened(&shelf)["chain"], "continued");
    let report = shelf.verify();
    assert!(report.good && report.unanchored == 0 && report.remarks.is_empty(), "{report:?}");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_spoils_only_itself_and_is_declared() {
    let shelf = Shelf::new();
    shelf.write(0..2).await;
    let torn = "{\"seq\":7,\"kind\":\"decision\",\"time\":\"20";
    let mut text = fs::read_to_string(shelf.path()).unwrap();
    text.push_str(torn);
    fs::write(shelf.path(), &text).unwrap();
    // A reader may come before the next start.
    let report = shelf.verify();
    assert!(report.good && report.remarks.len() == 1, "{report:?}");

    shelf.write(2..4).await;
    assert_eq!(opened(&shelf)["foreign"]["bytes"], torn.len() + 1);
    shelf.write(4..5).await;
    assert_eq!(shelf.ids(), ids(0..5));
    // Ended once, not with every start.
    assert_eq!(opened(&shelf)["foreign"], Value::Null);
    let report = shelf.verify();
    assert!(report.good && report.remarks.len() == 1, "{report:?}");

    // Any other fragment there is damage.
    let text = fs::read_to_string(shelf.path()).unwrap();
    for other in [torn.replace('7', "8"), torn.replace("20", "2"), String::new()] {
        fs::write(shelf.path(), text.replace(torn, &other)).unwrap();
        assert!(!shelf.verify().good, "{other}");
    }
}

#[tokio::test]
async fn what_was_there_before_the_chain_is_kept_and_declared() {
    let shelf = Shelf::new();
    fs::create_dir_all(shelf.path().parent().unwrap()).unwrap();
    let old = format!("{{\"request_id\":\"old\"}}\n{}\n", "x".repeat(3 << 20));
    fs::write(shelf.path(), &old).unwrap();
    shelf.write(0..3).await;
    assert!(fs::read_to_string(shelf.path()).unwrap().starts_with(&old));
    assert_eq!((opened(&shelf)["chain"].as_str(), shelf.ids()), (Some("new"), ids(0..3)));
    let report = shelf.verify();
    assert!(report.good && report.remarks.len() == 1, "{report:?}");
}

/// Written, and then killed before anything was anchored.
#[tokio::test]
async fn a_tail_that_was_never_anchored_is_told_and_no_damage() {
    let shelf = Shelf::new();
    shelf.write(0..5).await;
    let log = shelf.open();
    for id in 5..9 {
        log.append(&record(&id.to_string())).await.unwrap();
    }
    // As much of it as a kill leaves.
    let killed = fs::read(shelf.path()).unwrap();
    log.close().await;
    let anchors: Vec<_> = shelf.notary.anchors.lock().drain(..).collect();
    shelf.notary.anchors.lock().extend(anchors.into_iter().take(1));
    fs::write(shelf.path(), killed).unwrap();
    let report = shelf.verify();
    assert!(report.good && report.unanchored > 4, "{report:?}");
    shelf.write(9..10).await;
    assert_eq!(shelf.ids(), ids(0..10));
    assert_eq!(opened(&shelf)["chain"], "continued");
    let report = shelf.verify();
    assert!(report.good && report.unanchored == 0, "{report:?}");
}

#[tokio::test]
async fn a_log_that_is_behind_its_anchor_is_told_of_at_the_start() {
    let shelf = Shelf::new();
    shelf.write(0..5).await;
    let whole = fs::read_to_string(shelf.path()).unwrap();
    let anchored = shelf.notary.anchors.lock().last().unwrap().sequence;
    let cut: String = whole.lines().take(4).map(|line| format!("{line}\n")).collect();
    fs::write(shelf.path(), cut).unwrap();

    shelf.write(5..6).await;
    let last = opened(&shelf);
    assert_eq!((&last["chain"], &last["anchor"]["seq"]), (&"anchor-mismatch".into(), &anchored.into()));
    // No number is used twice, and what is missing stays missing.
    assert_eq!(last["seq"], anchored + 1);
    let report = shelf.verify();
    assert!(!report.good, "{report:?}");
    let missing = verify::Problem::Missing { from: 5, to: anchored };
    assert!(report.findings.iter().any(|finding| finding.problem == missing), "{report:?}");

    // Taken away as a whole, and brought back: nothing is missing then.
    let shelf = Shelf::new();
    shelf.write(0..5).await;
    let moved = shelf.directory.path().join("moved.jsonl");
    fs::rename(shelf.path(), &moved).unwrap();
    shelf.write(5..6).await;
    assert_eq!(opened(&shelf)["chain"], "anchor-mismatch");
    let report = verify(&[moved, shelf.path().to_owned()], &shelf.against()).unwrap();
    assert!(report.good && report.remarks.len() == 1, "{report:?}");
}

#[tokio::test]
async fn another_log_in_the_place_of_the_anchored_one_is_told_of() {
    let (shelf, other) = (Shelf::new(), Shelf::new());
    shelf.write(0..5).await;
    other.write(0..50).await;
    fs::copy(other.path(), shelf.path()).unwrap();
    shelf.write(5..6).await;
    assert_eq!(opened(&shelf)["chain"], "anchor-mismatch");
    assert!(!shelf.verify().good);
}

#[tokio::test]
async fn the_end_of_the_chain_is_found_in_the_last_file_that_was_rotated() {
    let shelf = Shelf::with(|config| config.rotate_bytes = 10_000);
    shelf.write(0..60).await;
    // Killed between giving the file its last name and beginning the next.
    fs::remove_file(shelf.path()).unwrap();
    let last = rotated(shelf.path()).unwrap().pop().unwrap();
    let text = fs::read_to_string(last).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let end = last["seq"].as_u64().unwrap();
    shelf.notary.anchors.lock().retain(|anchor| anchor.sequence <= end);
    shelf.write(60..61).await;
    assert_eq!(opened(&shelf)["seq"], end + 1);
    assert!(shelf.verify().good);
}
