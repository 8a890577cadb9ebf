//! Which file becomes which: decided, and refused, before the first call.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use crate::cli::{Context, Error, files::Place, files::failed, payload};

/// One ciphertext, and where the new one goes.
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) out: Out,
}

/// Where a ciphertext is read from.
pub(super) enum Input {
    /// Read already.
    Stdin(Bytes),
    File(PathBuf),
}

/// Where a ciphertext goes.
pub(super) enum Out {
    Stdout,
    File(PathBuf),
}

impl Job {
    /// The name of the ciphertext, as it was given.
    pub(super) fn name(&self) -> String {
        match &self.input {
            Input::Stdin(_) => "-".to_owned(),
            Input::File(path) => path.display().to_string(),
        }
    }
}

/// Pairs the files with their places.
pub(super) fn jobs(
    files: &[Place],
    out: Option<&Place>,
    context: &mut Context<'_>,
) -> Result<Vec<Job>, Error> {
    let directory = match out {
        Some(Place::File(path)) if path.is_dir() => Some(path.as_path()),
        _ => None,
    };
    let [only] = files else {
        if out.is_some() && directory.is_none() {
            return Err(Error::Usage("of many files, `--out` is a directory that exists".to_owned()));
        }
        return many(files, directory);
    };
    let input = match only {
        Place::Standard => Input::Stdin(payload::read(Some(only), "the ciphertext", context)?),
        Place::File(path) => Input::File(path.clone()),
    };
    let out = match (only, out, directory) {
        (Place::Standard, None, _) | (_, Some(Place::Standard), _) => Out::Stdout,
        (Place::Standard, Some(Place::File(_)), Some(_)) => {
            return Err(Error::Usage("stdin has no name; `--out` must be a file".to_owned()));
        }
        (_, Some(Place::File(path)), None) => Out::File(path.clone()),
        (Place::File(path), ..) => target(path, directory)?,
    };
    Ok(vec![Job { input, out }])
}

fn many(files: &[Place], directory: Option<&Path>) -> Result<Vec<Job>, Error> {
    let (mut jobs, mut targets) = (Vec::new(), BTreeSet::new());
    for file in files {
        let Place::File(path) = file else {
            return Err(Error::Usage("stdin is a ciphertext of its own; give `-` alone".to_owned()));
        };
        let out = target(path, directory)?;
        if let Out::File(target) = &out
            && !targets.insert(target.clone())
        {
            return Err(Error::Usage(format!("`{}` would be written twice", target.display())));
        }
        jobs.push(Job { input: Input::File(path.clone()), out });
    }
    Ok(jobs)
}

/// In place, or under the same name in a directory.
fn target(path: &Path, directory: Option<&Path>) -> Result<Out, Error> {
    match (directory, path.file_name()) {
        // A link stays one; the file that it leads to is replaced.
        (None, _) => fs::canonicalize(path).map(Out::File).map_err(|source| failed("read", path, source)),
        (Some(directory), Some(name)) => Ok(Out::File(directory.join(name))),
        (Some(_), None) => Err(Error::Usage(format!("`{}` is no file", path.display()))),
    }
}
