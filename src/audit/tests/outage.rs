//! A log that cannot be written: nobody waits, nobody is answered, and it recovers by
//! itself.

use std::{
    io::{Read as _, Write as _},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::audit::{entry::Why, files::faults, sink::Sink};

#[test]
fn a_log_that_nobody_could_read_is_not_begun() {
    for path in ["/dev/null", "/dev/full"] {
        let config = Config { path: path.into(), ..Config::default() };
        let Err(Error::Open { source, .. }) = Log::open(&config) else { panic!("written to {path}") };
        assert_eq!(source.to_string(), "it is not a file");
    }
}

#[test]
fn a_log_whose_name_becomes_a_pipe_or_a_device_is_not_written() {
    for make in [(|path| std::os::unix::fs::symlink("/dev/null", path).unwrap()) as fn(&Path), |path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let (mut sink, _) = Sink::open(&path, Durability::Write, 0, Why::Start).unwrap();
        sink.write(b"first\n", 1).unwrap();
        fs::rename(&path, directory.path().join("kept")).unwrap();
        make(&path);
        assert_eq!(sink.settle().err().unwrap().to_string(), "it is not a file");
    }
}

#[test]
fn a_write_that_failed_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let (mut sink, _) = Sink::open(&path, Durability::Write, 0, Why::Start).unwrap();
    sink.write(b"first\n", 1).unwrap();
    // What a disk that became full in the middle has taken.
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"seco").unwrap();
    sink.damage();
    assert!(sink.settle().unwrap().is_none());
    sink.write(b"third\n", 2).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "first\nthird\n");
}

/// What an operator does with a disk that is full.
#[test]
fn a_log_that_is_moved_away_after_a_failed_write_takes_nothing_of_it_along() {
    let directory = tempfile::tempdir().unwrap();
    let (path, moved) = (directory.path().join("audit.jsonl"), directory.path().join("moved.jsonl"));
    let (mut sink, _) = Sink::open(&path, Durability::Write, 0, Why::Start).unwrap();
    sink.write(b"first\n", 1).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"second\nthi").unwrap();
    sink.damage();
    fs::rename(&path, &moved).unwrap();
    let opened = sink.settle().unwrap().unwrap();
    assert!(opened.left.is_none());
    sink.write(b"second\n", 2).unwrap();
    assert_eq!(fs::read_to_string(&moved).unwrap(), "first\n");
    assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
}

/// The directory is gone, so the file that was moved away cannot be begun anew.
#[tokio::test]
async fn a_log_that_fails_refuses_at_once_and_recovers_by_itself() {
    let shelf = Shelf::new();
    let log = shelf.open();
    log.append(&record("0")).await.unwrap();
    let (below, away) = (shelf.path().parent().unwrap(), shelf.directory.path().join("away"));
    fs::rename(below, &away).unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        assert!(matches!(log.append(&record("lost")).await, Err(Error::Write { .. })));
        assert!(begun.elapsed() < Duration::from_millis(500));
    }
    assert!(log.check().is_err() && log.state().failing && !*log.healthy().borrow());

    fs::rename(&away, below).unwrap();
    // Nobody calls.
    becomes(&log, true).await;
    log.append(&record("1")).await.unwrap();
    log.close().await;
    assert_eq!(shelf.ids(), ids(0..2));
    let resumed = shelf.of_kind("resumed");
    assert_eq!((resumed.len(), &resumed[0]["unanswered"]), (1, &4.into()));
    assert!(shelf.verify().good);
}

/// A pipe that nobody reads takes so much and then no more, like a disk that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_hangs_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    faults::slow_disk(&path);
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let log = Log::open(&Config { path, ..Config::default() }).unwrap();
    // Until it is full.
    let (mut written, begun) = (0, Instant::now());
    let hangs = loop {
        let begun = Instant::now();
        match log.append(&record("x")).await {
            Ok(()) => written += 1,
            Err(_) => break begun.elapsed(),
        }
    };
    assert!(hangs < Duration::from_millis(1000), "{hangs:?}");
    assert!(written > 10 && begun.elapsed() < Duration::from_secs(10));
    assert!(!*log.healthy().borrow());
    let refused = Instant::now();
    assert!(log.append(&record("x")).await.is_err());
    assert!(refused.elapsed() < Duration::from_millis(100));

    // Somebody reads again.
    let text = Arc::new(Mutex::new(Vec::new()));
    let read = Arc::clone(&text);
    thread::spawn(move || {
        let mut block = [0; 4096];
        while let Ok(length) = reader.read(&mut block) {
            read.lock().extend_from_slice(&block[..length]);
        }
    });
    becomes(&log, true).await;
    log.append(&record("last")).await.unwrap();
    let text = || String::from_utf8(text.lock().clone()).unwrap();
    while !text().contains("\"last\"") {
        tokio::task::yield_now().await;
    }
    let resumed = text().lines().find(|line| line.contains("\"resumed\"")).map(str::to_owned);
    let resumed: Value = serde_json::from_str(&resumed.unwrap()).unwrap();
    assert_eq!(resumed["unanswered"], 2);
}

#[tokio::test]
async fn a_writer_that_is_gone_refuses_instead_of_waiting() {
    let state = Arc::new(State::new(0));
    let (messages, waiting) = mpsc::channel(1);
    drop(waiting);
    let log = Log { messages, state: Arc::clone(&state) };
    assert!(matches!(log.append(&record("lost")).await, Err(Error::Write { .. })));
    assert!(log.state().failing && !*log.healthy().borrow());
    log.close().await;

    // It dies while the record waits.
    let (messages, mut waiting) = mpsc::channel::<Message>(1);
    let state = Arc::new(State::new(0));
    let log = Log { messages, state };
    let lost = record("lost");
    let (outcome, ()) = tokio::join!(log.append(&lost), async { drop(waiting.recv().await) });
    assert!(matches!(outcome, Err(Error::Write { .. })));
    assert!(!*log.healthy().borrow());
}

/// Signs once.
struct Mortal(AtomicBool);

impl Signer for Mortal {
    fn key(&self) -> &'static str {
        "mortal"
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Fault> {
        assert!(!self.0.swap(true, Ordering::Relaxed), "as a test wants it");
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_writer_that_dies_fails_health_though_nobody_calls() {
    let shelf = Shelf::with(|config| config.checkpoint_records = NonZeroU64::MIN);
    let signer: Arc<dyn Signer> = Arc::new(Mortal(AtomicBool::new(false)));
    let witnesses = Witnesses { signer: Some(signer), anchors: Vec::new() };
    let log = Log::open_with(&shelf.config, witnesses).unwrap();
    log.append(&record("0")).await.unwrap();
    becomes(&log, false).await;
}

/// A disk that fails once and then says that all is well is not believed.
#[tokio::test]
async fn what_a_disk_failed_to_make_safe_is_no_anchor_and_another_file_is_begun() {
    let shelf = Shelf::with(|config| config.checkpoint_records = NonZeroU64::MIN);
    let log = shelf.open();
    while shelf.notary.anchors.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let before = shelf.notary.anchors.lock().len();
    faults::once(shelf.path());
    log.append(&record("0")).await.unwrap();
    while rotated(shelf.path()).unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!log.state().failing);
    log.append(&record("1")).await.unwrap();
    log.close().await;
    let opened = shelf.of_kind("open").pop().unwrap();
    assert_eq!(opened["why"], "unsafe");
    let first = opened["seq"].as_u64().unwrap();
    let anchors: Vec<u64> = shelf.notary.anchors.lock().iter().map(|anchor| anchor.sequence).collect();
    assert!(anchors.len() > before && anchors[before..].iter().all(|anchor| *anchor > first), "{anchors:?}");
    assert_eq!((shelf.files().len(), shelf.ids()), (2, ids(0..2)));
    let report = shelf.verify();
    assert!(report.good && report.unanchored == 0, "{report:?}");
}

#[tokio::test]
async fn a_record_that_could_not_be_made_safe_is_refused_and_the_next_is_in_another_file() {
    let shelf = Shelf::with(|config| config.durability = Durability::Fsync);
    let log = Log::open(&shelf.config).unwrap();
    log.append(&record("0")).await.unwrap();
    faults::once(shelf.path());
    assert!(matches!(log.append(&record("lost")).await, Err(Error::Write { .. })));
    becomes(&log, true).await;
    log.append(&record("1")).await.unwrap();
    log.close().await;
    assert_eq!((shelf.files().len(), shelf.ids()), (2, ids(0..2)));
    assert_eq!(shelf.of_kind("open")[1]["why"], "unsafe");
    assert!(shelf.verify().good);
}

#[test]
fn a_file_of_which_the_name_is_not_safe_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    faults::once(directory.path());
    let open = |durability| Sink::open(&path, durability, 0, Why::Start);
    // Where nobody asked for that much, it is not looked at.
    assert!(open(Durability::Write).is_ok());
    assert!(open(Durability::Fsync).is_err());
    assert!(open(Durability::Fsync).is_ok());
}
