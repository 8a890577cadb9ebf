//! What the TPM software stack logs, passed on to `tracing`.
//!
//! The stack writes to the file that `TSS2_LOGFILE` names, and looks at its environment when
//! it logs for the first time. In a process that runs the environment cannot be changed
//! safely, so whoever starts the process gives it [`environment`]: a pipe, which the first
//! TPM that is opened reads. Every line becomes an event of the target `tss2`, at `debug`:
//! the stack calls an error what is an answer, such as that a TPM is started already; what
//! matters comes back as an error value.
//!
//! **Invariant:** the level is never one at which the stack writes out what it sends.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, BufRead as _, BufReader},
    os::{fd::IntoRawFd as _, unix::fs::FileTypeExt as _},
    sync::Once,
    thread,
};

use rustix::io::{FdFlags, fcntl_setfd};
use tracing::debug;

const LEVEL: (&str, &str) = ("TSS2_LOG", "all+warning");
const FILE: &str = "TSS2_LOGFILE";
/// A name that is the pipe's in every program that this process becomes.
const DESCRIPTORS: &str = "/proc/self/fd/";

/// What must stand in the environment of the program that this process becomes next; nothing
/// where somebody has said already what is logged. What it names stays open.
///
/// # Errors
/// When there can be no pipe.
pub fn environment() -> io::Result<Vec<(&'static str, OsString)>> {
    if [LEVEL.0, FILE].into_iter().any(|name| env::var_os(name).is_some()) {
        return Ok(Vec::new());
    }
    let (_, writer) = io::pipe()?;
    fcntl_setfd(&writer, FdFlags::empty())?;
    let file = format!("{DESCRIPTORS}{}", writer.into_raw_fd());
    Ok(vec![(LEVEL.0, LEVEL.1.into()), (FILE, file.into())])
}

/// Passes on what the stack logs from now on, if it logs into a pipe.
///
/// # Errors
/// When the pipe cannot be read.
pub(crate) fn follow() -> io::Result<()> {
    static FOLLOWED: Once = Once::new();
    let pipe = env::var(FILE).ok().filter(|file| file.starts_with(DESCRIPTORS));
    // A pipe that is opened by name is another end of it.
    let Some(pipe) = pipe.map(File::open).transpose()? else { return Ok(()) };
    if !pipe.metadata()?.file_type().is_fifo() {
        return Ok(());
    }
    let mut started = Ok(());
    FOLLOWED.call_once(|| {
        let follow = move || {
            // It ends with the process, which has the other end as well.
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                debug!(target: "tss2", "{}", String::from_utf8_lossy(&line).trim_end());
            }
        };
        started = thread::Builder::new().name("tss2-log".to_owned()).spawn(follow).map(drop);
    });
    started
}
