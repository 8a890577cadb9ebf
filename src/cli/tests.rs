//! Whole commands against a server in the same process: what is printed where,
//! and with which exit code.

use std::{ffi::OsString, fs, io, io::Write, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;

use super::{Terminal, run};
use crate::client::fake::{Fake, pki};

/// What a command left behind.
#[derive(Debug)]
struct Done {
    exit: u8,
    stdout: Vec<u8>,
    stderr: String,
}

impl Done {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    fn json(&self) -> Value {
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

struct Shell {
    fake: Fake,
    stdin: &'static [u8],
    interactive: bool,
}

impl Shell {
    fn new() -> Self {
        Self { fake: Fake::tcp(), stdin: b"", interactive: false }
    }

    /// Runs `skms` with the words of a line.
    fn skms(&self, line: &str) -> Done {
        self.with_stdout(line, None)
    }

    fn with_stdout(&self, line: &str, stdout: Option<Box<dyn Write>>) -> Done {
        let (captured, stderr) = (Captured::default(), Captured::default());
        let mut terminal = Terminal {
            stdin: Box::new(self.stdin),
            stdout: stdout.unwrap_or_else(|| Box::new(captured.clone())),
            stderr: Box::new(stderr.clone()),
            interactive: self.interactive,
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
fn the_arguments_fit_together() {
    <super::Cli as clap::CommandFactory>::command().debug_assert();
}
