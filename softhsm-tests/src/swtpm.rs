//! A TPM that a test has to itself: swtpm on a free port, with a state of its own.
//!
//! The directory of the state is what a chip is: started again on it, it is the same TPM
//! after a reset; on another one it is another TPM. The transport makes a connection for
//! every command, so swtpm is not told to end with the first.

use std::{
    env, fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uuid::Uuid;

/// How long swtpm may take to listen. It takes some 10 ms.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often another port is tried when somebody was quicker.
const PORTS: usize = 20;

/// A running TPM, which is killed when this is dropped.
pub struct Swtpm {
    directory: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Swtpm {
    /// A new TPM.
    ///
    /// # Panics
    /// With the command that installs swtpm where it is missing.
    #[must_use]
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("skms-swtpm-").unwrap();
        for _ in 0..PORTS {
            let port = free_port();
            if let Some(process) = start(directory.path(), port) {
                return Self { directory, port, process: Some(process) };
            }
        }
        panic!("swtpm does not start on any of {PORTS} ports");
    }

    /// Its port for commands; that for control is the next one.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How it is reached, as the TPM software stack writes it.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The least that configures a TPM backend for it, in TOML.
    #[must_use]
    pub fn config(&self) -> String {
        format!("tcti = \"{}\"\n", self.tcti())
    }

    /// Kills it, as a power cut does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts it again after [`kill`](Self::kill): the same TPM, which was reset.
    ///
    /// # Panics
    /// When its port is taken meanwhile.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(start(self.directory.path(), self.port).unwrap());
    }

    /// Has it stand still, or go on.
    pub fn stand_still(&self, still: bool) {
        let pid = self.process.as_ref().and_then(|process| Pid::from_raw(process.id().try_into().unwrap()));
        kill_process(pid.unwrap(), if still { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// What a program of tpm2-tools says.
    ///
    /// # Panics
    /// With the command that installs it where it is missing, and when it fails.
    #[must_use]
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("TPM2TOOLS_TCTI", self.tcti())
            .output()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}; {INSTALL}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The handles that are in it now: of objects, and of sessions.
    #[must_use]
    pub fn handles(&self) -> Vec<String> {
        ["handles-transient", "handles-loaded-session", "handles-saved-session"]
            .into_iter()
            .flat_map(|kind| {
                let list = self.tool("tpm2_getcap", &[kind]);
                let handles = list.lines().map(|line| line.trim_start_matches("- ").to_owned());
                handles.collect::<Vec<_>>()
            })
            .collect()
    }

    /// How many refused authorizations, and stops that were not clean, it has counted.
    #[must_use]
    pub fn lockout_counter(&self) -> u32 {
        let properties = self.tool("tpm2_getcap", &["properties-variable"]);
        let counter =
            properties.lines().find_map(|line| line.trim().strip_prefix("TPM2_PT_LOCKOUT_COUNTER: "));
        let counter = counter.unwrap().trim();
        u32::from_str_radix(counter.trim_start_matches("0x"), 16).unwrap()
    }
}

impl Default for Swtpm {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether `SKMS_TEST_BACKENDS` (for example `software,softhsm`) leaves swtpm out.
/// If so it says so on the standard error, whatever the test harness captures.
#[must_use]
pub fn left_out() -> bool {
    let Some(wanted) = env::var_os("SKMS_TEST_BACKENDS") else { return false };
    let wanted = wanted.to_string_lossy();
    let left_out = !wanted.split(',').any(|name| matches!(name.trim(), "swtpm" | "tpm"));
    if left_out {
        let _ = writeln!(std::io::stderr(), "left out: swtpm, because SKMS_TEST_BACKENDS is `{wanted}`");
    }
    left_out
}

/// A port that nobody listens on, nor on the one after it, where swtpm takes control
/// commands. It is even, so that no two TPMs share one, and below those that the system
/// gives to clients.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let random = u16::from_be_bytes(Uuid::new_v4().as_bytes()[..2].try_into().unwrap());
        let port = 20_000 + random % 6_000 * 2;
        if [port, port + 1].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

/// Starts swtpm and waits until it listens; `None` when it ends instead.
fn start(state: &Path, port: u16) -> Option<Child> {
    let control = port.checked_add(1)?;
    let pid = state.join("pid");
    let _ = fs::remove_file(&pid);
    let mut process = Command::new("swtpm")
        .args(["socket", "--tpm2", "--flags", "not-need-init"])
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={control},bindaddr=127.0.0.1"))
        .arg("--pid")
        .arg(format!("file={}", pid.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run swtpm: {error}; {INSTALL}"));
    let begun = Instant::now();
    loop {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        // It writes this when both ports are its own; another may answer on them.
        let written = fs::read_to_string(&pid).unwrap_or_default();
        if written.trim() == process.id().to_string() && TcpStream::connect(("127.0.0.1", control)).is_ok() {
            return Some(process);
        }
        assert!(begun.elapsed() < PATIENCE, "swtpm does not listen");
        thread::yield_now();
    }
}

const INSTALL: &str = "run `apt-get install swtpm tpm2-tools`, or leave swtpm out with \
     SKMS_TEST_BACKENDS=software,softhsm";
