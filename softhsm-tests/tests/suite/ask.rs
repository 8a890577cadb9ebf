//! What the tests ask a gateway for, with everything as usual but what a test is
//! about; and its refusals, each in one line.

use bytes::Bytes;
use skms::{client, proto};
use skms_tests::gateway::{Gateway, Home};
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The test binary that a gateway is started from.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_skms-failpoints");

/// A key of this id, on this backend.
pub(crate) fn create(key_type: &str, id: &str, backend: &str) -> proto::CreateKeyRequest {
    proto::CreateKeyRequest {
        key_type: key_type.into(),
        key_id: id.into(),
        params: Some(proto::KeyParams { backend: backend.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// A key, shown in full.
pub(crate) fn full(id: &str) -> proto::GetKeyRequest {
    proto::GetKeyRequest { key_id: id.into(), view: proto::KeyView::Full.into(), ..Default::default() }
}

/// The public key of the primary version.
pub(crate) fn public(id: &str) -> proto::GetPublicKeyRequest {
    proto::GetPublicKeyRequest { key_id: id.into(), ..Default::default() }
}

/// All versions of a key.
pub(crate) fn versions(id: &str) -> proto::ListKeyVersionsRequest {
    proto::ListKeyVersionsRequest { key_id: id.into(), ..Default::default() }
}

/// A new primary version.
pub(crate) fn rotate(id: &str) -> proto::RotateKeyRequest {
    proto::RotateKeyRequest { key_id: id.into(), ..Default::default() }
}

/// A signature of a message.
pub(crate) fn sign(id: &str, message: impl Into<Bytes>) -> proto::SignRequest {
    proto::SignRequest {
        key_id: id.into(),
        input: Some(proto::sign_request::Input::Message(message.into())),
        ..Default::default()
    }
}

/// Whether a signature of a message is valid.
pub(crate) fn verify(
    id: &str,
    message: impl Into<Bytes>,
    signature: impl Into<Bytes>,
) -> proto::VerifyRequest {
    proto::VerifyRequest {
        key_id: id.into(),
        input: Some(proto::verify_request::Input::Message(message.into())),
        signature: signature.into(),
        ..Default::default()
    }
}

/// Starts the gateway anew with versions in other states than they came to be in: of
/// each `ID` all, of `ID.NUMBER` the one.
pub(crate) async fn stop_and_set_states(home: &Home, gateway: Gateway, states: &[(&str, &str)]) -> Gateway {
    assert!(gateway.stop().await.success());
    let catalog = rusqlite::Connection::open(home.path().join("catalog.db")).unwrap();
    for (name, state) in states {
        let sql = "UPDATE versions SET state = ?2, tag = iif(?2 = 'destroyed', NULL, tag),
             blob = iif(?2 = 'destroyed', NULL, blob) WHERE key_id = ?1 OR key_id || '.' || number = ?1";
        assert!(catalog.execute(sql, [name, state]).unwrap() > 0, "{name}");
    }
    drop(catalog);
    home.start()
}

/// A fresh id for a call that may be repeated.
pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// What the gateway knows of a key; every answer has it.
pub(crate) fn metadata(key: &proto::KeyResponse) -> &proto::KeyMetadata {
    key.metadata.as_ref().unwrap()
}

/// A refusal in one line: `InvalidArgument FIELD_REQUIRED key_type`. A field that
/// has another reason than the whole says so: `key_id=FIELD_INVALID`.
///
/// Checks what every error of the gateway has: one reason of its domain, and the
/// id of the request.
pub(crate) fn refusal(status: &Status) -> String {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else {
        return format!("{:?} without a reason: {}", status.code(), status.message());
    };
    assert_eq!(info.domain, "skms");
    let request_id = details.request_info().map(|request| request.request_id.as_str());
    assert!(request_id.is_some_and(|id| Uuid::parse_str(id).is_ok()), "{request_id:?}: {status:?}");
    assert!(details.debug_info().is_none(), "{status:?}");
    assert!(!status.message().is_empty(), "{status:?}");
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let mut line = format!("{:?} {}", status.code(), info.reason);
    for violation in violations {
        assert!(!violation.description.is_empty(), "{status:?}");
        line.push(' ');
        line.push_str(&violation.field);
        if violation.reason != info.reason {
            line.push('=');
            line.push_str(&violation.reason);
        }
    }
    line.trim_end().to_owned()
}

/// The code and the reason of a refusal, as the client decodes them; an answer is
/// shown as it is.
pub(crate) fn outcome<T: std::fmt::Debug>(result: &Result<T, client::Error>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => match error.failure() {
            Some(failure) => format!("{:?} {}", failure.code, failure.reason.as_deref().unwrap_or_default()),
            None => error.to_string(),
        },
    }
}

/// What is in a PEM.
pub(crate) fn der_of(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
