//! Whole commands against a server in the same process: what is printed where,
//! and with which exit code.

mod audit;
mod backup;
mod bulk;
mod cipher;
mod import;
mod secrets;
mod token;

use std::{ffi::OsString, fs, io, io::Write, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;

use super::{Terminal, run};
use crate::client::fake::{Fake, pki};

/// What a command left behind.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) exit: u8,
    stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Done {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap()
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe whose reader has left.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct Shell {
    fake: Fake,
    stdin: &'static [u8],
    interactive: bool,
}

impl Shell {
    pub(super) fn new() -> Self {
        Self { fake: Fake::tcp(), stdin: b"", interactive: false }
    }

    /// Runs `skms` with the words of a line.
    pub(super) fn skms(&self, line: &str) -> Done {
        self.with_stdout(line, None)
    }

    fn with_stdout(&self, line: &str, stdout: Option<Box<dyn Write>>) -> Done {
        let (captured, stderr) = (Captured::default(), Captured::default());
        let mut terminal = Terminal {
            stdin: Box::new(self.stdin),
            stdout: stdout.unwrap_or_else(|| Box::new(captured.clone())),
            stderr: Box::new(stderr.clone()),
            interactive: self.interactive,
            watched: false,
        };
        let words = std::iter::once("skms").chain(line.split_whitespace()).map(OsString::from);
        let endpoint = |name: &str| (name == "SKMS_ENDPOINT").then(|| self.fake.endpoint().into());
        let exit = run(words, endpoint, &mut terminal).number();
        let stdout = std::mem::take(&mut *captured.0.lock());
        let stderr = String::from_utf8(std::mem::take(&mut *stderr.0.lock())).unwrap();
        Done { exit, stdout, stderr }
    }
}

#[test]
fn a_key_is_made_shown_and_rotated() {
    let shell = Shell::new();
    for line in ["keys create ec-p256 --id payroll", "keys get payroll --full", "keys rotate payroll"] {
        let done = shell.skms(line);
        assert_eq!((done.exit, done.stderr.as_str()), (0, ""), "{line}");
        assert!(done.text().starts_with("ID           payroll\n"), "{line}: {}", done.text());
        assert_eq!(shell.skms(&format!("{line} --output json")).json()["id"], "payroll", "{line}");
    }
}

#[test]
fn a_public_key_goes_through_a_pipe() {
    let shell = Shell::new();
    let done = shell.skms("keys get payroll --public-key");
    assert_eq!((done.exit, done.text()), (0, "-----BEGIN PUBLIC KEY-----\n"));
    let done = shell.skms("keys create ec-p256 --public-key-out -");
    assert_eq!((done.text(), done.stderr.as_str()), ("-----BEGIN PUBLIC KEY-----\n", "made `made`\n"));
    assert_eq!(shell.skms("keys create ec-p256 --public-key-out - --output json").exit, 2);
}

#[test]
fn a_public_key_is_written_in_its_format_and_whole() {
    let shell = Shell::new();
    for (format, number, end) in [("pem", 1, "\n"), ("der", 2, ""), ("jwk", 3, "\n"), ("raw", 4, "")] {
        let done = shell.skms(&format!("keys public payroll --format {format}"));
        assert_eq!((done.exit, done.text()), (0, format!("public:{number}{end}").as_str()), "{format}");
    }
    assert_eq!(shell.skms("keys public payroll").text(), "public:1\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let line = format!("keys public payroll --format raw --version 2 --out {}", path.display());
    assert_eq!((shell.skms(&line).text(), fs::read(&path).unwrap().as_slice()), ("", b"public:4".as_slice()));
    let expected = serde_json::json!({
        "key_id": "payroll",
        "version": 2,
        "key_type": "ec-p256",
        "format": "raw",
        "public_key": "cHVibGljOjQ=",
        "public_key_crc32c": crc32c::crc32c(b"public:4"),
        "public_key_sha256": "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=",
        "signature_algorithms": ["ecdsa-p256-sha256"],
        "encryption_algorithms": [],
        "version_state": "enabled",
    });
    assert_eq!(shell.skms(&format!("{line} --output json")).json(), expected);
    let done = shell.skms("keys public damaged");
    assert_eq!((done.exit, done.text()), (1, ""));
    let shell = Shell { interactive: true, ..Shell::new() };
    assert_eq!(shell.skms("keys public payroll --format der").text(), "cHVibGljOjI=\n");
    for wrong in ["keys public", "keys public payroll --format p12", "keys public payroll --version 0"] {
        assert_eq!(shell.skms(wrong).exit, 2, "{wrong}");
    }
}

#[test]
fn versions_are_listed_from_all_pages() {
    let shell = Shell::new();
    let text = shell.skms("keys versions payroll");
    let first: Vec<_> = text.text().lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, ["VERSION", "3", "2", "1"]);
    let versions = shell.skms("keys versions payroll --output json").json();
    assert_eq!((&versions[0]["version"], &versions[2]["state"]), (&3.into(), &"enabled".into()));
    assert_eq!(shell.skms("keys versions missing").exit, 4);
}

#[test]
fn a_key_that_was_made_is_named_when_its_public_key_cannot_be_written() {
    let done = Shell::new().skms("keys create ec-p256 --public-key-out /nonexistent/key.pem");
    assert_eq!(done.exit, 1);
    assert!(done.stderr.contains("the key `made` was made"), "{}", done.stderr);
    assert!(done.stderr.contains("error: cannot write `/nonexistent/key.pem`: "), "{}", done.stderr);
}

#[test]
fn all_pages_are_listed_up_to_the_limit() {
    let shell = Shell::new();
    for (line, expected) in [
        ("keys list --output json", 7),
        ("keys list --output json --page-size 2", 7),
        ("keys list --output json --page-size 2 --limit 5", 5),
        ("keys list --output json --limit 1", 1),
    ] {
        let done = shell.skms(line);
        let keys = done.json();
        assert_eq!(keys.as_array().unwrap().len(), expected, "{line}");
        assert_eq!(keys[0]["id"], "key-0");
        assert_eq!(done.stderr, "these backends do not answer now: tpm\n");
    }
    assert_eq!(shell.skms("keys list").text().lines().count(), 8);
}

#[test]
fn a_signature_is_bare_and_verifies() {
    let shell = Shell { stdin: b"hello", ..Shell::new() };
    let done = shell.skms("sign payroll");
    assert_eq!((done.exit, done.text()), (0, "signed:hello"));
    assert_eq!(done.stderr, "signed with `payroll` version 1, ecdsa-p256-sha256 (der), protection hsm\n");

    let folder = tempfile::tempdir().unwrap();
    let signature = folder.path().join("signature");
    let path = signature.display();
    for form in ["raw", "base64", "hex"] {
        assert_eq!(shell.skms(&format!("sign payroll --in - --format {form} --out {path}")).text(), "");
        let done = shell.skms(&format!("verify payroll --signature {path} --format {form}"));
        let valid = "valid: `payroll` version 1 (enabled), ecdsa-p256-sha256\n";
        assert_eq!((done.exit, done.text()), (0, valid), "{}", done.stderr);
    }

    fs::write(&signature, "signed:other").unwrap();
    let done = shell.skms(&format!("verify payroll --signature {path}"));
    assert_eq!(done.exit, 3);
    assert!(done.text().starts_with("invalid: "), "{}", done.text());
    let done = shell.skms(&format!("verify payroll --signature {path} --output json"));
    assert_eq!((done.exit, &done.json()["valid"]), (3, &Value::Bool(false)));
}

#[test]
fn digests_are_signed_and_verified_in_place_of_messages() {
    let shell = Shell { stdin: b"signed:\xab\xcd", ..Shell::new() };
    assert_eq!(shell.skms("sign payroll --digest abcd --hash sha256").stdout, b"signed:\xab\xcd");
    assert_eq!(shell.skms("verify payroll --digest abcd --hash sha256 --signature -").exit, 0);
    for wrong in [
        "sign payroll --digest abcd",
        "sign payroll --hash sha256",
        "sign payroll --digest xyz --hash sha256",
        "sign payroll --digest abcd --hash md5",
        "sign payroll --digest abcd --hash sha256 --in file",
        "verify payroll --signature -",
    ] {
        assert_eq!(shell.skms(wrong).exit, 2, "{wrong}");
    }
}

#[test]
fn bytes_do_not_reach_a_terminal() {
    let shell = Shell { stdin: b"hello", interactive: true, ..Shell::new() };
    assert_eq!(shell.skms("sign payroll").text(), "c2lnbmVkOmhlbGxv\n");
    assert_eq!(shell.skms("sign payroll --format raw").text(), "c2lnbmVkOmhlbGxv\n");
    assert_eq!(shell.skms("sign payroll --format hex").text(), "7369676e65643a68656c6c6f\n");
}

#[test]
fn with_json_the_signature_is_in_the_document() {
    let shell = Shell { stdin: b"hello", ..Shell::new() };
    let done = shell.skms("sign payroll --output json");
    assert_eq!(done.stderr, "");
    let expected = serde_json::json!({
        "signature": "c2lnbmVkOmhlbGxv",
        "key_id": "payroll",
        "version": 1,
        "algorithm": "ecdsa-p256-sha256",
        "encoding": "der",
        "signature_crc32c": crc32c::crc32c(b"signed:hello"),
        "verified_input_crc32c": true,
        "protection_level": "hsm",
        "reference": "",
    });
    assert_eq!(done.json(), expected);
}

#[test]
fn an_answer_that_contradicts_itself_is_not_used() {
    let shell = Shell { stdin: b"hello", ..Shell::new() };
    let done = shell.skms("sign damaged");
    assert_eq!((done.exit, done.text()), (1, ""));
    assert!(done.stderr.contains("damaged on its way"), "{}", done.stderr);
    let folder = tempfile::tempdir().unwrap();
    let signature = folder.path().join("signature");
    fs::write(&signature, "signed:hello").unwrap();
    let done = shell.skms(&format!("verify damaged --signature {}", signature.display()));
    assert_eq!((done.exit, done.text()), (1, ""));
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let shell = Shell::new();
    let done = shell.skms("keys get broken");
    assert_eq!((done.exit, done.text()), (2, ""));
    assert_eq!(
        done.stderr,
        "error: the request is not valid\n  \
         reason: FIELD_INVALID (keyId broken)\n  \
         field key_id: has a bad \\u{1b}[31mcharacter\n  \
         request id: req-1\n"
    );
    assert_eq!(shell.skms("keys get missing").exit, 4);
    assert_eq!(shell.skms("keys get denied").exit, 5);
    let done = shell.skms("keys get slow --timeout 50ms");
    assert_eq!(done.exit, 7);
    assert_eq!(
        done.stderr,
        "error: no answer within 50ms\n  code: DeadlineExceeded\n  hint: --timeout allows more time\n"
    );
}

#[test]
fn a_gateway_that_does_not_run_is_asked_for() {
    let done = Shell::new().skms("health --endpoint http://127.0.0.1:1");
    assert_eq!(done.exit, 7);
    assert!(done.stderr.starts_with("error: cannot connect to http://127.0.0.1:1: "), "{}", done.stderr);
    assert!(done.stderr.contains("hint: is the gateway running?"), "{}", done.stderr);
}

#[test]
fn the_wrong_scheme_is_hinted_at() {
    let (ca, certificate, key) = pki();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, ca).unwrap();

    let shell = Shell::new();
    let https = shell.fake.endpoint().replace("http:", "https:");
    let done = shell.skms(&format!("health --endpoint {https} --ca {}", path.display()));
    assert_eq!(done.exit, 78);
    assert!(done.stderr.contains("hint: does the gateway speak TLS"), "{}", done.stderr);

    let shell = Shell { fake: Fake::tls(&certificate, &key), ..Shell::new() };
    assert_eq!(shell.skms(&format!("health --ca {}", path.display())).exit, 0);
    let http = shell.fake.endpoint().replace("https:", "http:");
    let done = shell.skms(&format!("health --endpoint {http}"));
    assert_eq!(done.exit, 7, "{}", done.stderr);
    assert!(
        done.stderr.starts_with("error: the connection was lost before the answer came: "),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("does the endpoint want https://"), "{}", done.stderr);
}

#[test]
fn health_is_an_exit_code() {
    let shell = Shell::new();
    let done = shell.skms("health");
    assert_eq!((done.exit, done.text()), (0, "serving\n"));
    assert_eq!(shell.skms("health --output json").json()["status"], "serving");
    assert_eq!(shell.skms("health --service nobody").exit, 4);
}

#[test]
fn backends_are_listed_and_shown() {
    let shell = Shell::new();
    assert!(shell.skms("backends").text().starts_with("NAME "));
    assert!(shell.skms("backends softhsm").text().starts_with("NAME          softhsm\n"));
    assert_eq!(shell.skms("backends --output json").json()[0]["name"], "softhsm");
    assert_eq!(shell.skms("backends softhsm --output json").json()["name"], "softhsm");
}

#[test]
fn a_reader_who_leaves_is_no_failure() {
    let shell = Shell::new();
    for line in ["keys list", "--help", "completions bash"] {
        let done = shell.with_stdout(line, Some(Box::new(Broken)));
        assert_eq!((done.exit, done.stderr.contains("error")), (0, false), "{line}");
    }
}

#[test]
fn help_version_and_completions_need_no_gateway_and_no_profile() {
    let shell = Shell::new();
    let done = shell.skms("--help");
    assert_eq!(done.exit, 0);
    assert!(done.text().contains("Exit codes:"), "{}", done.text());
    assert!(shell.skms("--version").text().starts_with("skms "));
    for name in ["bash", "zsh", "fish"] {
        let done = shell.skms(&format!("completions {name} --profile /nonexistent"));
        assert!(done.exit == 0 && done.text().contains("rotate"), "{name}");
    }
}

#[test]
fn wrong_usage_and_wrong_configuration_are_told_apart() {
    let shell = Shell::new();
    for line in ["", "keys", "keys paint", "keys get", "health --endpoint nowhere", "health --timeout 0s"] {
        let done = shell.skms(line);
        assert_eq!((done.exit, done.text()), (2, ""), "{line}");
    }
    assert_eq!(shell.skms("health --profile /nonexistent").exit, 78);
    assert_eq!(shell.skms("health --token-file /nonexistent").exit, 78);
    assert_eq!(shell.skms("health --endpoint https://localhost:1").exit, 78);
}

#[test]
fn the_arguments_fit_together() {
    <super::Cli as clap::CommandFactory>::command().debug_assert();
}
