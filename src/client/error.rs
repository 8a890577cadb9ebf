//! What can go wrong between a caller and the gateway, already decoded.
//!
//! The model is that of the API: one code, one reason, the fields at fault, the
//! id of the request (`google.rpc.ErrorInfo`, `BadRequest`, `RequestInfo`).

use std::{collections::BTreeMap, error::Error as StdError, io, path::PathBuf, time::Duration};

use prost::Message as _;
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::{Endpoint, token::TokenError};

type Source = Box<dyn StdError + Send + Sync>;

/// Why there is no answer, or not the wanted one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token file cannot be used.
    #[error("token file `{}` cannot be used", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenError,
    },
    /// The program that gives tokens gives none.
    #[error("the token command `{}` gives no token", program.display())]
    TokenCommand {
        /// The program.
        program: PathBuf,
        /// What is wrong with it.
        source: TokenError,
    },
    /// There is no gateway to ask.
    #[error("no endpoint is configured")]
    NoEndpoint,
    /// The CA file cannot be used.
    #[error("CA file `{}` cannot be used", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Source,
    },
    /// The client certificate or its key cannot be used.
    #[error("client certificate or key `{}` cannot be used", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Source,
    },
    /// An `https` endpoint without a CA file.
    #[error("{endpoint} needs a CA file")]
    CaMissing {
        /// The gateway.
        endpoint: Endpoint,
    },
    /// A token would travel in the clear.
    #[error("the token would travel to {endpoint} in the clear")]
    PlaintextToken {
        /// The gateway.
        endpoint: Endpoint,
    },
    /// Nobody answers at the endpoint, or not the gateway that is trusted.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// Where the gateway was looked for.
        endpoint: Endpoint,
        /// Why that failed.
        source: Source,
    },
    /// Nobody answers in time.
    #[error("no connection to {endpoint} after {}", humantime::format_duration(*after))]
    ConnectTimeout {
        /// Where the gateway was looked for.
        endpoint: Endpoint,
        /// How long it was waited for.
        after: Duration,
    },
    /// The message that was to be sent cannot be read.
    #[error("the message cannot be read")]
    Message {
        /// Why.
        source: io::Error,
    },
    /// What was answered cannot be written.
    #[error("the answer cannot be written")]
    Output {
        /// Why.
        source: io::Error,
    },
    /// What was answered is not what the gateway says that it is, or has no end.
    #[error("the answer is damaged")]
    Damaged,
    /// The call failed. Boxed, to keep results small.
    #[error(transparent)]
    Call(#[from] Box<Failure>),
}

impl Error {
    /// The failure of the call, if there was a call.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Call(failure) => Some(failure),
            _ => None,
        }
    }

    /// What the operating system or the TLS library said, if they did.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        chain(self.source()).find_map(|error| error.downcast_ref())
    }

    /// What is behind it all: the last error of the chain.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        chain(self.source()).last()
    }
}

/// A call that failed: the answer of the gateway, or the lack of one.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The gRPC code.
    pub code: Code,
    /// One sentence for people.
    pub message: String,
    /// The reason for programs, such as `KEY_NOT_FOUND`; `None` where the answer
    /// is not the gateway's own.
    pub reason: Option<String>,
    /// What the reason is about, such as `keyId`.
    pub metadata: BTreeMap<String, String>,
    /// The fields at fault.
    pub violations: Vec<FieldViolation>,
    /// When a later try may do.
    pub retry_after: Option<Duration>,
    /// Under which the operators find the call in their logs.
    pub request_id: Option<String>,
    source: Option<Source>,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field, such as `params.aliases[2]`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Failure {
    /// Decodes the answer to a call that had `timeout` to finish.
    pub(super) fn decode(status: &Status, timeout: Duration) -> Box<Self> {
        // The library reports its own timer as a cancellation.
        // A server or proxy built on it does the same, if its timer is the first to
        // end; nobody here ever cancels a call that is still waited for.
        let at_the_other_end = status.code() == Code::Cancelled && status.message() == "Timeout expired";
        if at_the_other_end || chain(status.source()).any(|error| error.is::<TimeoutExpired>()) {
            return Self::late(timeout);
        }
        // A status that came over the network has no source. Broken connections come with
        // whatever code the library makes of them.
        if status.source().is_some() {
            let message = "the connection was lost before the answer came".to_owned();
            let source = Some(status.clone().into());
            return Box::new(Self { source, ..Self::bare(Code::Unavailable, message) });
        }
        let details = status.get_error_details();
        let info = details.error_info();
        let violations = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        Box::new(Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|info| info.reason.clone()),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            violations: violations
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect(),
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
            request_id: details.request_info().map(|request| request.request_id.clone()),
            source: None,
        })
    }

    /// The error of an item.
    pub(super) fn of_item(error: &tonic_types::Status, timeout: Duration) -> Box<Self> {
        let details = error.encode_to_vec().into();
        Self::decode(&Status::with_details(error.code.into(), error.message.clone(), details), timeout)
    }

    /// No answer in time.
    pub(super) fn late(timeout: Duration) -> Box<Self> {
        let message = format!("no answer within {}", humantime::format_duration(timeout));
        Box::new(Self::bare(Code::DeadlineExceeded, message))
    }

    fn bare(code: Code, message: String) -> Self {
        Self {
            code,
            message,
            reason: None,
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
            request_id: None,
            source: None,
        }
    }
}

/// An error and everything behind it.
fn chain<'a>(
    first: Option<&'a (dyn StdError + 'static)>,
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(first, |error: &&'a (dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);

    #[test]
    fn every_detail_of_an_answer_is_decoded() {
        let mut details = ErrorDetails::with_error_info(
            "RATE_LIMITED",
            "skms",
            HashMap::from([("keyId".to_owned(), "payroll".to_owned())]),
        );
        details.add_bad_request_violation("key_id", "too long");
        details.set_retry_info(Some(Duration::from_millis(1500)));
        details.set_request_info("42", "");
        let status = Status::with_error_details(Code::ResourceExhausted, "too many calls", details);
        let failure = Failure::decode(&status, TIMEOUT);
        assert_eq!(failure.code, Code::ResourceExhausted);
        assert_eq!(failure.to_string(), "too many calls");
        assert_eq!(failure.reason.as_deref(), Some("RATE_LIMITED"));
        assert_eq!(failure.metadata.get("keyId").map(String::as_str), Some("payroll"));
        assert_eq!(failure.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(failure.request_id.as_deref(), Some("42"));
        let expected = FieldViolation { field: "key_id".into(), description: "too long".into() };
        assert_eq!(failure.violations, [expected]);
    }

    #[test]
    fn a_timer_of_the_library_is_a_deadline_and_not_a_cancellation() {
        let ours = Status::from_error(Box::new(TimeoutExpired(())));
        let theirs = Status::cancelled("Timeout expired");
        for status in [ours, theirs] {
            let failure = Failure::decode(&status, TIMEOUT);
            assert_eq!(
                (failure.code, failure.to_string().as_str()),
                (Code::DeadlineExceeded, "no answer within 3s")
            );
        }
    }
}
