//! What became of the files: failures by name, a count, and an exit code.

use serde::Serialize;

use super::{
    file::{Disposal, Outcome},
    places::{Job, Out},
};
use crate::{
    cli::{
        Context, Error, Exit,
        bulk::Failures,
        files::Place,
        names::name,
        payload::{Form, base64},
    },
    proto::{EncryptionAlgorithm, ProtectionLevel, ReEncryptResponse},
};

/// Says what became of each file, the failures at the end.
pub(super) fn print(
    done: Vec<(Job, Result<Outcome, Error>)>,
    form: Form,
    context: &mut Context<'_>,
) -> Result<Exit, Error> {
    let json = context.is_json();
    let (mut views, mut failures) = (Vec::new(), Failures::default());
    let (mut written, mut current) = (0_usize, 0_usize);
    for (job, outcome) in done {
        match &outcome {
            Ok(Outcome { disposal: Disposal::Current, .. }) => current += 1,
            Ok(Outcome { answer, disposal }) => {
                written += 1;
                if *disposal == Disposal::Kept && !json {
                    let form = form.at(&Place::Standard, context.terminal);
                    context.terminal.print(form.encode(&answer.ciphertext))?;
                }
            }
            Err(error) => failures.add(job.name(), error),
        }
        if json {
            views.push(View::new(&job, outcome));
        }
    }
    if json {
        context.terminal.print_json(&views)?;
    }
    Ok(failures.tell(&format!("re-encrypted {written}"), &[(current, "already current")], context))
}

#[derive(Serialize)]
struct View {
    file: String,
    /// `null` where nothing was written to a file.
    out: Option<String>,
    /// `re-encrypted`, `current` or `failed`.
    outcome: &'static str,
    error: Option<String>,
    #[serde(flatten)]
    answer: AnswerView,
}

/// All `null` where there was none.
#[derive(Default, Serialize)]
struct AnswerView {
    /// `null` as well where it went to a file.
    ciphertext: Option<String>,
    source_key_id: Option<String>,
    source_version: Option<u32>,
    destination_key_id: Option<String>,
    destination_version: Option<u32>,
    algorithm: Option<String>,
    ciphertext_crc32c: Option<u32>,
    verified_ciphertext_crc32c: Option<bool>,
    protection_level: Option<String>,
    reference: Option<String>,
}

impl View {
    fn new(job: &Job, outcome: Result<Outcome, Error>) -> Self {
        let file = job.name();
        match outcome {
            Err(error) => Self {
                file,
                out: None,
                outcome: "failed",
                error: Some(error.sentence()),
                answer: AnswerView::default(),
            },
            Ok(Outcome { answer, disposal }) => Self {
                file,
                out: match &job.out {
                    Out::File(path) if disposal == Disposal::Written => Some(path.display().to_string()),
                    Out::File(_) | Out::Stdout => None,
                },
                outcome: if disposal == Disposal::Current { "current" } else { "re-encrypted" },
                error: None,
                answer: AnswerView::new(answer, disposal == Disposal::Kept),
            },
        }
    }
}

impl AnswerView {
    fn new(answer: ReEncryptResponse, in_document: bool) -> Self {
        let ReEncryptResponse {
            ciphertext,
            source_key_id,
            source_version,
            destination_key_id,
            destination_version,
            algorithm,
            ciphertext_crc32c,
            verified_ciphertext_crc32c,
            protection_level,
            reference,
        } = answer;
        Self {
            ciphertext: in_document.then(|| base64(&ciphertext)),
            source_key_id: Some(source_key_id),
            source_version: Some(source_version),
            destination_key_id: Some(destination_key_id),
            destination_version: Some(destination_version),
            algorithm: Some(name::<EncryptionAlgorithm>(algorithm)),
            ciphertext_crc32c: Some(ciphertext_crc32c),
            verified_ciphertext_crc32c: Some(verified_ciphertext_crc32c),
            protection_level: Some(name::<ProtectionLevel>(protection_level)),
            reference: Some(reference),
        }
    }
}
