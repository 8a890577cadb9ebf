//! What is wrong with a configuration, and where.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file or the environment says what cannot work. The text has a line for
    /// each problem.
    #[error("{}", Lines { file, problems })]
    Refused {
        /// The file.
        file: PathBuf,
        /// Every problem, in the order of the file; then those of the environment.
        problems: Vec<Problem>,
    },
}

impl Error {
    pub(super) fn refused(file: &Path, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        Self::Refused { file: file.into(), problems }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    origin: Origin,
    field: String,
    remedy: String,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The file, without a line: what is wrong is that nothing is there.
    File,
    /// A line of the file, counted from 1.
    Line(usize),
    /// The environment variable of this name.
    Variable(Arc<str>),
}

impl Problem {
    /// `field` is a dotted path, and empty where no field is concerned.
    pub(super) fn new(origin: Origin, field: impl Into<String>, remedy: impl Into<String>) -> Self {
        // A value that is quoted must not look like a line of its own.
        let printable = |symbol: char| if symbol.is_control() { char::REPLACEMENT_CHARACTER } else { symbol };
        Self { origin, field: field.into(), remedy: remedy.into().chars().map(printable).collect() }
    }

    /// The dotted path of the field, or nothing.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }
}

struct Lines<'a> {
    file: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { origin, field, remedy }) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match origin {
                Origin::File => write!(f, "{}: ", self.file.display())?,
                Origin::Line(line) => write!(f, "{}:{line}: ", self.file.display())?,
                Origin::Variable(name) => write!(f, "{name}: ")?,
            }
            if !field.is_empty() {
                write!(f, "`{field}`: ")?;
            }
            f.write_str(remedy)?;
        }
        Ok(())
    }
}
