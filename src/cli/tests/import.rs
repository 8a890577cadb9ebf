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
