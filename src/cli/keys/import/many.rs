//! Many keys of one type, each of a file of its own: `skms keys import TYPE --in FILE...`.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use tonic::Code;

use super::{Args, MAX_BYTES, create, material};
use crate::{
    cli::{
        Context, Error, Exit,
        bulk::{self, Failures},
        files::{self, Place},
        json::KeyView,
        text,
    },
    client,
    proto::{CreateKeyRequest, KeyResponse},
};

/// A file, and what its key is to be.
pub(super) struct Job {
    path: PathBuf,
    request: CreateKeyRequest,
}

/// What became of a file that was not refused.
pub(super) enum Outcome {
    Imported(Box<KeyResponse>),
    /// With `--validate-only`.
    Valid,
    /// With `--skip-existing`.
    There,
}

/// Names the keys after their files; refused before the first call where two would have
/// one name, or where an argument can be for one key only.
pub(super) fn jobs(args: &Args, places: &[Place]) -> Result<Vec<Job>, Error> {
    let one = args.key.for_one_key().or(args.new_version.then_some("--new-version"));
    if let Some(argument) = one {
        return Err(Error::Usage(format!(
            "`{argument}` is for one key, and many are named after their files"
        )));
    }
    let request = create::request(&args.key)?;
    let mut jobs = BTreeMap::new();
    for place in places {
        let Place::File(path) = place else {
            return Err(Error::Usage("stdin has no name for its key; give `-` alone".to_owned()));
        };
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else {
            return Err(Error::Usage(format!("`{}` has no name that a key can have", path.display())));
        };
        let id = format!("{}{stem}", args.prefix);
        let job =
            Job { path: path.clone(), request: CreateKeyRequest { key_id: id.clone(), ..request.clone() } };
        if let Some(other) = jobs.insert(id.clone(), job) {
            let (one, other) = (path.display(), other.path.display());
            return Err(Error::Usage(format!("`{other}` and `{one}` would both be the key `{id}`")));
        }
    }
    Ok(jobs.into_values().collect())
}

pub(super) async fn run(args: &Args, jobs: Vec<Job>, context: &mut Context<'_>) -> Result<Exit, Error> {
    let client = context.connect().await?;
    let wrapping = args.job(&client).await?;
    let work = async |job: &Job| {
        let material = material(files::read(&job.path, MAX_BYTES)?)?;
        match args.import(&client, wrapping.as_ref(), job.request.clone(), &material).await {
            Ok(_) if job.request.validate_only => Ok(Outcome::Valid),
            Ok(key) => Ok(Outcome::Imported(Box::new(key))),
            Err(error) if args.skip_existing && is_there(&error) => Ok(Outcome::There),
            Err(error) => Err(error),
        }
    };
    let done = bulk::each(jobs, args.jobs, context, work).await;
    print(done, context)
}

fn is_there(error: &Error) -> bool {
    let Error::Client(client::Error::Call(failure)) = error else { return false };
    failure.code == Code::AlreadyExists && failure.reason.as_deref() == Some("KEY_ALREADY_EXISTS")
}

/// One line a key that was made; failures by name; and how many there were of each.
fn print(done: Vec<(Job, Result<Outcome, Error>)>, context: &mut Context<'_>) -> Result<Exit, Error> {
    let (mut views, mut rows, mut failures) = (Vec::new(), Vec::new(), Failures::default());
    let (mut valid, mut there) = (0, 0);
    for (job, outcome) in done {
        match &outcome {
            Ok(Outcome::Imported(key)) => rows.push([key.id.clone(), job.path.display().to_string()]),
            Ok(Outcome::Valid) => valid += 1,
            Ok(Outcome::There) => there += 1,
            Err(error) => failures.add(job.path.display(), error),
        }
        if context.is_json() {
            views.push(View::new(&job, outcome));
        }
    }
    let imported = format!("imported {}", rows.len());
    if context.is_json() {
        context.terminal.print_json(&views)?;
    } else if !rows.is_empty() {
        context.terminal.print(text::table(["ID", "FILE"], rows))?;
    }
    Ok(failures.tell(&imported, &[(valid, "could be imported"), (there, "already there")], context))
}

#[derive(Serialize)]
struct View {
    file: String,
    key_id: String,
    /// `imported`, `valid`, `exists` or `failed`.
    outcome: &'static str,
    error: Option<String>,
    /// `null` where none was made.
    key: Option<KeyView>,
}

impl View {
    fn new(job: &Job, outcome: Result<Outcome, Error>) -> Self {
        let (outcome, error, key) = match outcome {
            Ok(Outcome::Imported(key)) => ("imported", None, Some(KeyView::from(*key))),
            Ok(Outcome::Valid) => ("valid", None, None),
            Ok(Outcome::There) => ("exists", None, None),
            Err(error) => ("failed", Some(error.sentence()), None),
        };
        Self { file: job.path.display().to_string(), key_id: job.request.key_id.clone(), outcome, error, key }
    }
}
