//! `skms audit verify`: whether an audit log is the one that was written.
//!
//! With `--config` everything is found where the gateway of that configuration keeps
//! it. Whoever does not trust that machine names copies that were kept elsewhere.

use std::{
    fmt::Write as _,
    io,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use crate::{
    audit::{
        anchors_of, rotated,
        verify::{Against, Report, verify},
    },
    catalog,
    cli::{
        Context, Error, Exit,
        files::failed,
        serve::configuration,
        text::{self, plain},
    },
    server::witnesses::{self, public_keys},
};

/// Check that nothing was changed in an audit log; exits with 3 if something was
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The configuration of the gateway, which says where log, keys and anchors are
    #[arg(long, value_name = "FILE", required_unless_present = "log")]
    config: Option<PathBuf>,
    /// A file of the log, in place of those that the configuration names; may be given
    /// several times
    #[arg(long, value_name = "FILE", requires = "public_key")]
    log: Vec<PathBuf>,
    /// Public keys in PEM that may have signed, in place of those beside the catalog
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// A copy of the anchors that was kept elsewhere (`audit.anchor_file`)
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// A catalog that has the anchors, in place of the one that the configuration names;
    /// a gateway may have it open
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// The number of the record that the log begins with, where older files were moved
    /// away on purpose [default: 1]
    #[arg(long, value_name = "N")]
    first: Option<NonZeroU64>,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Result<Exit, Error> {
    let mut places = Places::of(args)?;
    let mut report = places.verify(args.first)?;
    // A file that was rotated between two looks is missing in one of them.
    for _ in 0..TRIES {
        let now = Places::of(args)?;
        if report.good || now.log == places.log {
            break;
        }
        report = now.verify(args.first)?;
        places = now;
    }
    if context.is_json() {
        context.terminal.print_json(&report)?;
    } else {
        context.terminal.print(summary(&report))?;
    }
    Ok(if report.good { Exit::Success } else { Exit::SignatureInvalid })
}

/// Where everything is.
#[derive(Default)]
struct Places {
    log: Vec<PathBuf>,
    keys: Vec<PathBuf>,
    anchors: Vec<PathBuf>,
    /// The file of anchors that the configuration names, where it is not there.
    missing: Option<PathBuf>,
    catalog: Option<PathBuf>,
}

impl Places {
    fn of(args: &Args) -> Result<Self, Error> {
        let mut places = match &args.config {
            Some(path) => Self::configured(path)?,
            None => Self::default(),
        };
        if !args.log.is_empty() {
            places.log.clone_from(&args.log);
        }
        if !args.public_key.is_empty() {
            places.keys.clone_from(&args.public_key);
        }
        if args.catalog.is_some() {
            places.catalog.clone_from(&args.catalog);
        }
        places.anchors.extend_from_slice(&args.anchor);
        Ok(places)
    }

    fn verify(&self, first: Option<NonZeroU64>) -> Result<Report, Error> {
        let mut against = Against { first: first.map(NonZeroU64::get), ..Against::default() };
        for path in &self.keys {
            against.keys.extend(public_keys(path).map_err(|source| failed("read", path, source))?);
        }
        // Before the log: what is anchored meanwhile is in the log already.
        for path in &self.anchors {
            against.anchors.extend(anchors_of(path).map_err(|source| failed("read", path, source))?);
        }
        if let Some(path) = &self.catalog {
            against.anchors.extend(catalog::anchors(path).map_err(|error| told(&error))?);
        }
        // It is made with the first anchor. Who took it away may have gone back with the
        // log and the catalog to what they were some time ago.
        if let Some(path) = self.missing.as_ref().filter(|_| !against.anchors.is_empty()) {
            let path = path.display();
            return Err(Error::Other(format!(
                "the anchors in `{path}` are missing, and the catalog has some; bring the file back, or name a \
                 copy with --anchor and the rest with --log, --public-key and --catalog"
            )));
        }
        verify(&self.log, &against).map_err(|error| Error::Other(error.to_string()))
    }

    fn configured(path: &Path) -> Result<Self, Error> {
        let config = configuration(path)?;
        let mut log = rotated(&config.audit.path)
            .map_err(|source| failed("read", config.audit.path.parent().unwrap_or(Path::new("")), source))?;
        log.push(config.audit.path);
        let (missing, anchors): (Vec<_>, Vec<_>) =
            config.audit.anchor_file.into_iter().partition(|file| is_missing(file));
        Ok(Self {
            log,
            keys: vec![config.catalog.path.with_file_name(witnesses::PUBLIC)],
            anchors,
            missing: missing.into_iter().next(),
            catalog: Some(config.catalog.path),
        })
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn told(error: &catalog::Error) -> Error {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::Other(format!("{error}{cause}"))
}

fn summary(report: &Report) -> String {
    let number = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let mut text = text::details([
        ("RECORDS", format!("{}, from {} to {}", report.records, report.first, report.last)),
        ("CHECKPOINTS", report.checkpoints.to_string()),
        ("LAST CHECKPOINT", number(report.last_checkpoint)),
        ("LAST ANCHOR", number(report.last_anchor)),
        ("NOT ANCHORED", format!("{} records at the end", report.unanchored)),
    ]);
    // Writing to a string cannot fail.
    for remark in &report.remarks {
        let _ = writeln!(text, "remark: {}", plain(remark));
    }
    for finding in &report.findings {
        let _ = writeln!(text, "found: {}", plain(&finding.to_string()));
    }
    if report.more_findings > 0 {
        let _ = writeln!(text, "found: {} more", report.more_findings);
    }
    text.push_str(&judgement(report));
    text
}

/// What it comes to, and no more than could be checked.
fn judgement(report: &Report) -> String {
    match (report.last_anchor, report.last_checkpoint) {
        _ if !report.good => "changed\n".to_owned(),
        (Some(_), _) => "good: nothing was changed\n".to_owned(),
        (None, Some(checkpoint)) => format!(
            "good as far as it goes: nothing was changed up to record {checkpoint}; no anchor was given, so \
             records cut off the end cannot be noticed\n"
        ),
        (None, None) => {
            "good as far as it goes: no signature and no anchor could be checked, so whoever can \
                         write the log may have written all of it anew\n"
                .to_owned()
        }
    }
}

/// How often a log is looked at again that is rotated meanwhile.
const TRIES: u32 = 5;
