//! Messages of any length, in chunks.

use std::{fs, io, pin::Pin, task::Poll, time::Instant};

use bytes::Bytes;
use skms::{
    client::Client,
    proto::{self, sign_large_message_request::Kind},
};
use skms_backend::Hash;
use skms_tests::gateway::Home;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_stream::iter;

use crate::ask::{PROGRAM, create, outcome, refusal};

/// So many bytes, each of which depends on where it is.
pub(super) struct Bulk {
    pub(super) left: u64,
    pub(super) at: u8,
}

impl AsyncRead for Bulk {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.remaining());
        for byte in buffer.initialize_unfilled_to(part) {
            *byte = self.at;
            self.at = self.at.wrapping_mul(5).wrapping_add(1);
        }
        buffer.advance(part);
        self.left -= part as u64;
        Poll::Ready(Ok(()))
    }
}

pub(super) fn bulk(bytes: usize) -> Vec<u8> {
    std::iter::successors(Some(0_u8), |at| Some(at.wrapping_mul(5).wrapping_add(1))).take(bytes).collect()
}

fn with(key: &str) -> proto::SignRequest {
    proto::SignRequest { key_id: key.into(), ..Default::default() }
}

fn of(key: &str, signature: Bytes) -> proto::VerifyRequest {
    proto::VerifyRequest { key_id: key.into(), signature, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_is_signed_as_its_digest_is() {
    const BYTES: usize = 3_000_001;
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let message = bulk(BYTES);
    let mut signed = 0;
    for backend in home.backends() {
        for key_type in ["ec-p256", "rsa-2048", "ec-p384"] {
            let key = format!("{key_type}-{backend}");
            let made = client.create_key(create(key_type, &key, backend)).await.unwrap();
            let algorithms = made.metadata.unwrap().params.unwrap().signature_algorithms;
            for algorithm in algorithms {
                let parameters = proto::SignRequest { algorithm, reference: "mine".into(), ..with(&key) };
                let answer = client.sign_large(parameters, io::Cursor::new(message.clone())).await.unwrap();
                let signature = answer.signature.unwrap();
                assert_eq!((signature.algorithm, signature.reference.as_str()), (algorithm, "mine"));
                assert!(signature.verified_input_crc32c);
                // The digest is that of the message, and the signature is one of the digest.
                let digest = answer.digest.unwrap();
                let hash = match digest.hash() {
                    proto::HashAlgorithm::Sha256 => Hash::Sha256,
                    proto::HashAlgorithm::Sha384 => Hash::Sha384,
                    other => {
                        assert_eq!(other, proto::HashAlgorithm::Sha512);
                        Hash::Sha512
                    }
                };
                assert_eq!(digest.value, hash.digest(&message).as_ref());
                let question = proto::VerifyRequest {
                    input: Some(proto::verify_request::Input::Digest(digest.clone())),
                    algorithm,
                    ..of(&key, signature.signature.clone())
                };
                assert!(client.verify(question).await.unwrap().valid, "{key} {algorithm}");
                let question = proto::VerifyRequest { algorithm, ..of(&key, signature.signature) };
                let verdict = client.verify_large(question.clone(), io::Cursor::new(message.clone())).await;
                let verdict = verdict.unwrap();
                assert_eq!((verdict.verification.unwrap().valid, verdict.digest.unwrap()), (true, digest));
                let mut other = message.clone();
                other[BYTES / 2] ^= 1;
                let verdict = client.verify_large(question, io::Cursor::new(other)).await.unwrap();
                assert!(!verdict.verification.unwrap().valid, "{key} {algorithm}");
                signed += 1;
            }
        }
    }
    println!("{signed} kinds of keys and algorithms, each with {BYTES} bytes");
    let records = home.audit();
    let large = |action| {
        let of_it = |line: &&serde_json::Value| {
            line["action"] == action && line["input_bytes"] == BYTES && line["input"] == "message"
        };
        records.iter().filter(of_it).count()
    };
    assert_eq!((large("sign-message"), large("verify-signature")), (signed, 2 * signed));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_algorithm_that_needs_the_whole_message_takes_what_a_call_takes() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        client.create_key(create("ed25519", backend, backend)).await.unwrap();
        for bytes in [0, 1, 65_536] {
            let message = bulk(bytes);
            let answer = client.sign_large(with(backend), io::Cursor::new(message.clone())).await.unwrap();
            assert!(answer.digest.is_none());
            let question = crate::ask::verify(backend, message, answer.signature.unwrap().signature);
            assert!(client.verify(question).await.unwrap().valid, "{bytes}");
        }
        let refused = client.sign_large(with(backend), io::Cursor::new(bulk(65_537))).await;
        assert_eq!(outcome(&refused), "Unimplemented STREAMING_NOT_SUPPORTED_FOR_ALGORITHM");
    }
}

/// The memory of a process, in KiB: now, and at most.
pub(super) fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    (field("VmRSS:"), field("VmHWM:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_takes_no_more_memory_than_its_chunks() {
    const BYTES: u64 = 1 << 30;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    client.sign_large(with("key"), Bulk { left: 1 << 24, at: 0 }).await.unwrap();
    let (_, before) = memory(gateway.pid());
    let begun = Instant::now();
    let answer = client.sign_large(with("key"), Bulk { left: BYTES, at: 0 }).await.unwrap();
    let took = begun.elapsed();
    let (_, after) = memory(gateway.pid());
    println!(
        "1 GiB signed in {:.1} s; the gateway had {before} KiB at most before, and {after} KiB then",
        took.as_secs_f32()
    );
    // The allowance of one connection (flow control), many times over, and nothing beside
    // the message.
    assert!(after - before < 64 * 1024, "{before} KiB, {after} KiB");
    assert_eq!(answer.digest.unwrap().hash(), proto::HashAlgorithm::Sha256);
}

/// What is sent, and what is answered.
async fn sent(client: &Client, kinds: Vec<Option<Kind>>) -> String {
    let messages = kinds.into_iter().map(|kind| proto::SignLargeMessageRequest { kind });
    let messages: Vec<_> = messages.collect();
    match client.key_management().sign_large_message(iter(messages)).await {
        Ok(_) => "ok".to_owned(),
        Err(status) => refusal(&status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_that_is_cut_or_changed_is_not_signed() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    client.create_key(create("aes-256", "secret", "soft")).await.unwrap();
    let start_with = |parameters, declared_size| {
        Some(Kind::Start(proto::SignLargeMessageStart { parameters: Some(parameters), declared_size }))
    };
    let start = |declared_size| start_with(with("key"), declared_size);
    let chunk = |bytes: usize| Some(Kind::Chunk(bulk(bytes).into()));
    let end = |total_size, crc32c| Some(Kind::End(proto::LargeMessageEnd { total_size, crc32c }));
    let violation = |field| format!("InvalidArgument STREAM_PROTOCOL_VIOLATION {field}");
    let crc = crc32c::crc32c(&bulk(10));
    let with_input = proto::SignRequest { input_crc32c: Some(1), ..crate::ask::sign("key", "text") };
    let cases: Vec<(&str, Vec<Option<Kind>>, String)> = vec![
        ("all of it", vec![start(10), chunk(10), end(10, Some(crc))], "ok".into()),
        ("an empty one", vec![start(0), end(0, None)], "ok".into()),
        ("nothing", vec![], violation("start")),
        ("no start", vec![chunk(10), end(10, None)], violation("start")),
        ("no end", vec![start(0), chunk(10)], violation("end")),
        ("a start in its midst", vec![start(0), chunk(10), start(0), end(10, None)], violation("start")),
        ("an empty message", vec![start(0), None, end(0, None)], violation("kind")),
        ("an empty chunk", vec![start(0), chunk(0), end(0, None)], violation("chunk")),
        ("another length", vec![start(0), chunk(10), end(11, None)], violation("end.total_size")),
        ("too long", vec![start(9), chunk(10), end(10, None)], violation("start.declared_size")),
        ("too short", vec![start(11), chunk(10), end(10, None)], violation("start.declared_size")),
        (
            "another checksum",
            vec![start(0), chunk(10), end(10, Some(crc ^ 1))],
            "InvalidArgument CHECKSUM_MISMATCH end.crc32c".into(),
        ),
        ("the longest chunk", vec![start(0), chunk(262_144), end(262_144, None)], "ok".into()),
        (
            "a longer chunk",
            vec![start(0), chunk(262_145), end(262_145, None)],
            "InvalidArgument PAYLOAD_TOO_LARGE chunk".into(),
        ),
        ("a huge chunk", vec![start(0), chunk(400_000)], "InvalidArgument PAYLOAD_TOO_LARGE".into()),
        (
            "no key",
            vec![start_with(with(""), 0)],
            "InvalidArgument FIELD_REQUIRED start.parameters.key_id".into(),
        ),
        (
            "an input",
            vec![start_with(with_input, 0)],
            "InvalidArgument PARAMETER_NOT_APPLICABLE start.parameters.input start.parameters.input_crc32c"
                .into(),
        ),
        // Before anything of the message is taken in.
        ("a missing key", vec![start_with(with("missing"), 0), chunk(10)], "NotFound KEY_NOT_FOUND".into()),
        (
            "a key for something else",
            vec![start_with(with("secret"), 0), chunk(10)],
            "FailedPrecondition KEY_PURPOSE_MISMATCH".into(),
        ),
    ];
    let count = cases.len();
    let before = home.audit().len();
    for (what, kinds, expected) in cases {
        assert_eq!(sent(&client, kinds).await, expected, "{what}");
    }
    // Each is on record, once.
    assert_eq!(home.audit().len() - before, count);
}

/// Who is not allowed to sign any more when the message has come does not get a signature.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_out_of_use_meanwhile_does_not_sign() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ec-p256", "key", "soft")).await.unwrap();
    let (send, received) = tokio::sync::mpsc::channel(1);
    let mut service = client.key_management();
    let call = tokio::spawn(async move {
        service.sign_large_message(tokio_stream::wrappers::ReceiverStream::new(received)).await
    });
    let message = |kind| proto::SignLargeMessageRequest { kind: Some(kind) };
    let start = proto::SignLargeMessageStart { parameters: Some(with("key")), declared_size: 0 };
    send.send(message(Kind::Start(start))).await.unwrap();
    // More than the connection takes without the gateway: so it has begun.
    for _ in 0..64 {
        send.send(message(Kind::Chunk(bulk(262_144).into()))).await.unwrap();
    }
    let request = proto::DisableKeyRequest { key_id: "key".into(), ..Default::default() };
    client.disable_key(request).await.unwrap();
    let end = proto::LargeMessageEnd { total_size: 64 * 262_144, crc32c: None };
    send.send(message(Kind::End(end))).await.unwrap();
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition KEY_DISABLED");
}
