//! A row, and how it is held against a gateway.

use bytes::Bytes;
use skms::proto;
use skms_tests::gateway::{Gateway, Home};
use tonic::Status;

use super::raw;
use crate::ask::refusal;

/// The request id under which `soft.ec-p256` was made.
pub(super) const USED: &str = "6ba7b812-9dad-4b11-80b4-00c04fd430c8";

/// A wrong request.
pub(super) enum Call {
    Create(proto::CreateKeyRequest),
    Get(proto::GetKeyRequest),
    List(proto::ListKeysRequest),
    Versions(proto::ListKeyVersionsRequest),
    Public(proto::GetPublicKeyRequest),
    Rotate(proto::RotateKeyRequest),
    Sign(proto::SignRequest),
    Verify(proto::VerifyRequest),
    Backend(proto::GetBackendRequest),
    /// Bytes, sent to a path as the body of a call.
    Raw(&'static str, Bytes),
}

/// A wrong request and what it gets.
pub(super) struct Row {
    what: String,
    call: Call,
    expected: String,
}

impl Row {
    pub(super) fn new(what: impl Into<String>, call: Call, expected: impl Into<String>) -> Self {
        Self { what: what.into(), call, expected: expected.into() }
    }
}

/// Makes each call and collects what differs, so that one run shows it all.
pub(super) async fn run(home: &Home, gateway: &Gateway, rows: Vec<Row>) {
    let client = gateway.client().await;
    let (keys, system) = (client.key_management(), client.system());
    let channel = gateway.channel().await;
    let mut differences = Vec::new();
    for Row { what, call, expected } in rows {
        let before = home.audit().len();
        let status = match call {
            Call::Create(request) => failed(keys.clone().create_key(request).await),
            Call::Get(request) => failed(keys.clone().get_key(request).await),
            Call::List(request) => failed(keys.clone().list_keys(request).await),
            Call::Versions(request) => failed(keys.clone().list_key_versions(request).await),
            Call::Public(request) => failed(keys.clone().get_public_key(request).await),
            Call::Rotate(request) => failed(keys.clone().rotate_key(request).await),
            Call::Sign(request) => failed(keys.clone().sign_message(request).await),
            Call::Verify(request) => failed(keys.clone().verify_signature(request).await),
            Call::Backend(request) => failed(system.clone().get_backend(request).await),
            Call::Raw(path, body) => failed(raw::call(channel.clone(), path, body).await),
        };
        let refused = status.as_ref().map_or_else(|answer| format!("an answer: {answer}"), refusal);
        if refused != expected {
            differences.push(format!("{what}:\n  expected {expected}\n  but got  {refused}"));
        }
        let reason = expected.split(' ').nth(1).unwrap();
        let results: Vec<_> = home.audit()[before..]
            .iter()
            .filter(|record| record["phase"] == "outcome")
            .map(|record| record["result"].as_str().unwrap().to_owned())
            .collect();
        // One record for each refusal, in front of the gate or behind it; nothing was
        // decided where there is no such method.
        let wanted = if reason == "METHOD_NOT_FOUND" { Vec::new() } else { vec![reason.to_owned()] };
        if results != wanted {
            differences.push(format!("{what}:\n  expected the record {wanted:?}\n  but found {results:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The refusal, or the answer where there should be none.
fn failed<T: std::fmt::Debug>(result: Result<tonic::Response<T>, Status>) -> Result<Status, String> {
    match result {
        Ok(answer) => Err(format!("{:?}", answer.into_inner())),
        Err(status) => Ok(status),
    }
}
