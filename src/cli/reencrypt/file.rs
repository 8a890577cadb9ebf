//! One ciphertext: read, encrypted anew, checked, written.

use std::{fs, time::Duration};

use bytes::Bytes;

use super::{
    Args,
    places::{Input, Job, Out},
};
use crate::{
    cli::{
        Error,
        aad::Aad,
        files::{failed, read, replace},
    },
    client::Client,
    proto::{
        ReEncryptRequest, ReEncryptResponse,
        re_encrypt_request::{DestinationAad, SourceAad},
    },
};

/// What is the same for every file.
pub(super) struct Work<'a> {
    pub(super) client: Client,
    pub(super) args: &'a Args,
    pub(super) source: Aad,
    pub(super) destination: Aad,
    /// How long a ciphertext may be, in bytes.
    pub(super) limit: usize,
}

/// What became of a file, with the answer.
pub(super) struct Outcome {
    pub(super) answer: ReEncryptResponse,
    pub(super) disposal: Disposal,
}

/// What was done with the new ciphertext.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposal {
    /// Written to its file.
    Written,
    /// Thrown away: the old one is under the primary version.
    Current,
    /// Still to be printed.
    Kept,
}

impl Work<'_> {
    pub(super) async fn run(&self, job: &Job) -> Result<Outcome, Error> {
        let ciphertext = match &job.input {
            Input::Stdin(bytes) => bytes.clone(),
            Input::File(path) => {
                let (path, limit) = (path.clone(), self.limit);
                blocking(move || read(&path, limit)).await?.into()
            }
        };
        let ciphertext = self.args.format.decode(ciphertext, "the ciphertext")?;
        let answer = self.ask(self.request(ciphertext)).await?;
        check(&answer)?;
        let disposal = match &job.out {
            _ if self.args.skip_current && is_current(&answer) => Disposal::Current,
            Out::Stdout => Disposal::Kept,
            Out::File(path) => {
                let like = match &job.input {
                    _ if path.exists() => Some(path.clone()),
                    // A new file is as readable as the one that it is made of.
                    Input::File(input) => Some(input.clone()),
                    Input::Stdin(_) => None,
                };
                let (path, bytes) = (path.clone(), self.args.format.encode(&answer.ciphertext));
                blocking(move || {
                    let permissions = like.map(|like| fs::metadata(like).map(|file| file.permissions()));
                    let permissions = permissions.transpose();
                    permissions
                        .and_then(|permissions| replace(&path, &bytes, permissions))
                        .map_err(|source| failed("write", &path, source))
                })
                .await?;
                Disposal::Written
            }
        };
        Ok(Outcome { answer, disposal })
    }

    /// Comes again when the gateway says so. Nothing is changed by asking twice.
    async fn ask(&self, request: ReEncryptRequest) -> Result<ReEncryptResponse, Error> {
        for _ in 1..TRIES {
            let asked = self.client.reencrypt(request.clone()).await;
            let wait = asked.as_ref().err().and_then(|error| error.failure()?.retry_after);
            match wait {
                Some(wait) => tokio::time::sleep(wait.min(LONGEST_WAIT)).await,
                None => return Ok(asked?),
            }
        }
        Ok(self.client.reencrypt(request).await?)
    }

    fn request(&self, ciphertext: Bytes) -> ReEncryptRequest {
        let (source, destination) = (self.source.clone(), self.destination.clone());
        ReEncryptRequest {
            ciphertext_crc32c: Some(crc32c::crc32c(&ciphertext)),
            ciphertext,
            source_key_id: self.args.from.clone(),
            source_aad: source.field(SourceAad::SourceAdditionalAuthenticatedData, SourceAad::SourceContext),
            destination_key_id: self.args.to.clone(),
            destination_aad: destination.field(
                DestinationAad::DestinationAdditionalAuthenticatedData,
                DestinationAad::DestinationContext,
            ),
            source_version: self.args.from_version.unwrap_or_default(),
            source_algorithm: self.args.from_algorithm.unwrap_or_default().into(),
            destination_algorithm: self.args.to_algorithm.unwrap_or_default().into(),
            reference: String::new(),
            accept_compromised: self.args.accept_compromised,
        }
    }
}

/// Works on a file without keeping the other calls waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::Other("a file was not worked on to its end".to_owned())))
}

fn check(answer: &ReEncryptResponse) -> Result<(), Error> {
    if !answer.verified_ciphertext_crc32c {
        return Err(Error::Damaged("it did not check the ciphertext"));
    }
    if answer.ciphertext_crc32c != crc32c::crc32c(&answer.ciphertext) {
        return Err(Error::Damaged("the new ciphertext does not match its checksum"));
    }
    Ok(())
}

/// The destination always encrypts with its primary version.
fn is_current(answer: &ReEncryptResponse) -> bool {
    answer.source_key_id == answer.destination_key_id && answer.source_version == answer.destination_version
}

/// How often one file is asked for. A gateway that is busy for longer is busy with more
/// than these files.
const TRIES: usize = 5;

/// Far above what the rates of a gateway make a caller wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
