//! Named points at which a test can kill the process, to show that a crash there
//! loses nothing. They exist only with the feature `failpoints`, which no shipped
//! build has; without it a point costs nothing.

/// Every point, for the test that must visit each.
pub const ALL: [&str; 18] = [
    "create-key.intent-written",
    "create-key.material-made",
    "create-key.activated",
    "rotate-key.intent-written",
    "rotate-key.material-made",
    "rotate-key.activated",
    "destroy-key.given-up",
    "destroy-key.material-gone",
    "destroy-key.wiped",
    "import-key.intent-written",
    "import-key.material-made",
    "import-key.activated",
    "create-import-job.intent-written",
    "create-import-job.material-made",
    "catalog.before-commit",
    "catalog.after-commit",
    "audit.before-write",
    "audit.after-write",
];

/// Dies here, as if by `kill -9`, when the environment variable `FAILPOINTS`
/// says `NAME=return`, or `NAME=2*off->return` to die on the third pass.
#[inline]
pub(crate) fn reached(name: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal cannot be handled, only late: nothing else may happen here.
        loop {
            std::thread::park();
        }
    });
    #[cfg(not(feature = "failpoints"))]
    let _ = name;
}

/// Reads the environment variable `FAILPOINTS`, for as long as the answer lives.
#[cfg(feature = "failpoints")]
pub fn from_environment() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
}
