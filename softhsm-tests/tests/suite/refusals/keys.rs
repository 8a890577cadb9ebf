//! Wrong requests to make, show, list and rotate keys, and to see the gateway.

use std::collections::BTreeMap;

use prost_types::{Duration, Timestamp};
use skms::proto;

use super::{
    on_each_backend,
    rows::{Call, Row, USED},
};
use crate::ask;

/// A change that makes a request wrong.
type Spoil<T> = fn(&mut T);

pub(super) fn create() -> Vec<Row> {
    let mut rows = spoiled_keys();
    rows.extend(spoiled_params());
    rows.extend(on_each_backend(taken));
    rows
}

fn row(what: &str, request: proto::CreateKeyRequest, expected: &str) -> Row {
    Row::new(format!("create: {what}"), Call::Create(request), expected)
}

fn spoiled_keys() -> Vec<Row> {
    let table: [(&str, Spoil<proto::CreateKeyRequest>, &str); 26] = [
        ("no key type", |r| r.key_type.clear(), "FIELD_REQUIRED key_type"),
        ("an unknown key type", |r| r.key_type = "rot13".into(), "UNSUPPORTED_KEY_TYPE key_type"),
        ("a key type of this plan", |r| r.key_type = "ml-kem-768".into(), "UNSUPPORTED_KEY_TYPE key_type"),
        ("an endless key type", |r| r.key_type = "x".repeat(9999), "UNSUPPORTED_KEY_TYPE key_type"),
        ("an id in capitals", |r| r.key_id = "Key".into(), "FIELD_INVALID key_id"),
        ("an id with a slash", |r| r.key_id = "a/b".into(), "FIELD_INVALID key_id"),
        ("an id that begins with a dash", |r| r.key_id = "-a".into(), "FIELD_INVALID key_id"),
        ("an id with a null", |r| r.key_id = "a\0b".into(), "FIELD_INVALID key_id"),
        ("an id of 64 bytes", |r| r.key_id = "a".repeat(64), "FIELD_INVALID key_id"),
        ("an id of 10 KB", |r| r.key_id = "a".repeat(10_000), "FIELD_INVALID key_id"),
        ("an id of blanks", |r| r.key_id = " ".into(), "FIELD_INVALID key_id"),
        ("a request id that is no UUID", |r| r.request_id = "1".into(), "FIELD_INVALID request_id"),
        ("a request id of version 1", |r| r.request_id = V1.into(), "FIELD_INVALID request_id"),
        ("a request id of zeros", |r| r.request_id = NIL.into(), "FIELD_INVALID request_id"),
        ("a request id in braces", |r| r.request_id = format!("{{{USED}}}"), "FIELD_INVALID request_id"),
        ("a request id of another body", |r| r.request_id = USED.into(), "REQUEST_ID_REUSED"),
        ("65 labels", |r| r.metadata = labels(65), "FIELD_INVALID metadata"),
        ("a label without a name", |r| label(r, "", "x"), "FIELD_INVALID metadata"),
        ("a label in capitals", |r| label(r, "Env", "x"), "FIELD_INVALID metadata"),
        ("a label's name of 64 bytes", |r| label(r, &"a".repeat(64), "x"), "FIELD_INVALID metadata"),
        ("a label's name with a blank", |r| label(r, "a b", "x"), "FIELD_INVALID metadata"),
        ("a label's value of 257 bytes", |r| label(r, "a", &"x".repeat(257)), "FIELD_INVALID metadata"),
        (
            "everything at once",
            |r| {
                r.key_type.clear();
                r.key_id = "A".into();
                r.request_id = "B".into();
                label(r, "C", "x");
                let params = r.params.as_mut().unwrap();
                params.backend = "D".into();
                params.aliases = vec!["E".into(), "e".into(), "e".into()];
                params.purpose = 99;
                params.export_policy = 2;
            },
            "FIELD_INVALID request_id key_type=FIELD_REQUIRED key_id metadata params.aliases[0] \
             params.aliases[2] params.purpose params.backend params.export_policy",
        ),
        ("its own id as an alias", |r| aliases(r, &["new"]), "FIELD_INVALID params.aliases[0]"),
        ("an alias twice", |r| aliases(r, &["a", "a"]), "FIELD_INVALID params.aliases[1]"),
        ("17 aliases", |r| aliases(r, &["a"; 17]), "FIELD_INVALID params.aliases"),
    ];
    let spoiled = table.into_iter().map(|(what, spoil, expected)| {
        let mut request = ask::create("ec-p256", "new", "");
        spoil(&mut request);
        row(what, request, &format!("InvalidArgument {expected}"))
    });
    spoiled.collect()
}

fn spoiled_params() -> Vec<Row> {
    let table: [(&str, Spoil<proto::KeyParams>, &str); 31] = [
        ("an unknown purpose", |p| p.purpose = 99, "FIELD_INVALID params.purpose"),
        ("a negative purpose", |p| p.purpose = -1, "FIELD_INVALID params.purpose"),
        ("purpose encryption", |p| p.purpose = 2, "FIELD_INVALID params.purpose"),
        ("purpose MAC", |p| p.purpose = 3, "FIELD_INVALID params.purpose"),
        ("purpose wrapping", |p| p.purpose = 6, "FIELD_INVALID params.purpose"),
        ("an unknown algorithm", |p| p.signature_algorithms = vec![1, 999], ALGORITHM_1),
        ("an unspecified algorithm", |p| p.signature_algorithms = vec![0], ALGORITHM_0),
        ("an algorithm twice", |p| p.signature_algorithms = vec![1, 1], ALGORITHM_1),
        ("Ed25519ph", |p| p.signature_algorithms = vec![21], ALGORITHM_0),
        ("ML-DSA-44", |p| p.signature_algorithms = vec![30], OF_ANOTHER_TYPE),
        ("ML-DSA-65", |p| p.signature_algorithms = vec![31], OF_ANOTHER_TYPE),
        ("ML-DSA-87", |p| p.signature_algorithms = vec![32], OF_ANOTHER_TYPE),
        ("SLH-DSA", |p| p.signature_algorithms = vec![40], ALGORITHM_0),
        (
            "an algorithm of another type",
            |p| p.signature_algorithms = vec![1, 2],
            "ALGORITHM_NOT_ALLOWED params.signature_algorithms[1]",
        ),
        (
            "more algorithms than there are",
            |p| p.signature_algorithms = vec![1; 15],
            "FIELD_INVALID params.signature_algorithms",
        ),
        ("an unknown protection level", |p| p.protection_level = 4, "FIELD_INVALID params.protection_level"),
        ("a backend in capitals", |p| p.backend = "HSM".into(), "FIELD_INVALID params.backend"),
        ("a backend of 33 bytes", |p| p.backend = "a".repeat(33), "FIELD_INVALID params.backend"),
        (
            "a rotation every few hours",
            |p| p.rotation_period = Some(span(9999)),
            "FIELD_INVALID params.rotation_period",
        ),
        (
            "a next rotation without a period",
            |p| p.next_rotation_time = Some(time(4_000_000_000)),
            "FIELD_INVALID params.next_rotation_time",
        ),
        ("destruction within a day", |p| p.destroy_scheduled_duration = Some(span(86_399)), DESTROY),
        ("destruction in the past", |p| p.destroy_scheduled_duration = Some(span(-86_400)), DESTROY),
        ("destruction in eleven years", |p| p.destroy_scheduled_duration = Some(span(347_000_000)), DESTROY),
        ("wrapped export", |p| p.export_policy = 2, "FIELD_INVALID params.export_policy"),
        ("an unknown export policy", |p| p.export_policy = 3, "FIELD_INVALID params.export_policy"),
        ("import only", |p| p.import_only = true, "PARAMETER_NOT_APPLICABLE params.import_only"),
        (
            "a beginning before 1970",
            |p| p.not_before_time = Some(time(-1)),
            "FIELD_INVALID params.not_before_time",
        ),
        (
            "an end after 9999",
            |p| p.expire_time = Some(time(253_402_300_800)),
            "FIELD_INVALID params.expire_time",
        ),
        (
            "an end before its beginning",
            |p| (p.not_before_time, p.expire_time) = (Some(time(2)), Some(time(2))),
            "FIELD_INVALID params.expire_time",
        ),
        (
            "a limit of operations",
            |p| p.max_operations_per_version = (1 << 53) + 1,
            "FIELD_INVALID params.max_operations_per_version",
        ),
        (
            "a description of 1025 bytes",
            |p| p.description = "x".repeat(1025),
            "FIELD_INVALID params.description",
        ),
    ];
    let spoiled = table.into_iter().map(|(what, spoil, expected)| {
        let mut request = ask::create("ec-p256", "new", "");
        spoil(request.params.as_mut().unwrap());
        row(what, request, &format!("InvalidArgument {expected}"))
    });
    let mut rows: Vec<_> = spoiled.collect();
    rows.push(row("an unknown backend", ask::create("ec-p256", "new", "none"), "NotFound BACKEND_NOT_FOUND"));
    let mut strong = ask::create("ec-p256", "new", "soft");
    strong.params.as_mut().unwrap().protection_level = proto::ProtectionLevel::Hsm.into();
    let expected = "FailedPrecondition PROTECTION_LEVEL_UNSATISFIABLE";
    rows.push(row("more protection than the backend has", strong, expected));
    rows
}

/// What is there already, on each backend.
fn taken(backend: &'static str) -> Vec<Row> {
    let key = |what: &str, id: String, expected| row(what, ask::create("ec-p256", &id, backend), expected);
    let mut alias = ask::create("ec-p256", "new", backend);
    alias.params.as_mut().unwrap().aliases = vec![format!("{backend}.rsa-2048.alias")];
    let mut named = ask::create("ec-p256", "new", backend);
    named.params.as_mut().unwrap().aliases = vec![format!("{backend}.rsa-2048")];
    vec![
        key("an id that is taken", format!("{backend}.ec-p256"), "AlreadyExists KEY_ALREADY_EXISTS"),
        key("an id that is an alias", format!("{backend}.ec-p256.alias"), "AlreadyExists ALIAS_IN_USE"),
        row("an alias that is taken", alias, "AlreadyExists ALIAS_IN_USE"),
        row("an alias that is an id", named, "AlreadyExists KEY_ALREADY_EXISTS"),
    ]
}

pub(super) fn get() -> Vec<Row> {
    let row = |what: &str, id: &str, view, version, expected: &str| {
        let request = proto::GetKeyRequest { key_id: id.into(), view, version, ..Default::default() };
        Row::new(format!("get: {what}"), Call::Get(request), expected)
    };
    let mut rows = vec![
        row("no key", "", 0, 0, "InvalidArgument FIELD_REQUIRED key_id"),
        row("a key in capitals", "KEY", 0, 0, "InvalidArgument FIELD_INVALID key_id"),
        row("a key of 64 bytes", &"a".repeat(64), 0, 0, "InvalidArgument FIELD_INVALID key_id"),
        row("an unknown view", "soft.ec-p256", 3, 0, "InvalidArgument FIELD_INVALID view"),
        row("no key and no such view", "", -1, 0, "InvalidArgument FIELD_REQUIRED key_id view=FIELD_INVALID"),
        row("an unknown key", "nobody", 0, 0, "NotFound KEY_NOT_FOUND"),
    ];
    rows.extend(on_each_backend(|backend| {
        let (id, missing) = (format!("{backend}.ec-p256"), "NotFound KEY_VERSION_NOT_FOUND");
        vec![
            row("a version to come", &id, 0, 3, missing),
            row("the last version of all", &id, 2, u32::MAX, missing),
        ]
    }));
    rows
}

pub(super) fn public() -> Vec<Row> {
    let row = |what: &str, id: &str, version, format, expected: &str| {
        let request = proto::GetPublicKeyRequest { key_id: id.into(), version, format };
        Row::new(format!("public key: {what}"), Call::Public(request), expected)
    };
    let mut rows = vec![
        row("no key", "", 0, 0, "InvalidArgument FIELD_REQUIRED key_id"),
        row("a key in capitals", "KEY", 0, 0, "InvalidArgument FIELD_INVALID key_id"),
        row("an unknown format", "soft.ec-p256", 0, 5, "InvalidArgument FIELD_INVALID format"),
        row("nothing right", "", 9, -1, "InvalidArgument FIELD_REQUIRED key_id format=FIELD_INVALID"),
        row("an unknown key", "nobody", 0, 1, "NotFound KEY_NOT_FOUND"),
        row("a secret key", "secret", 0, 0, "FailedPrecondition KEY_PURPOSE_MISMATCH"),
        row("a version of a secret key", "secret", 7, 4, "FailedPrecondition KEY_PURPOSE_MISMATCH"),
    ];
    rows.extend(on_each_backend(|backend| {
        let (id, missing) = (format!("{backend}.ec-p256"), "NotFound KEY_VERSION_NOT_FOUND");
        vec![
            row("a version to come", &id, 3, 0, missing),
            row("the last version of all", &id, u32::MAX, 3, missing),
        ]
    }));
    rows
}

pub(super) fn rotate() -> Vec<Row> {
    let row = |what: &str, id: &str, spoil: Spoil<proto::RotateKeyRequest>, expected: &str| {
        let mut request = ask::rotate(id);
        spoil(&mut request);
        Row::new(format!("rotate: {what}"), Call::Rotate(request), expected)
    };
    let mut rows = vec![
        row("no key", "", |_| (), "InvalidArgument FIELD_REQUIRED key_id"),
        row("a key in capitals", "KEY", |_| (), "InvalidArgument FIELD_INVALID key_id"),
        row(
            "no UUID",
            "soft.ec-p256",
            |r| r.request_id = "1".into(),
            "InvalidArgument FIELD_INVALID request_id",
        ),
        row(
            "an endless etag",
            "soft.ec-p256",
            |r| r.etag = "x".repeat(65),
            "InvalidArgument FIELD_INVALID etag",
        ),
        row("an unknown key", "nobody", |_| (), "NotFound KEY_NOT_FOUND"),
    ];
    rows.extend(on_each_backend(|backend| {
        let (id, changed) = (format!("{backend}.ec-p256"), "Aborted PRIMARY_VERSION_CHANGED");
        vec![
            row("a stale etag", &id, |r| r.etag = "1".into(), "Aborted ETAG_MISMATCH"),
            row("no etag of ours", &id, |r| r.etag = "\"*\"".into(), "Aborted ETAG_MISMATCH"),
            row("a primary that was", &id, |r| r.expected_primary_version = 1, changed),
            row("a primary to come", &id, |r| r.expected_primary_version = u32::MAX, changed),
        ]
    }));
    rows
}

pub(super) fn system() -> Vec<Row> {
    let row = |what: &str, name: &str, expected: &str| {
        let request = proto::GetBackendRequest { name: name.into() };
        Row::new(format!("backend: {what}"), Call::Backend(request), expected)
    };
    vec![
        row("no name", "", "InvalidArgument FIELD_REQUIRED name"),
        row("a name in capitals", "HSM", "InvalidArgument FIELD_INVALID name"),
        row("a name of 33 bytes", &"a".repeat(33), "InvalidArgument FIELD_INVALID name"),
        row("an unknown name", "none", "NotFound BACKEND_NOT_FOUND"),
    ]
}

/// What a token without Ed25519, RSA-PSS and signatures of RSA digests refuses.
pub(super) fn poorer() -> Vec<Row> {
    let mut pss = ask::create("rsa-2048", "new", "hsm");
    pss.params.as_mut().unwrap().signature_algorithms = vec![10];
    let hsm = proto::ProtectionLevel::Hsm.into();
    let mut floor = ask::create("ed25519", "new", "");
    floor.params.as_mut().unwrap().protection_level = hsm;
    let digest = proto::Digest { hash: proto::HashAlgorithm::Sha256.into(), value: vec![7; 32].into() };
    let digest = proto::SignRequest {
        input: Some(proto::sign_request::Input::Digest(digest)),
        ..ask::sign("rsa", "")
    };
    let other = proto::SignRequest { algorithm: 10, ..ask::sign("rsa", "text") };
    vec![
        row("Ed25519", ask::create("ed25519", "new", "hsm"), "InvalidArgument UNSUPPORTED_KEY_TYPE key_type"),
        row("PSS", pss, "InvalidArgument ALGORITHM_NOT_ALLOWED params.signature_algorithms"),
        row("Ed25519 in hardware", floor, "FailedPrecondition PROTECTION_LEVEL_UNSATISFIABLE"),
        Row::new("sign: a digest", Call::Sign(digest), "Unimplemented OPERATION_NOT_SUPPORTED_BY_BACKEND"),
        Row::new("sign: PSS", Call::Sign(other), "InvalidArgument ALGORITHM_NOT_ALLOWED algorithm"),
    ]
}

fn labels(count: usize) -> BTreeMap<String, String> {
    (0..count).map(|at| (format!("label-{at}"), String::new())).collect()
}

fn label(request: &mut proto::CreateKeyRequest, name: &str, value: &str) {
    request.metadata.insert(name.into(), value.into());
}

fn aliases(request: &mut proto::CreateKeyRequest, names: &[&str]) {
    request.params.as_mut().unwrap().aliases = names.iter().map(|&name| name.into()).collect();
}

const fn span(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

const fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

const ALGORITHM_0: &str = "FIELD_INVALID params.signature_algorithms[0]";
const OF_ANOTHER_TYPE: &str = "ALGORITHM_NOT_ALLOWED params.signature_algorithms[0]";
const ALGORITHM_1: &str = "FIELD_INVALID params.signature_algorithms[1]";
const DESTROY: &str = "FIELD_INVALID params.destroy_scheduled_duration";
const V1: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
const NIL: &str = "00000000-0000-0000-0000-000000000000";
