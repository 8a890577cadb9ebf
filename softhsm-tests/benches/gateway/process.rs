//! What the kernel counts of a process, and what the machine is.

use std::{fs, thread, time::Duration};

/// The CPU time of a process that keeps its threads, to the nanosecond:
/// `/proc/PID/stat` counts in hundredths of a second.
pub(crate) fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread that ends meanwhile was idle.
    threads.filter_map(|thread| schedstat(&thread.ok()?.path().display().to_string())).sum()
}

/// The CPU time of those of its threads whose names begin like this.
pub(crate) fn cpu_of_threads(pid: u32, name: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let threads = threads.filter_map(|thread| {
        let thread = thread.ok()?.path().display().to_string();
        let named = fs::read_to_string(format!("{thread}/comm")).ok()?.starts_with(name);
        named.then(|| schedstat(&thread))?
    });
    threads.sum()
}

/// The CPU time of the thread that asks.
pub(crate) fn cpu_of_this_thread() -> Duration {
    schedstat("/proc/thread-self").unwrap()
}

fn schedstat(thread: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// The memory of a process, in KiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

pub(crate) fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
}

/// How many threads wanted to run in the last minute: those of this benchmark, and
/// of whoever else uses the machine.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// How many cores, and the model.
pub(crate) fn machine() -> (usize, String) {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    (thread::available_parallelism().unwrap().get(), model.to_owned())
}
