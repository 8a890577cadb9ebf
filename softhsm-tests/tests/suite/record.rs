//! The audit log: a record of every call, nothing secret in it, and no answer
//! where there can be no record.

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use skms::proto;
use skms_tests::gateway::{Gateway, Home};
use tonic::Code;

use crate::ask::{
    PROGRAM, create, full, metadata, outcome, public, request_id, rotate, sign, verify, versions,
};

/// The fields of a record that a test can know beforehand, in the order in which
/// they are compared.
const FIELDS: [&str; 12] = [
    "phase",
    "action",
    "key",
    "version",
    "backend",
    "algorithm",
    "input",
    "input_bytes",
    "decision",
    "caller",
    "authenticated_by",
    "result",
];

fn line(record: &serde_json::Value) -> String {
    let value = |name: &&str| match record.get(*name) {
        None => "-".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    FIELDS.iter().map(value).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_call_leaves_one_record_and_a_mutation_one_before_it() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let before = home.audit().len();
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        client.get_key(full(backend)).await.unwrap();
        client.public_key(public(backend)).await.unwrap();
        client.list_key_versions(versions(backend)).await.unwrap();
        client.rotate_key(rotate(backend)).await.unwrap();
        let signature = client.sign(sign(backend, "text")).await.unwrap().signature;
        client.verify(verify(backend, "text", signature.clone())).await.unwrap();
        client.verify(verify(backend, "other", signature)).await.unwrap();
        let digest = proto::Digest { hash: proto::HashAlgorithm::Sha256.into(), value: vec![7; 32].into() };
        let input = Some(proto::sign_request::Input::Digest(digest));
        client.sign(proto::SignRequest { input, version: 1, ..sign(backend, "") }).await.unwrap();
        client.list_keys(proto::ListKeysRequest::default()).await.unwrap();
        client.get_backend(backend).await.unwrap();
        client.list_backends().await.unwrap();
        client.server_info().await.unwrap();
        client.get_key(full("nobody")).await.unwrap_err();
        client.create_key(create("ec-p256", backend, backend)).await.unwrap_err();
        client.rotate_key(proto::RotateKeyRequest { etag: "x".into(), ..rotate(backend) }).await.unwrap_err();

        let records = home.audit().split_off(before);
        let found: Vec<_> = records.iter().map(line).collect();
        let by = "allow test/admin token";
        let p256 = "ecdsa-p256-sha256";
        let expected = [
            format!("intent create-key {backend} - - - - - {by} -"),
            format!("outcome create-key {backend} 1 {backend} - - - {by} ok"),
            format!("outcome get-key {backend} - - - - - {by} ok"),
            format!("outcome get-public-key {backend} 1 - - - - {by} ok"),
            format!("outcome get-key {backend} - - - - - {by} ok"),
            format!("intent rotate-key {backend} - - - - - {by} -"),
            format!("outcome rotate-key {backend} 2 {backend} - - - {by} ok"),
            format!("outcome sign-message {backend} 2 {backend} {p256} message 4 {by} ok"),
            format!("outcome verify-signature {backend} 2 - {p256} message 4 {by} ok"),
            format!("outcome verify-signature {backend} - - {p256} message 5 {by} ok"),
            format!("outcome sign-message {backend} 1 {backend} {p256} digest 32 {by} ok"),
            format!("outcome list-keys - - - - - - {by} ok"),
            format!("outcome get-backend - - {backend} - - - {by} ok"),
            format!("outcome list-backends - - - - - - {by} ok"),
            format!("outcome get-server-info - - - - - - {by} ok"),
            format!("outcome get-key nobody - - - - - {by} KEY_NOT_FOUND"),
            format!("intent create-key {backend} - - - - - {by} -"),
            format!("outcome create-key {backend} - {backend} - - - {by} KEY_ALREADY_EXISTS"),
            format!("intent rotate-key {backend} - - - - - {by} -"),
            format!("outcome rotate-key {backend} - {backend} - - - {by} ETAG_MISMATCH"),
        ];
        assert_eq!(found, expected);
        for pair in records.windows(2) {
            let [intent, outcome] = pair else { continue };
            if intent["phase"] == "intent" {
                assert_eq!(intent["request_id"], outcome["request_id"]);
            } else {
                assert_ne!(intent["request_id"], outcome["request_id"]);
            }
        }
        for record in &records {
            let time = record["time"].as_str().unwrap();
            assert!(time.ends_with('Z') && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
            assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
            assert_eq!(record["policies"], serde_json::json!(["admin"]), "{record}");
            assert_eq!(record["latency_us"].is_u64(), record["phase"] == "outcome", "{record}");
        }
    }
}

/// A refusal carries the id under which its record stands.
#[tokio::test]
async fn the_id_in_an_error_is_the_id_in_the_record() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let error = gateway.client().await.get_key(full("nobody")).await.unwrap_err();
    let id = error.failure().unwrap().request_id.clone().unwrap();
    let records = home.audit();
    let record = records.iter().find(|record| record["request_id"] == id.as_str()).unwrap();
    assert_eq!((&record["key"], &record["result"]), (&"nobody".into(), &"KEY_NOT_FOUND".into()));
}

#[tokio::test]
async fn nothing_secret_stands_in_the_audit_log_or_the_log() {
    const CANARY: &str = "canary-4d1f0a77";
    let home = Home::new(PROGRAM).configured("");
    let gateway = home.start_with([("SKMS__LOG__LEVEL", "trace".into())]);
    let client = gateway.client().await;
    let mut secrets = vec![CANARY.to_owned(), hex::encode(CANARY)];
    for backend in home.backends() {
        client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let signed = client.sign(sign(backend, CANARY)).await.unwrap().signature;
        client.verify(verify(backend, CANARY, signed.clone())).await.unwrap();
        client.verify(verify(backend, "other", signed.clone())).await.unwrap();
        let value = skms_backend::Hash::Sha256.digest(CANARY.as_bytes()).as_ref().to_vec();
        let digest = proto::Digest { hash: proto::HashAlgorithm::Sha256.into(), value: value.clone().into() };
        let input = Some(proto::sign_request::Input::Digest(digest));
        let again = client.sign(proto::SignRequest { input, ..sign(backend, "") }).await.unwrap().signature;
        // What is refused is not shown either.
        let wrong = proto::SignRequest { input_crc32c: Some(0), ..sign(backend, CANARY) };
        assert_eq!(outcome(&client.sign(wrong).await), "InvalidArgument CHECKSUM_MISMATCH");
        for bytes in [&signed[..], &value, &again] {
            secrets.push(hex::encode(bytes));
            secrets.push(format!("{bytes:?}").trim_matches(['[', ']']).to_owned());
            let encoded = base64(bytes);
            secrets.push(encoded.trim_end_matches('=').to_owned());
        }
    }
    let key = fs::read_to_string(home.path().join("master.key")).unwrap();
    secrets.push(base64(&hex::decode(&key).unwrap()));
    secrets.push(key);
    if let Some(token) = home.softhsm() {
        secrets.extend([token.pin(), token.so_pin()]);
    }
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    let log = gateway.log();
    assert!(log.contains("call served") && audit.contains("sign-message"), "nothing was looked at");
    for secret in &secrets {
        assert!(!audit.contains(secret.as_str()), "`{secret}` stands in the audit log");
        assert!(!log.contains(secret.as_str()), "`{secret}` stands in the log");
    }
    assert!(secrets.len() > 10);
}

fn base64(bytes: &[u8]) -> String {
    let mut command = std::process::Command::new("openssl");
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let output = command.args(["base64", "-A"]).stdin(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The disk under the audit log, to be filled up and emptied again: a limit on how
/// long a file of the gateway may grow, which only the audit log comes near.
struct Disk {
    gateway: Pid,
    log: PathBuf,
}

impl Disk {
    /// A gateway whose log is longer than all its other files will ever be, and
    /// that outlives a write beyond its limit.
    fn of(home: fn(&str) -> Home) -> (Home, Gateway, Self) {
        let home = home(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/record/gateway.sh"));
        let log = home.path().join("audit.jsonl");
        fs::write(&log, format!("{{\"filler\":\"{}\"}}\n", "x".repeat(8 << 20))).unwrap();
        let gateway = home.start_with([("GATEWAY", PROGRAM.into())]);
        let pid = Pid::from_raw(gateway.pid().try_into().unwrap()).unwrap();
        (home, gateway, Self { gateway: pid, log })
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.log).unwrap().len()
    }

    /// From here on every write fails.
    fn fill(&self) {
        self.limit(Some(self.length()));
    }

    fn empty(&self) {
        self.limit(None);
    }

    fn limit(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.gateway), Resource::Fsize, limit).unwrap();
    }
}

/// The gateway tries by itself whether there is room again, a few times a second.
async fn recovered(gateway: &Gateway) {
    while !gateway.log().contains("the audit log can be written again") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_answer_and_no_key() {
    let (home, gateway, disk) = Disk::of(Home::new);
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ed25519", backend, backend)).await.unwrap();
    }
    let before = home.softhsm().map(|token| (token.list(), token.object_files()));
    disk.fill();
    let unavailable = "Unavailable AUDIT_UNAVAILABLE";
    for backend in home.backends() {
        let refused = client.create_key(create("ed25519", &format!("{backend}.new"), backend)).await;
        assert_eq!(outcome(&refused), unavailable);
        let failure = refused.unwrap_err();
        let failure = failure.failure().unwrap();
        assert!(failure.retry_after.is_some() && failure.request_id.is_some(), "{failure:?}");
        assert_eq!(outcome(&client.rotate_key(rotate(backend)).await), unavailable);
        assert_eq!(outcome(&client.sign(sign(backend, "text")).await), unavailable);
        assert_eq!(outcome(&client.verify(verify(backend, "text", "x")).await), unavailable);
        assert_eq!(outcome(&client.get_key(full(backend)).await), unavailable);
        // That a key is missing is an answer, too.
        assert_eq!(outcome(&client.get_key(full("nobody")).await), unavailable);
    }
    assert_eq!(outcome(&client.list_backends().await), unavailable);
    assert_eq!(home.softhsm().map(|token| (token.list(), token.object_files())), before);
    assert!(gateway.log().contains("cannot write the audit log"), "{}", gateway.log());

    // It recovers by itself, and nothing was done meanwhile.
    disk.empty();
    recovered(&gateway).await;
    for backend in home.backends() {
        let missing = client.get_key(full(&format!("{backend}.new"))).await.unwrap_err();
        assert_eq!(missing.failure().unwrap().code, Code::NotFound);
        let shown = client.get_key(full(backend)).await.unwrap();
        assert_eq!(metadata(&shown).latest_version, 1);
        client.sign(sign(backend, "text")).await.unwrap();
    }
    // What was written meanwhile is whole.
    assert!(home.audit().len() > 8);
}

/// The record of the outcome can fail when the key is there already. Its caller is
/// told that there is no answer, and gets it under the same request id.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_made_without_an_answer_is_found_by_its_request_id() {
    let (_home, gateway, disk) = Disk::of(Home::software);
    let client = gateway.client().await;
    let begun = disk.length();
    // An RSA key of this length takes far longer than looking at a file.
    let request = proto::CreateKeyRequest { request_id: request_id(), ..create("rsa-4096", "key", "soft") };
    let call = tokio::spawn({
        let (client, request) = (client.clone(), request.clone());
        async move { client.create_key(request).await }
    });
    while disk.length() == begun {
        tokio::task::yield_now().await;
    }
    disk.fill();
    assert_eq!(outcome(&call.await.unwrap()), "Unavailable AUDIT_UNAVAILABLE");
    disk.empty();
    recovered(&gateway).await;
    let key = client.create_key(request.clone()).await.unwrap();
    assert_eq!(metadata(&key).primary_version, 1);
    assert_eq!(client.create_key(request).await.unwrap(), key);
}
