//! One command for many files: several at once, a bar for who watches, one exit code.

use std::fmt::Display;

use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Context, Error, Exit, text::plain};

/// Does the work on each of the jobs, so many at once, and gives what became of them in
/// their order.
pub(super) async fn each<J, T>(
    jobs: Vec<J>,
    at_once: u8,
    context: &Context<'_>,
    work: impl AsyncFn(&J) -> Result<T, Error>,
) -> Vec<(J, Result<T, Error>)> {
    let bar = bar(jobs.len(), context);
    let (work, shown) = (&work, &bar);
    let mut done: Vec<_> = stream::iter(jobs.into_iter().enumerate())
        .map(|(index, job)| async move {
            let outcome = work(&job).await;
            shown.inc(1);
            (index, job, outcome)
        })
        .buffer_unordered(at_once.into())
        .collect()
        .await;
    bar.finish_and_clear();
    done.sort_by_key(|(index, ..)| *index);
    done.into_iter().map(|(_, job, outcome)| (job, outcome)).collect()
}

/// What failed, by name, and how the command ends.
#[derive(Default)]
pub(super) struct Failures {
    lines: String,
    exits: Vec<Exit>,
}

impl Failures {
    pub(super) fn add(&mut self, name: impl Display, error: &Error) {
        self.exits.push(error.exit());
        self.lines.push_str(&format!("{}: {}", plain(&name.to_string()), error.render()));
    }

    pub(super) fn count(&self) -> usize {
        self.exits.len()
    }

    /// Tells of the failures, and then, to people, how many there were of everything:
    /// `done` and these others, as far as there are any.
    pub(super) fn tell(self, done: &str, others: &[(usize, &str)], context: &mut Context<'_>) -> Exit {
        context.terminal.remark(&self.lines);
        if !context.is_json() {
            let mut text = done.to_owned();
            for (number, what) in others.iter().chain(&[(self.count(), "failed")]) {
                if *number > 0 {
                    text.push_str(&format!(", {what} {number}"));
                }
            }
            context.terminal.remark(&(text + "\n"));
        }
        match self.exits.split_first() {
            None => Exit::Success,
            Some((first, rest)) if rest.iter().all(|exit| exit == first) => *first,
            // They say different things.
            Some(_) => Exit::Failure,
        }
    }
}

fn bar(files: usize, context: &Context<'_>) -> ProgressBar {
    let length = u64::try_from(files).ok();
    let target = if context.terminal.watched && files > 1 {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(length, target);
    match ProgressStyle::with_template("{wide_bar} {pos}/{len} files, {eta} left") {
        Ok(style) => bar.with_style(style),
        // The usual style says the same.
        Err(_) => bar,
    }
}

/// Enough to keep a gateway with a few device contexts busy.
pub(super) const DEFAULT_JOBS: u8 = 8;

/// More keeps the files waiting at the gateway in place of here.
pub(super) const MAX_JOBS: i64 = 64;
