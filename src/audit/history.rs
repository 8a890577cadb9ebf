//! What became of keys since some time, as the log tells: read to make up for it where a
//! catalog of that time is brought back.
//!
//! **Invariant:** what brings a version into use is not read: nothing gets better by it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Deserialize;

use super::chain::Kind;
use crate::model::{Action, KeyId, Turn, Verb};

/// What a log tells.
#[derive(Debug, Default)]
pub struct History {
    /// When its first record was written; `None` where it has none.
    pub begins: Option<SystemTime>,
    /// What was done to keys, in the order in which it was.
    pub turns: Vec<Turn>,
}

/// What every line has.
#[derive(Deserialize)]
struct Line {
    kind: String,
    time: String,
}

/// What a record of a decision has, as far as it matters here.
#[derive(Deserialize)]
struct Decision {
    phase: String,
    action: String,
    result: Option<String>,
    key: Option<KeyId>,
    version: Option<u32>,
    #[serde(default)]
    versions: Vec<u32>,
    #[serde(default)]
    repeated: bool,
    #[serde(default)]
    validate_only: bool,
}

/// Reads the files of a log, the oldest first. A line that a crash cut off is none.
///
/// # Errors
/// When a file cannot be read, or a line in it was never one of the log.
pub fn history(files: &[PathBuf], since: SystemTime) -> io::Result<History> {
    let mut history = History::default();
    for path in files {
        read(path, since, &mut history)?;
    }
    Ok(history)
}

fn read(path: &Path, since: SystemTime, history: &mut History) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    while reader.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        if line.ends_with(b"\n") {
            let Some(turn) = told(&line, since, &mut history.begins) else {
                let what = format!("line {number} of `{}` is no record", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            history.turns.extend(turn);
        }
        line.clear();
    }
    Ok(())
}

/// What a line tells; `None` where it is none of the log.
fn told(line: &[u8], since: SystemTime, begins: &mut Option<SystemTime>) -> Option<Option<Turn>> {
    let Line { kind, time } = serde_json::from_slice(line).ok()?;
    let at = humantime::parse_rfc3339(&time).ok()?;
    begins.get_or_insert(at);
    if kind != Kind::Decision.name() || at < since {
        return Some(None);
    }
    Some(serde_json::from_slice::<Decision>(line).ok()?.turn(at))
}

impl Decision {
    fn turn(self, at: SystemTime) -> Option<Turn> {
        let was_done = self.phase == "outcome" && self.result.as_deref() == Some("ok");
        if !was_done || self.repeated || self.validate_only {
            return None;
        }
        let (_, verb) = VERBS.into_iter().find(|(action, _)| action.name() == self.action)?;
        let versions = if verb == Verb::Destroy { vec![self.version?] } else { self.versions };
        Some(Turn { key: self.key?, verb, versions, at })
    }
}

const VERBS: [(Action, Verb); 5] = [
    (Action::DisableKey, Verb::Disable),
    (Action::MarkKeyCompromised, Verb::MarkCompromised),
    (Action::ScheduleKeyDestruction, Verb::ScheduleDestruction),
    // It takes nothing back but a destruction that is made up for as well.
    (Action::RestoreKey, Verb::Restore),
    (Action::DestroyKey, Verb::Destroy),
];

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn line(seconds: u64, rest: &str) -> String {
        format!("{{\"time\":\"{}\",{rest}}}\n", humantime::format_rfc3339(at(seconds)))
    }

    #[test]
    fn what_was_done_is_read_and_what_was_tried_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let done = |seconds, action: &str, more: &str| {
            line(
                seconds,
                &format!(
                    r#""kind":"decision","phase":"outcome","action":"{action}","result":"ok","key":"k"{more}"#
                ),
            )
        };
        let text = [
            line(1, r#""kind":"open","version":"0.1.0""#),
            line(5, &format!(r#""kind":"checkpoint","key":"{}""#, "0".repeat(64))),
            done(2, "disable-key", ""),
            done(5, "disable-key", r#","versions":[1,2]"#),
            done(6, "disable-key", r#","repeated":true"#),
            done(6, "disable-key", r#","validate_only":true"#),
            line(6, r#""kind":"decision","phase":"intent","action":"disable-key","key":"k""#),
            line(
                6,
                r#""kind":"decision","phase":"outcome","action":"disable-key","key":"k","result":"KEY_DESTROYED""#,
            ),
            done(7, "enable-key", ""),
            done(8, "mark-key-compromised", ""),
            done(9, "destroy-key", r#","version":3"#),
            r#"{"time":"2026-01-01T00:00:00Z","phase":"outc"#.to_owned(),
        ];
        fs::write(&path, text.concat()).unwrap();
        let read = history(std::slice::from_ref(&path), at(5)).unwrap();
        assert_eq!(read.begins, Some(at(1)));
        let turn = |verb, versions: &[u32], seconds| Turn {
            key: "k".parse().unwrap(),
            verb,
            versions: versions.into(),
            at: at(seconds),
        };
        let expected = [
            turn(Verb::Disable, &[1, 2], 5),
            turn(Verb::MarkCompromised, &[], 8),
            turn(Verb::Destroy, &[3], 9),
        ];
        assert_eq!(read.turns, expected);
        fs::write(&path, "{}\n").unwrap();
        assert!(history(&[path], at(0)).unwrap_err().to_string().contains("line 1"));
    }
}
