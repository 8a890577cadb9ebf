//! The units for systemd, as far as they can be held against it without being run.

use std::{fs, process::Command};

use crate::ask::PROGRAM;

/// Tenths of the exposure that `systemd-analyze security` finds, of 100; below 20 is "ok".
const MOST_EXPOSED: &str = "20";

const UNITS: [&str; 2] = ["skms.service", "skms.socket"];

/// A copy of the units that starts the gateway of these tests.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let text =
            fs::read_to_string(format!("{}/../config/systemd/{unit}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        fs::write(folder.path().join(unit), text.replace("/usr/bin/skms", PROGRAM)).unwrap();
    }
    folder
}

/// What systemd says of them; whether it is content.
fn analyze(folder: &tempfile::TempDir, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
        .current_dir(folder.path())
        .output()
        .unwrap_or_else(|error| panic!("cannot run systemd-analyze: {error}; run `apt-get install systemd`"));
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.success(), said)
}

#[test]
fn systemd_understands_every_line_of_the_units() {
    let folder = copy();
    let path = |unit: &str| folder.path().join(unit).display().to_string();
    let (good, said) = analyze(&folder, &["verify", "--man=no", &path(UNITS[0]), &path(UNITS[1])]);
    // Of other units of this machine it may say what it likes.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("skms")).collect();
    assert!(good && ours.is_empty(), "{said}");
}

#[test]
fn the_unit_gives_the_gateway_no_more_of_the_machine_than_it_needs() {
    let folder = copy();
    let threshold = format!("--threshold={MOST_EXPOSED}");
    let service = folder.path().join(UNITS[0]).display().to_string();
    let (good, said) = analyze(&folder, &["security", "--no-pager", "--offline=true", &threshold, &service]);
    let overall = said.lines().last().unwrap_or_default();
    println!("{overall}");
    assert!(good && overall.contains("Overall exposure level for skms.service"), "{said}");
}
