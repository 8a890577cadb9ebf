//! What lies on disk and in the token while no gateway runs.
//!
//! SoftHSM writes a new object attribute by attribute, and what it writes first is
//! not what it was asked for: killed within `C_GenerateKeyPair`, it leaves *blanks*,
//! objects that carry neither an identifier nor a label nor a key, or files with
//! nothing in them. Nobody can tell whose they are, so nobody removes them. They are
//! counted apart, and there are none where the crash was not inside SoftHSM.

use std::{collections::BTreeMap, fs};

use rusqlite::Connection;
use skms_tests::{gateway::Home, softhsm::SoftHsm};

use super::ledger::Ledger;

/// Demands that nothing is half there, and that every answer was recorded. Says how
/// many blanks there are in the token.
pub(super) fn demand_clean(home: &Home, ledger: &Ledger) -> usize {
    let catalog = Connection::open(home.path().join("catalog.db")).unwrap();
    let count = |sql: &str| catalog.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM versions WHERE state <> 'enabled'"), 0, "intents");
    assert_eq!(count("SELECT count(*) FROM requests WHERE answer IS NULL"), 0, "answers that wait");
    assert_eq!(
        count(
            "SELECT count(*) FROM keys WHERE primary_version NOT IN
               (SELECT number FROM versions WHERE key_id = keys.id)"
        ),
        0,
        "keys without a primary"
    );
    assert_eq!(count("SELECT count(*) FROM versions"), i64::try_from(ledger.versions()).unwrap(), "versions");
    let sound: String = catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    demand_records(home, ledger);
    home.softhsm().map_or(0, |token| demand_token(token, &catalog))
}

/// Every object belongs to a version or is blank, and every version has a pair of
/// objects.
fn demand_token(token: &SoftHsm, catalog: &Connection) -> usize {
    let mut statement = catalog.prepare("SELECT tag FROM versions WHERE backend = 'hsm'").unwrap();
    let tags = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let mut expected = BTreeMap::new();
    for tag in tags {
        let tag = hex::encode(tag.unwrap());
        expected.insert((tag.clone(), "private-key".to_owned()), 1);
        expected.insert((tag, "public-key".to_owned()), 1);
    }
    let (blank, whole): (Vec<_>, Vec<_>) =
        token.list().into_iter().partition(|object| object.id.is_empty() && object.label.is_empty());
    let mut found = BTreeMap::new();
    for object in whole {
        *found.entry((hex::encode(object.id), object.class)).or_insert(0) += 1;
    }
    assert_eq!(found, expected, "the objects in the token, and those of versions in the catalog");
    let empty = empty_files(token);
    let listed = expected.len() + blank.len();
    assert_eq!(token.object_files(), listed + empty, "files that the token does not list");
    blank.len() + empty
}

/// How many objects of the token are files with nothing in them.
fn empty_files(token: &SoftHsm) -> usize {
    let directory = fs::read_dir(token.token_dir()).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let objects = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "object"));
    objects.filter(|file| file.metadata().unwrap().len() == 0).count()
}

/// Every line is a record, and every answer has one that says how it ended.
fn demand_records(home: &Home, ledger: &Ledger) {
    let text = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(text.ends_with('\n'), "the last record is torn");
    let mut done = BTreeMap::new();
    for line in text.lines() {
        let record: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        if record["phase"] == "outcome" && record["result"] == "ok" {
            let what = (record["action"].as_str().unwrap(), record["key"].as_str().unwrap_or_default());
            *done.entry((what.0.to_owned(), what.1.to_owned())).or_insert(0) += 1;
        }
    }
    for ((call, key), answers) in ledger.answers() {
        let records = done.get(&(call.action().to_owned(), key.clone())).copied().unwrap_or_default();
        assert!(records >= *answers, "{answers} answers to {call:?} {key}, and {records} records");
    }
}
