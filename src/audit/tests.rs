//! What is in the file when [`Log::append`] returns, and when it refuses.

use std::{borrow::Cow, fs, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use super::*;

fn record(request_id: &str) -> Record<'_> {
    Record {
        time: "2024-01-01T00:00:00.000000Z".to_owned(),
        phase: Phase::Outcome,
        request_id,
        caller: "corp/alice",
        tenant: None,
        authenticated_by: "token",
        certificate: None,
        peer: "unix",
        action: "create-key",
        decision: "allow",
        policies: &[],
        key: Some("payroll"),
        facts: Facts::default(),
        outcome: Some(Outcome { result: Cow::Borrowed("ok"), latency: Duration::from_micros(7) }),
    }
}

fn at(directory: &TempDir, durability: Durability) -> Config {
    Config { path: directory.path().join("below").join("audit.jsonl"), durability }
}

/// The ids of the records, and the lines that are none.
fn read(config: &Config) -> (Vec<String>, Vec<String>) {
    let (mut ids, mut torn) = (Vec::new(), Vec::new());
    let text = fs::read_to_string(&config.path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(record) => ids.push(record["request_id"].as_str().unwrap().to_owned()),
            Err(_) => torn.push(line.to_owned()),
        }
    }
    (ids, torn)
}

#[tokio::test]
async fn a_record_is_in_the_file_when_its_caller_goes_on() {
    for durability in [Durability::Write, Durability::Fsync] {
        let directory = tempfile::tempdir().unwrap();
        let config = at(&directory, durability);
        let log = Log::open(&config).unwrap();
        for number in 0..20 {
            log.append(&record(&number.to_string())).await.unwrap();
            let expected: Vec<_> = (0..=number).map(|number| number.to_string()).collect();
            assert_eq!(read(&config), (expected, Vec::new()));
        }
    }
}

/// Hands lines to a writer that begins only when all of them wait.
fn write_together(file: File, path: &Path, lines: &[String]) -> Vec<Result<(), Arc<std::io::Error>>> {
    let (sender, waiting) = mpsc::channel(lines.len());
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| {
            let (written, outcome) = oneshot::channel();
            let queued = sender.try_send(Line { bytes: format!("{line}\n").into_bytes(), written });
            assert!(queued.is_ok());
            outcome
        })
        .collect();
    drop(sender);
    write(file, path, Durability::Write, waiting, &AtomicBool::new(false));
    outcomes.into_iter().map(|mut outcome| outcome.try_recv().unwrap()).collect()
}

#[test]
fn records_that_wait_together_are_written_in_their_order() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<_> = (0..2 * QUEUE).map(|number| number.to_string()).collect();
    let outcomes = write_together(file.reopen().unwrap(), file.path(), &lines);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(fs::read_to_string(file.path()).unwrap().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn all_that_wait_together_learn_that_they_are_not_written() {
    let lines: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    let full = OpenOptions::new().read(true).append(true).open(FULL).unwrap();
    for outcome in write_together(full, Path::new(FULL), &lines) {
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }
}

#[tokio::test]
async fn a_caller_whose_record_is_not_written_is_refused() {
    let log = Log::open(&Config { path: FULL.into(), durability: Durability::Write }).unwrap();
    // The writer goes on: the disk may have room again.
    for _ in 0..2 {
        let Err(Error::Write { source }) = log.append(&record("lost")).await else {
            panic!("written to a full disk")
        };
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    }
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_spoils_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let config = at(&directory, Durability::Write);
    Log::open(&config).unwrap().append(&record("first")).await.unwrap();
    let mut text = fs::read_to_string(&config.path).unwrap();
    text.push_str("{\"time\":\"2024-01-01T00:0");
    fs::write(&config.path, &text).unwrap();

    let log = Log::open(&config).unwrap();
    log.append(&record("second")).await.unwrap();
    log.append(&record("third")).await.unwrap();
    let (ids, torn) = read(&config);
    assert_eq!(ids, ["first", "second", "third"]);
    assert_eq!(torn, ["{\"time\":\"2024-01-01T00:0"]);
    // Ended once, not with every start.
    Log::open(&config).unwrap().append(&record("fourth")).await.unwrap();
    assert_eq!(read(&config).1.len(), 1);
}

#[tokio::test]
async fn a_writer_that_is_gone_refuses_instead_of_waiting() {
    let (lines, waiting) = mpsc::channel(1);
    drop(waiting);
    let outcome = Log { lines, failing: Arc::default() }.append(&record("lost")).await;
    assert!(matches!(outcome, Err(Error::Write { .. })));

    // It dies while the record waits.
    let (lines, mut waiting) = mpsc::channel::<Line>(1);
    let log = Log { lines, failing: Arc::default() };
    let lost = record("lost");
    let (outcome, ()) = tokio::join!(log.append(&lost), async { drop(waiting.recv().await) });
    assert!(matches!(outcome, Err(Error::Write { .. })));
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_what_is_in_it_stays() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let config = at(&directory, Durability::Write);
    for id in ["one", "two"] {
        Log::open(&config).unwrap().append(&record(id)).await.unwrap();
    }
    assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read(&config).0, ["one", "two"]);
}

/// A disk that is always full (full(4)).
const FULL: &str = "/dev/full";
