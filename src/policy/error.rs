//! What is wrong with policies, and where.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why there are no policies.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be listed.
    #[error("cannot read the directory of policies `{}`", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The policies say what cannot work. The text has a line for each problem.
    #[error("{}", Lines(problems))]
    Refused {
        /// Every problem, in the order of the files and their lines.
        problems: Vec<Problem>,
    },
    /// The system gives no thread to read the policies with.
    #[error("there is no room to read the policies")]
    Room {
        /// Why not.
        source: io::Error,
    },
    /// The schema, which is a part of the program, cannot be used.
    #[error("the schema of policies cannot be used")]
    Schema {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    pub(super) fn schema(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Schema { source: Box::new(source) }
    }

    pub(super) fn refused(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self::Refused { problems }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file; the directory, where no file is at fault.
    pub file: Arc<Path>,
    /// The line, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Problem {
    /// The message is told in one line, whatever Cedar made of it.
    pub(super) fn new(file: impl Into<Arc<Path>>, line: Option<usize>, message: impl fmt::Display) -> Self {
        let message = message.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Self { file: file.into(), line, message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, message } = self;
        match line {
            Some(line) => write!(f, "{}:{line}: {message}", file.display()),
            None => write!(f, "{}: {message}", file.display()),
        }
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
