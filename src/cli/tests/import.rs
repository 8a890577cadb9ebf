//! `skms keys import` and `skms keys csr`: what is sent, and what is refused before that.

use std::fs;

use super::Shell;

#[test]
fn material_goes_in_the_clear_only_if_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("key"), [7; 32]).unwrap();
    fs::write(path("old.pem"), "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n")
        .unwrap();
    fs::write(path("key.pem"), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let shell = Shell::new();
    for file in ["key", "key.pem"] {
        let line = format!("keys import aes-256 --id payroll --in {}", path(file));
        let done = shell.skms(&format!("{line} --plain"));
        assert_eq!((done.exit, done.stderr.as_str()), (0, ""), "{file}");
        assert!(done.text().starts_with("ID           payroll\n"), "{}", done.text());
        // Without it a job is asked for, and the fake gateway has none.
        assert_ne!(shell.skms(&line).exit, 0, "{file}");
    }
    let done = shell.skms(&format!("keys import ec-p256 --plain --in {}", path("old.pem")));
    assert_eq!(done.exit, 2);
    assert!(done.stderr.contains("openssl pkcs8 -topk8 -nocrypt"), "{}", done.stderr);
}

#[test]
fn many_files_are_many_keys_named_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for name in ["a.key", "b.2026.key", "long.key"] {
        fs::write(path(name), vec![7; if name == "long.key" { 40_000 } else { 32 }]).unwrap();
    }
    let line =
        format!("keys import aes-256 --plain --prefix moved- --in {} {}", path("b.2026.key"), path("a.key"));
    let done = Shell::new().skms(&line);
    assert_eq!((done.exit, done.stderr.as_str()), (0, "imported 2\n"));
    let lines: Vec<Vec<_>> = done.text().lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [["ID", "FILE"], ["moved-a", &path("a.key")], ["moved-b.2026", &path("b.2026.key")]];
    assert_eq!(lines, expected);
    let line = format!("{line} {} {} --output json", path("long.key"), path("not-there"));
    let done = Shell::new().skms(&line);
    // They fail for different reasons.
    assert_eq!(done.exit, 1, "{}", done.stderr);
    assert!(done.stderr.contains("long.key: error: ") && done.stderr.contains("not-there: error: "));
    let json = done.json();
    let said: Vec<_> =
        json.as_array().unwrap().iter().map(|view| (&view["key_id"], &view["outcome"])).collect();
    let expected = [
        ("moved-a", "imported"),
        ("moved-b.2026", "imported"),
        ("moved-long", "failed"),
        ("moved-not-there", "failed"),
    ]
    .map(|(id, outcome)| (id.into(), outcome.into()));
    assert_eq!(said, expected.each_ref().map(|(id, outcome)| (id, outcome)));
    assert_eq!((&json[0]["key"]["id"], &json[2]["key"]), (&"moved-a".into(), &serde_json::Value::Null));
}

#[test]
fn what_is_for_one_key_is_refused_for_many() {
    let shell = Shell::new();
    for (arguments, part) in [
        ("--in a.pem b.pem --id x", "`--id` is for one key"),
        ("--in a.pem b.pem --alias x", "`--alias` is for one key"),
        ("--in a.pem b.pem --public-key-out x", "`--public-key-out` is for one key"),
        (
            "--in a.pem b.pem --request-id 7b0b0f6e-58f5-4d53-9d0b-6d1f6f1f0a0a",
            "`--request-id` is for one key",
        ),
        ("--in a.pem --prefix b- --id x --new-version", "`--id` is for one key"),
        ("--in a.pem b/a.der", "`a.pem` and `b/a.der` would both be the key `a`"),
        ("--in a.pem -", "stdin has no name"),
        ("--in - -", "stdin can be only one"),
    ] {
        let done = shell.skms(&format!("keys import ec-p256 {arguments}"));
        assert_eq!(done.exit, 2, "{arguments}");
        assert!(done.stderr.contains(part), "{arguments}: {}", done.stderr);
    }
}

#[test]
fn what_only_a_new_version_has_is_refused_without_one() {
    let shell = Shell::new();
    for line in [
        "keys import ec-p256",
        "keys import ec-p256 --in x --stage-only",
        "keys import ec-p256 --in x --etag 1",
        "keys import ec-p256 --in x --new-version",
        "keys import ec-p256 --in x --id payroll --new-version --import-only",
        "keys import ec-p256 --in x --id payroll --new-version --label a=b",
        "keys import ec-p256 --in x --plain --job job",
    ] {
        assert_eq!(shell.skms(line).exit, 2, "{line}");
    }
}

#[test]
fn a_certificate_request_is_written_as_text_or_bytes() {
    let shell = Shell::new();
    let done = shell.skms("keys csr payroll --subject CN=a --dns a.example --uri urn:a");
    assert_eq!((done.exit, done.text()), (0, "request of CN=a\n"));
    assert_eq!(shell.skms("keys csr payroll --dns a.example --der").text(), "request");
    let json = shell.skms("keys csr payroll --subject CN=a --output json").json();
    assert_eq!(
        (&json["pem"], &json["algorithm"]),
        (&"request of CN=a\n".into(), &"ecdsa-p256-sha256".into())
    );
}
