//! The only file that makes statuses: every error of the gateway becomes a gRPC
//! code, one sentence for the caller, and details that a program can match on.
//!
//! **Invariant:** what a client reads is written here or is a typed field of an
//! error. Causes (`source`) go to the log under the request id, never to a client.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use skms_backend::Class;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use tracing::{error, warn};

use crate::{
    keys::{CatalogError, Error, Exceeded, GateError, Reasoned, Violation},
    model::{self, Reason},
    telemetry::{Malformed, chain, metrics},
};

/// The domain of every reason.
const DOMAIN: &str = "skms";
/// When a caller may come back to a queue that was full: a few times as long as
/// a full queue takes to drain.
const RETRY_QUEUE: Duration = Duration::from_millis(100);
/// When a caller may come back to a device that was away.
const RETRY_DEVICE: Duration = Duration::from_secs(1);

/// What the client is told of an error.
pub(crate) fn of(error: &Error, request_id: &str) -> Status {
    let reason = error.reason();
    let code = code(reason);
    log(error, code);
    let mut details = details(reason, metadata(error), request_id);
    if let Error::Invalid { violations } = error {
        add_violations(&mut details, violations);
    }
    if let Some((kind, subject)) = precondition(error) {
        details.add_precondition_failure_violation(kind, subject, external(error));
    }
    if let Some(after) = exceeded(error).map(|exceeded| exceeded.retry_after).or_else(|| retry(reason)) {
        details.set_retry_info(Some(after));
    }
    if code == Code::ResourceExhausted {
        details.add_quota_failure_violation(quota_subject(error), external(error));
    }
    Status::with_error_details(code, external(error), details)
}

/// The same for an item of a batch, as a message.
pub(super) fn of_item(error: &Error, request_id: &str) -> tonic_types::Status {
    let status = of(error, request_id);
    let code = i32::from(status.code());
    // The details of a status are that message (tonic makes them so), unless there are none.
    tonic_types::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::Status {
        code,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// A refusal of the machinery in front of the use cases.
pub(crate) fn refusal(reason: Reason, message: &str, request_id: &str) -> Status {
    let details = details(reason, HashMap::new(), request_id);
    Status::with_error_details(code(reason), message, details)
}

/// A share that is used up.
pub(crate) fn rate_limited(exceeded: &Exceeded, request_id: &str) -> Status {
    of(&Error::from(GateError::RateLimited { exceeded: *exceeded }), request_id)
}

/// A message that is longer than its method takes.
pub(crate) fn too_large(request_id: &str) -> Status {
    of(&message_too_large(), request_id)
}

/// What is wrong with a message of a stream that tonic has refused; `None` where the
/// connection was at fault.
pub(super) fn of_message(refused: &Status) -> Option<Error> {
    match refused.code() {
        Code::OutOfRange => {
            metrics().malformed(Malformed::TooLarge);
            Some(message_too_large())
        }
        // The decoder's, which names no cause as connections do.
        Code::Internal if std::error::Error::source(refused).is_none() => {
            metrics().malformed(Malformed::NoProtobuf);
            Some(no_message())
        }
        _ => None,
    }
}

fn message_too_large() -> Error {
    let why = "the message is larger than this method takes; GetServerInfo lists the limits";
    Error::invalid("", Reason::PayloadTooLarge, why)
}

fn no_message() -> Error {
    Error::invalid("", Reason::FieldInvalid, "the body is not a message of this method")
}

fn details(reason: Reason, metadata: HashMap<String, String>, request_id: &str) -> ErrorDetails {
    let mut details = ErrorDetails::with_error_info(reason.text(), DOMAIN, metadata);
    details.set_request_info(request_id, "");
    details
}

fn add_violations(details: &mut ErrorDetails, violations: &[Violation]) {
    let violations: Vec<_> = violations
        .iter()
        .map(|violation| {
            let mut field = FieldViolation::new(violation.field.clone(), violation.description.clone());
            field.reason = violation.reason.text().to_owned();
            field
        })
        .collect();
    details.set_bad_request(violations);
}

/// The code of a reason, which `model` decides.
const fn code(reason: Reason) -> Code {
    match model::Code::of(reason) {
        model::Code::Ok => Code::Ok,
        model::Code::InvalidArgument => Code::InvalidArgument,
        model::Code::DeadlineExceeded => Code::DeadlineExceeded,
        model::Code::NotFound => Code::NotFound,
        model::Code::AlreadyExists => Code::AlreadyExists,
        model::Code::PermissionDenied => Code::PermissionDenied,
        model::Code::ResourceExhausted => Code::ResourceExhausted,
        model::Code::FailedPrecondition => Code::FailedPrecondition,
        model::Code::OutOfRange => Code::OutOfRange,
        model::Code::Aborted => Code::Aborted,
        model::Code::Unimplemented => Code::Unimplemented,
        model::Code::Internal => Code::Internal,
        model::Code::Unavailable => Code::Unavailable,
        model::Code::DataLoss => Code::DataLoss,
        model::Code::Unauthenticated => Code::Unauthenticated,
    }
}

fn retry(reason: Reason) -> Option<Duration> {
    match reason {
        Reason::BackendQueueFull | Reason::ConcurrentModification => Some(RETRY_QUEUE),
        _ if matches!(code(reason), Code::Unavailable) => Some(RETRY_DEVICE),
        Reason::KeyPendingGeneration => Some(RETRY_DEVICE),
        _ => None,
    }
}

/// The sentence for the caller. Where the error's own `Display` says only its
/// step, the reason says more.
fn external(error: &Error) -> String {
    match error {
        Error::Backend { backend, source } => {
            let code = source.code().map(|code| format!(" ({code})")).unwrap_or_default();
            format!("the backend `{backend}` {}{code}", backend_sentence(source.class()))
        }
        Error::Catalog { source } => match source {
            CatalogError::KeyExists(_)
            | CatalogError::IdRetired(_)
            | CatalogError::AliasInUse(_)
            | CatalogError::Refused(_)
            | CatalogError::Expires
            | CatalogError::NoPeriod
            | CatalogError::KeyMissing
            | CatalogError::ImportOnly(_)
            | CatalogError::JobExists(_)
            | CatalogError::JobMissing
            | CatalogError::Held(_)
            | CatalogError::EtagMismatch
            | CatalogError::PrimaryChanged { .. }
            | CatalogError::Relabelled
            | CatalogError::RequestIdReused
            | CatalogError::InProgress => source.to_string(),
            CatalogError::Open { .. }
            | CatalogError::InUse { .. }
            | CatalogError::Replaced { .. }
            | CatalogError::Newer { .. }
            | CatalogError::Store { .. }
            | CatalogError::Migrate { .. }
            | CatalogError::Unreadable { .. }
            | CatalogError::Panicked { .. } => "the catalog cannot be read or written now".to_owned(),
        },
        Error::Gate { source } => source.to_string(),
        Error::Internal { .. } => "the gateway failed; its log has the cause under the request id".to_owned(),
        error => error.to_string(),
    }
}

/// What is told of a device's failure: its class, and nothing of its details.
const fn backend_sentence(class: Class) -> &'static str {
    match class {
        Class::Caller => "refused the input",
        Class::Unsupported => "does not offer this",
        Class::Key => "has no usable key material for this version",
        Class::StorageFull => "has no room for another key",
        Class::Session | Class::Login | Class::Handle => "lost its session; the call may be repeated",
        Class::Reinitialize => "has lost its token",
        Class::Shrink => "has no session left; the call may be repeated",
        Class::Pin => "cannot log in; its operator must act",
        Class::Hung => "does not come back from its calls",
        Class::QueueFull => "has too many calls waiting",
        Class::Timeout | Class::Cancelled => "did not answer in time",
        Class::Closed => "is closed: the gateway is stopping",
        Class::Broken => "failed",
    }
}

fn metadata(error: &Error) -> HashMap<String, String> {
    let pairs: Vec<(&str, String)> = match error {
        Error::KeyNotFound { name } => vec![("keyId", name.to_string())],
        Error::VersionNotFound { key, version } => {
            vec![("keyId", key.to_string()), ("version", version.to_string())]
        }
        Error::State { key, version, state } => vec![
            ("keyId", key.to_string()),
            ("version", version.to_string()),
            ("state", state.name().to_owned()),
        ],
        Error::NotYetValid { key }
        | Error::Expired { key }
        | Error::NoPublicHalf { key }
        | Error::OtherPurpose { key, .. } => {
            vec![("keyId", key.to_string())]
        }
        Error::RotationNotSupported { key } => vec![("keyId", key.to_string())],
        Error::JobNotFound { job } | Error::JobExpired { job } => vec![("importJob", job.to_string())],
        Error::BelowMinimum { key, version, .. } | Error::DecryptsOnly { key, version } => {
            vec![("keyId", key.to_string()), ("version", version.to_string())]
        }
        Error::UsedUp { key, version, most } => {
            vec![
                ("keyId", key.to_string()),
                ("version", version.to_string()),
                ("operationLimit", most.to_string()),
            ]
        }
        Error::ProtectionUnsatisfiable { key_type, .. } => vec![("keyType", key_type.to_string())],
        Error::NotOffered { backend, .. } | Error::BackendGone { backend } => {
            vec![("backend", backend.to_string())]
        }
        Error::Backend { backend, source } => {
            let mut pairs = vec![("backend", backend.to_string())];
            pairs.extend(source.code().map(|code| ("ckr", code.to_owned())));
            pairs
        }
        Error::Refused { source } => {
            vec![("keyId", source.key.to_string()), ("version", source.version.to_string())]
        }
        Error::Catalog {
            source:
                CatalogError::KeyExists(name) | CatalogError::IdRetired(name) | CatalogError::AliasInUse(name),
        } => {
            vec![("keyId", name.to_string())]
        }
        Error::Invalid { violations } => {
            violations.iter().filter_map(|violation| violation.about.clone()).collect()
        }
        Error::NotStreamed { algorithm, most } => {
            vec![("algorithm", algorithm.name().to_owned()), ("maxBytes", most.to_string())]
        }
        Error::Catalog { .. }
        | Error::Gate { .. }
        | Error::BackendNotFound
        | Error::DecryptionFailed
        | Error::MaterialInvalid
        | Error::NoRandom { .. }
        | Error::NoAdoption
        | Error::BatchAborted
        | Error::WatchTooSlow
        | Error::WatchExpired
        | Error::Internal { .. } => Vec::new(),
    };
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Type and subject of a failed precondition.
fn precondition(error: &Error) -> Option<(&'static str, String)> {
    let subject = match error {
        Error::State { key, version, .. }
        | Error::BelowMinimum { key, version, .. }
        | Error::DecryptsOnly { key, version } => {
            format!("{key}/{version}")
        }
        Error::Refused { source } => format!("{}/{}", source.key, source.version),
        Error::RotationNotSupported { key } => key.to_string(),
        Error::JobExpired { job } => job.to_string(),
        Error::NotYetValid { key }
        | Error::Expired { key }
        | Error::NoPublicHalf { key }
        | Error::OtherPurpose { key, .. } => key.to_string(),
        Error::ProtectionUnsatisfiable { key_type, .. } => key_type.to_string(),
        _ => return None,
    };
    Some((error.reason().text(), subject))
}

fn quota_subject(error: &Error) -> String {
    match error {
        Error::Backend { backend, .. } => format!("backend:{backend}"),
        Error::UsedUp { key, version, .. } => format!("key:{key}/{version}"),
        error => exceeded(error).map_or("gateway", |exceeded| exceeded.limit.name()).to_owned(),
    }
}

const fn exceeded(error: &Error) -> Option<&Exceeded> {
    match error {
        Error::Gate { source: GateError::RateLimited { exceeded } } => Some(exceeded),
        _ => None,
    }
}

/// Causes are for the operator: an error of the gateway or of a device is
/// somebody's work, one of a caller is not.
fn log(error: &Error, code: Code) {
    let told = chain(error);
    match code {
        // Told before, by the metrics, or by the audit log once; a flood of calls must not
        // become one of lines.
        _ if matches!(
            error,
            Error::UsedUp { .. }
                | Error::Gate { source: GateError::RateLimited { .. } | GateError::Audit { .. } }
        ) =>
        {
            tracing::debug!("{told}");
        }
        Code::Internal | Code::DataLoss => error!("{told}"),
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
            warn!("{told}");
        }
        _ => tracing::debug!("{told}"),
    }
}

/// A body that is no message of its method.
pub(crate) fn malformed(request_id: &str) -> Status {
    of(&no_message(), request_id)
}
