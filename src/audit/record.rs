//! What is recorded: an allow-list of fields.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::entry;
use crate::{
    auth::Caller,
    model::{BackendName, Code, KeyId, Reason},
};

/// One line of the log.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    /// When it was written, RFC 3339 in UTC.
    pub time: String,
    /// Whether something is about to be done, or was.
    pub phase: Phase,
    /// The id of the call; a client sees it in every error.
    pub request_id: &'a str,
    /// Who called: issuer and subject.
    pub caller: &'a str,
    /// Who vouches for it: the configured name of an issuer or authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<&'a str>,
    /// Whom that vouches for, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<&'a str>,
    /// The tenant it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<&'a str>,
    /// How it proved that.
    pub authenticated_by: &'static str,
    /// The SHA-256 of the client certificate of its connection, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<&'a str>,
    /// From where.
    pub peer: &'a str,
    /// What it asked for.
    pub action: &'static str,
    /// Whether it may.
    pub decision: &'static str,
    /// The ids of the policies that decided; none where nothing permits it.
    pub policies: &'a [Arc<str>],
    /// The key, by its id; as asked for, where there is no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// What became known on the way.
    #[serde(flatten)]
    pub facts: Facts,
    /// How it ended; absent while it has not.
    #[serde(flatten)]
    pub outcome: Option<Outcome>,
}

/// Somebody who was refused before it was known what it wanted, or who it is.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// Whose refusals are counted together: a caller, or an address.
    pub source: &'a str,
    /// The caller, where it had proved that it is one.
    pub caller: Option<&'a Caller>,
    /// From where.
    pub peer: &'a str,
    /// The SHA-256 of the client certificate of its connection, in hexadecimal.
    pub certificate: Option<&'a str>,
    /// The id of the call.
    pub request_id: &'a str,
    /// The method that was called; `unknown` where there is no such method.
    pub rpc: &'static str,
    /// What it was told.
    pub reason: Reason,
    /// What it was not told.
    pub detail: &'static str,
    /// How long it took.
    pub latency: Duration,
}

/// Whether something is about to be done, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is about to be done. Written before anything is changed.
    Intent,
    /// It was done, or refused.
    Outcome,
}

/// What becomes known while a call is at work.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// The key that it turned out to be about, where that is another one than was
    /// asked for. It takes the place of the latter in the record.
    #[serde(skip)]
    pub key: Option<KeyId>,
    /// Which item of a batch it was, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    /// What else had to be allowed for it, by the names of the actions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<&'static str>,
    /// Which of these was denied, where it was not the action itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied: Option<&'static str>,
    /// The call had been made before, and was given its first answer again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// Nothing was to be made, only to be found out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub validate_only: bool,
    /// The version of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The versions that were named, where it is about more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u32>,
    /// The gateway did it by itself, because its time had come.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scheduled: bool,
    /// What became on its device of a key that was taken over, when it was destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopted: Option<&'static str>,
    /// The keys that lost an alias by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_from: Vec<KeyId>,
    /// The backend that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendName>,
    /// The algorithm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<&'static str>,
    /// What kind of input it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<InputKind>,
    /// The key that encrypted anew what another decrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<KeyId>,
    /// The import job that it was about, or under which material was wrapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_job: Option<KeyId>,
    /// The version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_version: Option<u32>,
    /// The names of an encryption context, without their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context_names: Vec<String>,
    /// How long the input was, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_bytes: Option<usize>,
}

/// What kind of input a call brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// A message.
    Message,
    /// A digest.
    Digest,
    /// What came in a stream, whose end was not known yet.
    Stream,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcome {
    /// `ok`, or the reason for which it was refused.
    result: &'static str,
    /// The code of gRPC.
    code: &'static str,
    /// What its caller was not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// How long it took: from the decision on, or where it did not come to one, from its
    /// arrival.
    #[serde(rename = "latency_us", serialize_with = "micros")]
    latency: Duration,
}

impl Outcome {
    /// It was done.
    #[must_use]
    pub const fn done(latency: Duration) -> Self {
        Self { result: "ok", code: Code::Ok.name(), detail: None, latency }
    }

    /// It was refused, or failed.
    #[must_use]
    pub const fn refused(reason: Reason, latency: Duration) -> Self {
        Self { result: reason.text(), code: Code::of(reason).name(), detail: None, latency }
    }
}

impl Refused<'_> {
    /// The record of it alone.
    pub(super) fn record(&self) -> Record<'_> {
        Record {
            time: entry::now(),
            phase: Phase::Outcome,
            request_id: self.request_id,
            caller: self.source,
            issuer: self.caller.map(Caller::issuer),
            subject: self.caller.map(Caller::subject),
            tenant: self.caller.and_then(Caller::tenant),
            authenticated_by: self.caller.map_or("none", |caller| caller.method().name()),
            certificate: self.certificate,
            peer: self.peer,
            action: self.rpc,
            decision: "deny",
            policies: &[],
            key: None,
            facts: Facts::default(),
            outcome: Some(Outcome {
                detail: Some(self.detail),
                ..Outcome::refused(self.reason, self.latency)
            }),
        }
    }
}

fn micros<S: serde::Serializer>(latency: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX))
}
