//! The audit trail through what happens to a machine: a process that is killed in the
//! midst of its work, and a file system without room. Whatever was answered is on
//! record, and the record is the one that was written.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use skms::client::{Client, Token};
use skms_tests::gateway::{Gateway, Home};
use tokio::{sync::mpsc, task::JoinSet};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    ask::{PROGRAM, create, outcome, sign},
    program::{self, Ended},
};

/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(30);
/// Within this a full disk is told of.
const SOON: Duration = Duration::from_secs(1);
/// How often the gateway is killed; with `SKMS_TEST_LONG`, often.
const KILLS: usize = 4;
const LONG_KILLS: usize = 200;

/// What `skms audit verify` says of the log of a home.
fn verified(home: &Home) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.args(["audit", "verify", "--output", "json", "--config"]).arg(home.config());
    program::run(command, b"")
}

/// Signs until the gateway is gone, and says how often that was answered.
async fn until_gone(client: Client, answered: mpsc::UnboundedSender<()>) -> usize {
    let mut done = 0;
    while client.sign(sign("key", "text")).await.is_ok() {
        done += 1;
        let _ = answered.send(());
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_without_a_record_however_often_the_gateway_is_killed() {
    const CALLERS: usize = 16;
    let kills = if std::env::var_os("SKMS_TEST_LONG").is_some() { LONG_KILLS } else { KILLS };
    // Many checkpoints and files, so that some of the kills come in between.
    let home = Home::software(PROGRAM);
    let variables =
        || [("SKMS__AUDIT__CHECKPOINT_RECORDS", "100".into()), ("SKMS__AUDIT__ROTATE_BYTES", "65536".into())];
    let gateway = home.start_with(variables());
    gateway.client().await.create_key(create("ed25519", "key", "soft")).await.unwrap();
    assert!(gateway.stop().await.success());
    let mut acknowledged = BTreeMap::<String, usize>::new();
    for round in 0..kills {
        let gateway = home.start_with(variables());
        let (answered, mut answers) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let name = format!("caller-{caller}");
            let token = Token::new(&home.idp().token(&name, &["signer"])).unwrap();
            let client = gateway.client().await.with_token(token);
            let answered = answered.clone();
            callers.spawn(async move { (name, until_gone(client, answered).await) });
        }
        // In the midst of it, at another moment each time.
        for _ in 0..50 + 37 * round % 400 {
            answers.recv().await.unwrap();
        }
        tokio::task::spawn_blocking(move || gateway.kill()).await.unwrap();
        for (name, done) in callers.join_all().await {
            *acknowledged.entry(name).or_default() += done;
        }
        let ended = verified(&home);
        assert_eq!(ended.code, Some(0), "after kill {round}: {} {}", ended.text(), ended.stderr);
    }
    // The next start goes on where the last one was cut off.
    let gateway = home.start_with(variables());
    gateway.client().await.sign(sign("key", "text")).await.unwrap();
    assert!(gateway.stop().await.success());
    let ended = verified(&home);
    assert_eq!(ended.code, Some(0), "{} {}", ended.text(), ended.stderr);
    let mut recorded = BTreeMap::<String, usize>::new();
    for record in records(home.path()) {
        if record["action"] == "sign-message" && record["result"] == "ok" {
            *recorded.entry(record["subject"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    let total: usize = acknowledged.values().sum();
    for (name, done) in acknowledged {
        let there = recorded.get(&name).copied().unwrap_or_default();
        assert!(there >= done, "{name}: {done} answers, {there} records");
    }
    println!("{kills} kills, {total} answers of {CALLERS} callers, each on record");
}

/// Every record of a log and of those that it was rotated to.
fn records(directory: &Path) -> Vec<serde_json::Value> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with("audit.jsonl"));
    let text = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<String>();
    // A line that a kill has cut off is none.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits until something holds, and says after how long it did.
async fn until(what: &str, gateway: &Gateway, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}: {}", gateway.log());
        tokio::task::yield_now().await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_without_room_stops_the_gateway_and_room_starts_it_again() {
    let home = Home::software(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/small.sh"));
    let small = home.path().join("small");
    fs::create_dir(&small).unwrap();
    let gateway = home.start_with([
        ("GATEWAY", PROGRAM.into()),
        ("SMALL", small.clone().into()),
        ("SKMS__AUDIT__PATH", small.join("audit.jsonl").into()),
    ]);
    // The file system, as the process of the gateway sees it.
    let inside = PathBuf::from(format!("/proc/{}/root{}", gateway.pid(), small.display()));
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "soft")).await.unwrap();
    client.sign(sign("key", "text")).await.unwrap();

    let filler = inside.join("filler");
    let full = fs::write(&filler, vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // What room was left in the last page of the log is used up.
    let mut answered = 0;
    let refused = loop {
        let begun = Instant::now();
        match client.sign(sign("key", "text")).await {
            Ok(_) => answered += 1,
            refused => {
                assert!(begun.elapsed() < SOON + SOON, "it hung for {:?}", begun.elapsed());
                break outcome(&refused);
            }
        }
    };
    assert_eq!(refused, "Unavailable AUDIT_UNAVAILABLE");
    let told = until("health says that all is well", &gateway, async || {
        client.health("").await.unwrap() == ServingStatus::NotServing
    });
    let told = told.await;
    assert!(told < SOON, "health said so after {told:?}");
    for _ in 0..100 {
        assert_eq!(outcome(&client.sign(sign("key", "text")).await), "Unavailable AUDIT_UNAVAILABLE");
    }

    // What an operator does: out of the way with the log, and then room for a new one.
    fs::rename(inside.join("audit.jsonl"), inside.join("moved.jsonl")).unwrap();
    fs::remove_file(&filler).unwrap();
    let healed = until("health does not say that all is well", &gateway, async || {
        client.health("").await.unwrap() == ServingStatus::Serving
    });
    let healed = healed.await;
    client.sign(sign("key", "text")).await.unwrap();
    assert!(gateway.log().contains("cannot write the audit log"), "{}", gateway.log());
    // It goes with the gateway.
    let kept = ["moved.jsonl", "audit.jsonl"].map(|name| {
        let kept = home.path().join(format!("kept-{name}"));
        fs::copy(inside.join(name), &kept).unwrap();
        kept
    });
    let stopping = gateway.pid();
    assert!(gateway.stop().await.success());
    let mut command = Command::new(PROGRAM);
    command.args(["audit", "verify"]);
    command.args(kept.iter().flat_map(|kept| [OsStr::new("--log"), kept.as_os_str()]));
    command.arg("--public-key").arg(home.path().join("audit.pub"));
    let ended = program::run(command, b"");
    assert_eq!(ended.code, Some(0), "{} {}", ended.text(), ended.stderr);
    let text = kept.map(|kept| fs::read_to_string(kept).unwrap()).concat();
    let signed = text.matches("\"action\":\"sign-message\"").count();
    assert_eq!(signed, answered + 2, "each answer is on record, and nothing else is");
    assert!(text.contains("\"kind\":\"resumed\""), "that there was a gap is on record");
    println!(
        "process {stopping}: full, told by health after {told:.0?}; with room again, serving after {healed:.0?}; \
         {answered} answers between"
    );
}
