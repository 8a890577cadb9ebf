//! `skms audit`, on logs as a gateway leaves them.

use std::{fs, path::Path, sync::Arc, time::Duration};

use super::Shell;
use crate::{
    audit::{Log, Refused},
    catalog::Catalog,
    config::Config,
    model::Reason,
    server::witnesses,
};

const CONFIG: &str = "[catalog]\npath = 'state/catalog.db'\n[audit]\npath = 'log/audit.jsonl'\n\
                      anchor_file = 'anchors.jsonl'\n[backends.software.soft]\nmaster_key = 'file:key'\n";

/// A run of a gateway that refuses somebody, as far as the log goes. The catalog stays
/// open.
fn run(directory: &Path) -> Arc<Catalog> {
    fs::write(directory.join("skms.toml"), CONFIG).unwrap();
    let config = Config::load(&directory.join("skms.toml"), std::iter::empty()).unwrap();
    let catalog = Arc::new(Catalog::open(&config.catalog).unwrap());
    let witnesses = witnesses::of(&config.audit, &config.catalog, &catalog).unwrap();
    let log = Log::open_with(&config.audit, witnesses).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for request_id in ["one", "two"] {
            let refused = Refused {
                source: "192.0.2.1",
                caller: None,
                peer: "192.0.2.1:50000",
                certificate: None,
                request_id,
                rpc: "unknown",
                reason: Reason::TokenMissing,
                detail: "why",
                latency: Duration::ZERO,
            };
            log.refused(&refused).await;
        }
        log.close().await;
    });
    catalog
}

#[test]
fn a_log_is_verified_beside_the_gateway_that_writes_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    drop(run(directory.path()));
    let _catalog = run(directory.path());
    let key = fs::metadata(directory.path().join("state/audit.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // The key was made once.
    let public = fs::read_to_string(directory.path().join("state/audit.pub")).unwrap();
    assert_eq!(public.matches("BEGIN PUBLIC KEY").count(), 1);

    let (shell, at) = (Shell::new(), directory.path().display());
    let done = shell.skms(&format!("audit verify --config {at}/skms.toml"));
    assert_eq!((done.exit, done.stderr.as_str()), (0, ""), "{}", done.text());
    assert_eq!(
        done.text(),
        "RECORDS          10, from 1 to 10\nCHECKPOINTS      4\nLAST CHECKPOINT  10\nLAST ANCHOR      10\n\
         NOT ANCHORED     0 records at the end\ngood: nothing was changed\n"
    );
    let elsewhere = format!(
        "audit verify --log {at}/log/audit.jsonl --public-key {at}/state/audit.pub --anchor {at}/anchors.jsonl"
    );
    let report = shell.skms(&format!("{elsewhere} --output json")).json();
    assert_eq!((&report["good"], &report["unanchored"]), (&true.into(), &0.into()), "{report}");

    // What could not be checked is not called good.
    let signed = format!("audit verify --log {at}/log/audit.jsonl --public-key {at}/state/audit.pub");
    let done = shell.skms(&signed);
    let good = "good as far as it goes: nothing was changed up to record 10; no anchor was given, so records cut \
                off the end cannot be noticed\n";
    assert!(done.exit == 0 && done.text().ends_with(good), "{}", done.text());

    let log = directory.path().join("log/audit.jsonl");
    let whole = fs::read_to_string(&log).unwrap();
    fs::write(&log, whole.replace("two", "too")).unwrap();
    let done = shell.skms(&format!("audit verify --config {at}/skms.toml"));
    assert_eq!(done.exit, 3);
    let found = format!("found: {}:4: record 4 was changed, or the one before it was\n", log.display());
    assert!(done.text().contains(&found), "{}", done.text());
    let cut: String = whole.lines().take(6).map(|line| format!("{line}\n")).collect();
    fs::write(&log, cut).unwrap();
    let report = shell.skms(&format!("{elsewhere} --output json"));
    let (exit, report) = (report.exit, report.json());
    let finding = &report["findings"][0];
    assert_eq!(
        (exit, &finding["problem"], &finding["anchor"]),
        (3, &"truncated".into(), &10.into()),
        "{report}"
    );
}

#[test]
fn what_a_log_is_held_against_must_be_named_and_be_there() {
    let shell = Shell::new();
    assert_eq!(shell.skms("audit verify").exit, 2);
    assert_eq!(shell.skms("audit verify --log /nowhere/audit.jsonl").exit, 2);
    let done = shell.skms("audit verify --log /nowhere/audit.jsonl --public-key /nowhere/audit.pub");
    assert_eq!(done.exit, 1);
    assert!(done.stderr.starts_with("error: cannot read `/nowhere/audit.pub`: "), "{}", done.stderr);
}

#[test]
fn a_log_of_which_nothing_is_signed_is_not_called_good() {
    let directory = tempfile::tempdir().unwrap();
    drop(run(directory.path()));
    let log = directory.path().join("log/audit.jsonl");
    let first: String =
        fs::read_to_string(&log).unwrap().lines().take(1).map(|line| format!("{line}\n")).collect();
    fs::write(&log, first).unwrap();
    let at = directory.path().display();
    let done = Shell::new()
        .skms(&format!("audit verify --log {at}/log/audit.jsonl --public-key {at}/state/audit.pub"));
    let good = "good as far as it goes: no signature and no anchor could be checked, so whoever can write the log \
                may have written all of it anew\n";
    assert!(done.exit == 0 && done.text().ends_with(good), "{}", done.text());
}
