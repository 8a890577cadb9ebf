//! The three standard streams: the only place that prints.
//!
//! **Invariant:** a reader who leaves early (`skms keys list | head`) is no
//! failure, and never a panic.

use std::{
    io,
    io::{IsTerminal as _, Read, Write},
};

use super::{error::Error, files};

/// The standard streams of the process, or what a test puts in their place.
pub(super) struct Terminal {
    pub(super) stdin: Box<dyn Read>,
    pub(super) stdout: Box<dyn Write>,
    pub(super) stderr: Box<dyn Write>,
    /// Whether a person reads stdout.
    pub(super) interactive: bool,
    /// Whether a person watches stderr.
    pub(super) watched: bool,
}

impl Terminal {
    /// The streams of the process.
    pub(super) fn system() -> Self {
        Self {
            stdin: Box::new(io::stdin()),
            stdout: Box::new(io::stdout()),
            stderr: Box::new(io::stderr()),
            interactive: io::stdout().is_terminal(),
            watched: io::stderr().is_terminal(),
        }
    }

    /// Writes the result of the command.
    pub(super) fn print(&mut self, result: impl AsRef<[u8]>) -> Result<(), Error> {
        self.print_on(result).map(drop)
    }

    /// Writes one more part of a result that goes on; and tells whether anybody reads it.
    pub(super) fn print_on(&mut self, part: impl AsRef<[u8]>) -> Result<bool, Error> {
        match self.stdout.write_all(part.as_ref()).and_then(|()| self.stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true).map_err(|source| files::failed("write", "-", source)),
        }
    }

    /// Writes a JSON document.
    pub(super) fn print_json(&mut self, document: &impl serde::Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(document);
        self.print(text.map_err(|error| Error::Other(error.to_string()))? + "\n")
    }

    /// Writes what is not the result: remarks and errors. Where even that fails
    /// there is nobody left to tell.
    pub(super) fn remark(&mut self, text: &str) {
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }
}
