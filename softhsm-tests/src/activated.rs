//! A socket that listens while gateways come and go, as systemd keeps one.

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd as _,
    path::Path,
    process::Command,
};

use rustix::io::{FdFlags, fcntl_setfd};

/// A socket that outlives who serves it.
pub struct Outlives(TcpListener);

/// The first socket that is passed is number 3, and is for the process of this number.
const PASS: &str = r#"exec 3<&"$1" && shift && LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#;

impl Outlives {
    /// On a free port of the loopback interface.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::new_without_default, reason = "it takes a port")]
    #[must_use]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        fcntl_setfd(&listener, FdFlags::empty()).unwrap();
        Self(listener)
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When the system does not say.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Runs a program with this socket, under the name of the TCP listener of a home.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", PASS, "bash"]).arg(self.0.as_raw_fd().to_string()).arg(program);
        command.env("LISTEN_FDNAMES", "tcp");
        command
    }
}
