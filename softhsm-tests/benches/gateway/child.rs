//! A part of the benchmark in a process of its own: this program, started again.
//!
//! SoftHSM2 wants a variable in the environment of its process, and the CPU time
//! of a part can be told from that of the load only in another process.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _, stdin},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use skms_backend::KeyType;

use crate::{load::Sample, process};

/// Bare SoftHSM2.
pub(crate) const DEVICE: &str = "child-device";
/// Bare aws-lc-rs.
pub(crate) const SOFTWARE: &str = "child-software";
/// Bare swtpm.
pub(crate) const TPM: &str = "child-tpm";
/// A bare gRPC server.
pub(crate) const ECHO: &str = "child-echo";
/// The guards of the gateway, each alone.
pub(crate) const GUARDS: &str = "child-guards";

/// A child that answers every line with a line. Killed when this is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(role: &str, environment: impl IntoIterator<Item = (&'static str, OsString)>) -> Self {
        let mut process = Command::new(env::current_exe().unwrap())
            .arg(role)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, commands, answers }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "a child of the benchmark ended");
        line.trim_end().to_owned()
    }

    /// Has it do one thing `lanes` times at once, over and over for some time.
    pub(crate) fn measure(&mut self, what: &str, lanes: usize, time: Duration) -> Sample {
        writeln!(self.commands, "{what} {lanes} {}", time.as_millis()).unwrap();
        Sample::parse(&self.line())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other side of [`Child::measure`]. Returns when the parent has gone.
pub(crate) fn answer(measure: impl Fn(&str, usize, Duration) -> Sample) {
    for line in stdin().lines().map_while(Result::ok) {
        let mut words = line.rsplitn(3, ' ');
        let mut word = || words.next().unwrap();
        let time = Duration::from_millis(word().parse().unwrap());
        let lanes = word().parse().unwrap();
        println!("{}", measure(word(), lanes, time).line());
    }
}

/// The same for whoever signs, asked by the type of the key. `open` makes what signs
/// once, on the thread that uses it.
pub(crate) fn answer_signatures(open: impl Fn(KeyType) -> Box<dyn FnMut()> + Sync) {
    answer(|key_type, lanes, time| run(&open, key_type.parse().unwrap(), lanes, time));
}

fn run(
    open: &(impl Fn(KeyType) -> Box<dyn FnMut()> + Sync),
    key_type: KeyType,
    lanes: usize,
    time: Duration,
) -> Sample {
    let together = Barrier::new(lanes);
    let lane = || {
        let mut sign = open(key_type);
        sign();
        together.wait();
        let mut sample = Sample::default();
        let (begun, cpu) = (Instant::now(), process::cpu_of_this_thread());
        while begun.elapsed() < time {
            let one = Instant::now();
            sign();
            sample.took(one.elapsed());
        }
        sample.elapsed = begun.elapsed();
        sample.cpu = process::cpu_of_this_thread() - cpu;
        sample
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).fold(Sample::default(), Sample::beside)
    })
}
