//! A token whose module fails on command: the crate `skms-chaos` before SoftHSM2, and the
//! commands that it takes.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long the module may take to listen, once its process has loaded it.
const PATIENCE: Duration = Duration::from_secs(300);

/// The module, and the directory in which it is told what to do. Rules are those of one
/// process; the file of calls goes on over restarts.
pub struct Chaos {
    directory: TempDir,
    real: PathBuf,
}

/// A call of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleCall {
    /// The name of the function.
    pub function: String,
    /// The session, or the slot.
    pub on: u64,
    /// The return code.
    pub answer: u64,
}

impl Chaos {
    pub(crate) fn before(real: &Path) -> Self {
        Self { directory: TempDir::with_prefix("skms-chaos-").unwrap(), real: real.to_owned() }
    }

    /// The module, which is built beside every test that depends on its crate.
    ///
    /// # Panics
    /// With the command that builds it where it is missing.
    #[must_use]
    pub fn module() -> PathBuf {
        let beside = std::env::current_exe().unwrap().with_file_name("libskms_chaos.so");
        assert!(
            beside.exists(),
            "{} is missing: cargo test --release -p skms-tests --no-run",
            beside.display()
        );
        beside
    }

    pub(crate) fn env(&self) -> [(&'static str, OsString); 2] {
        [
            ("SKMS_CHAOS_MODULE", self.real.clone().into()),
            ("SKMS_CHAOS_DIRECTORY", self.directory.path().into()),
        ]
    }

    /// Commands that hold from the first call of the next process on.
    pub fn rules(&self, rules: &[&str]) {
        fs::write(self.directory.path().join("rules"), rules.join("\n")).unwrap();
    }

    /// Has the module of the running process do this, and gives its answer.
    ///
    /// # Panics
    /// Where no process has loaded it, or it does not know the command.
    pub fn tell(&self, command: &str) -> u64 {
        let path = self.directory.path().join("control");
        let end = Instant::now() + PATIENCE;
        let mut stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "nobody listens at {}: {error}", path.display()),
            }
        };
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim().parse().unwrap_or_else(|_| panic!("`{command}`: {answer}"))
    }

    /// Every call so far, of all processes.
    #[must_use]
    pub fn calls(&self) -> Vec<ModuleCall> {
        let text = fs::read_to_string(self.directory.path().join("calls")).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let parsed = |line: &str| {
            let words: Vec<_> = line.trim_end().split(' ').collect();
            let answer = words[3].trim_start_matches("0x");
            ModuleCall {
                function: words[1].to_owned(),
                on: words[2].parse().unwrap(),
                answer: u64::from_str_radix(answer, 16).unwrap(),
            }
        };
        whole.map(parsed).collect()
    }

    /// How often this function was called so far, by all processes.
    #[must_use]
    pub fn count(&self, function: &str) -> usize {
        self.calls().iter().filter(|call| call.function == function).count()
    }
}
