//! What the system knows of this process, from `/proc/self`.

use std::{fs, path::Path};

/// What this process takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Process {
    /// Memory that is resident, in bytes.
    pub(super) resident_bytes: u64,
    /// Time on a processor, in seconds, since the start.
    pub(super) cpu_seconds: f64,
    /// Open file descriptors.
    pub(super) descriptors: u64,
}

/// Linux counts processor time for user space in hundredths of a second, whatever
/// the kernel's own clock (USER_HZ, proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// Reads it now; `None` where there is no `/proc`.
    pub(super) fn read() -> Option<Self> {
        let own = Path::new("/proc/self");
        let status = fs::read_to_string(own.join("status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
        // The name in parentheses may hold anything; the fields after it are numbers,
        // with user and system time the 12th and 13th of them (proc(5)).
        let stat = fs::read_to_string(own.join("stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>().ok()?;
        let descriptors = fs::read_dir(own.join("fd")).ok()?.count();
        Some(Self {
            resident_bytes: kibibytes * 1024,
            cpu_seconds: f64::from(ticks) / TICKS_PER_SECOND,
            // One of them was open to count them.
            descriptors: descriptors.saturating_sub(1) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_something() {
        let process = Process::read().unwrap();
        assert!(process.resident_bytes > 1024 * 1024, "{process:?}");
        assert!((3..10_000).contains(&process.descriptors), "{process:?}");
    }
}
