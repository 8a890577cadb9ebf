//! Plaintexts of any length, encrypted and decrypted in chunks.

use std::{io::Cursor, time::Instant};

use bytes::Bytes;
use skms::{
    client::{Client, Error},
    proto::{self, decrypt_request::Aad as DecryptAad, encrypt_request::Aad as EncryptAad},
};
use skms_tests::gateway::Home;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, iter, wrappers::ReceiverStream};
use tonic::Status;

use super::large::{Bulk, bulk, memory};
use crate::{
    ask::{PROGRAM, create, outcome, refusal, rotate},
    encrypt::{context, decrypt, encrypt, keys},
    lifecycle::{Verb, turn},
};

const SEGMENT: usize = 65_536;
const TAG: usize = 16;
const FAILED: &str = "InvalidArgument DECRYPTION_FAILED";

async fn sealed(
    client: &Client,
    key: &str,
    plaintext: Vec<u8>,
    aad: Option<EncryptAad>,
) -> (Vec<u8>, proto::EncryptResponse) {
    let mut ciphertext = Vec::new();
    let request = encrypt(key, b"", aad);
    let end = client.encrypt_stream(request, Cursor::new(plaintext), &mut ciphertext).await.unwrap();
    assert_eq!(end.total_size, ciphertext.len() as u64);
    (ciphertext, end.encryption.unwrap())
}

/// What was given before the end, and how it ended.
async fn opened(
    client: &Client,
    request: proto::DecryptRequest,
    ciphertext: Vec<u8>,
) -> (Vec<u8>, Result<proto::DecryptStreamEnd, Error>) {
    let mut plaintext = Vec::new();
    let ended = client.decrypt_stream(request, Cursor::new(ciphertext), &mut plaintext).await;
    (plaintext, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_length_comes_back_with_every_key_that_encrypts() {
    let home = Home::every(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let mut streams = 0;
    for key_type in ["aes-128", "aes-256", "rsa-2048"] {
        for key in keys(&client, &home, key_type).await {
            for length in [0, 1, SEGMENT, SEGMENT + 1, 1_000_003] {
                let plaintext = bulk(length);
                let aad = Bytes::from_static(b"beside");
                let given = Some(EncryptAad::AdditionalAuthenticatedData(aad.clone()));
                let (ciphertext, encryption) = sealed(&client, &key, plaintext.clone(), given).await;
                assert!(encryption.verified_plaintext_crc32c && encryption.ciphertext.is_empty());
                assert_eq!((encryption.key_id.as_str(), encryption.version), (key.as_str(), 1));
                let segments = length.div_ceil(SEGMENT).max(1);
                assert!(ciphertext.len() > length + segments * TAG && ciphertext.starts_with(b"SKS"));
                let given = Some(DecryptAad::AdditionalAuthenticatedData(aad));
                let (back, end) = opened(&client, decrypt(&key, b"", given), ciphertext).await;
                let end = end.unwrap();
                assert!(back == plaintext, "{key}, {length} bytes");
                let decryption = end.decryption.unwrap();
                assert_eq!((end.total_size, decryption.used_primary), (length as u64, true));
                assert_eq!(decryption.algorithm, encryption.algorithm);
                streams += 1;
            }
        }
    }
    println!("{streams} streams came back");
    let records = home.audit();
    let of = |action| {
        let of_it = |line: &&serde_json::Value| line["action"] == action && line["input"] == "stream";
        records.iter().filter(of_it).filter(|line| line["result"] == "ok").count()
    };
    assert_eq!((of("encrypt"), of("decrypt")), (streams, streams));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_verified_beginning_leaves_of_what_was_cut_off_or_changed() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let plaintext = bulk(3 * SEGMENT + 5);
    for key in [keys(&client, &home, "aes-256").await, keys(&client, &home, "rsa-2048").await].concat() {
        let (whole, _) = sealed(&client, &key, plaintext.clone(), None).await;
        let head = whole.len() - plaintext.len() - 4 * TAG;
        let request = decrypt(&key, b"", None);
        for end in [0, 1, 3, 20, head - 1, head, head + 1, head + SEGMENT + TAG, whole.len() - 1] {
            let (given, refused) = opened(&client, request.clone(), whole[..end].to_vec()).await;
            let reason = if end < head { "InvalidArgument CIPHERTEXT_MALFORMED" } else { FAILED };
            assert_eq!(outcome(&refused), reason, "{key} {end}");
            assert!(plaintext.starts_with(&given) && given.len() <= end, "{key} {end}");
        }
        for at in (0..head).step_by(7).chain([head, head + SEGMENT, head + 2 * SEGMENT, whole.len() - 1]) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let (given, refused) = opened(&client, request.clone(), changed).await;
            let reason = outcome(&refused);
            match at {
                0..=4 => assert!([FAILED, "InvalidArgument CIPHERTEXT_MALFORMED"].contains(&&*reason)),
                5..=20 => assert_eq!(reason, "InvalidArgument KEY_MISMATCH"),
                // What the head says of its own form may be none.
                _ if at < head => assert!(reason.starts_with("InvalidArgument "), "{at}: {reason}"),
                _ => assert_eq!(reason, FAILED, "{at}"),
            }
            assert!(plaintext.starts_with(&given) && (at >= head || given.is_empty()), "{at}");
        }
        let moved = [&whole[..head], &whole[head + SEGMENT + TAG..]].concat();
        assert_eq!(outcome(&opened(&client, request.clone(), moved).await.1), FAILED);
        let longer = [&whole[..], b"more"].concat();
        assert_eq!(outcome(&opened(&client, request, longer).await.1), FAILED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stood_beside_it_must_be_there_and_one_kind_is_not_taken_for_the_other() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    let payroll = || EncryptAad::Context(context(&[("for", "payroll"), ("year", "2026")]));
    for key in keys(&client, &home, "aes-256").await {
        let (whole, _) = sealed(&client, &key, bulk(100), Some(payroll())).await;
        let of = |entries: &[(&str, &str)]| Some(DecryptAad::Context(context(entries)));
        let right = decrypt(&key, b"", of(&[("year", "2026"), ("for", "payroll")]));
        assert_eq!(opened(&client, right.clone(), whole.clone()).await.0, bulk(100));
        for aad in [
            None,
            of(&[("for", "payroll"), ("year", "2027")]),
            Some(DecryptAad::AdditionalAuthenticatedData("for".into())),
        ] {
            let (given, refused) = opened(&client, decrypt(&key, b"", aad), whole.clone()).await;
            assert_eq!((given.len(), outcome(&refused).as_str()), (0, FAILED));
        }
        // Neither the stream nor its data key is what Decrypt takes, nor the other way round.
        let length = usize::from(u16::from_be_bytes([whole[26], whole[27]]));
        for part in [&whole[..], &whole[28..28 + length]] {
            let refused = client.decrypt(decrypt(&key, part, None)).await;
            assert_eq!(outcome(&refused), "InvalidArgument CIPHERTEXT_MALFORMED");
        }
        let data_key = proto::GenerateDataKeyRequest {
            key_id: key.clone(),
            size: Some(proto::generate_data_key_request::Size::LengthBytes(32)),
            plaintext_mode: proto::PlaintextMode::Omit.into(),
            ..Default::default()
        };
        let data_key = client.generate_data_key(data_key).await.unwrap().ciphertext;
        let mut forged = whole.clone();
        assert_eq!(data_key.len(), length);
        forged[28..28 + length].copy_from_slice(&data_key);
        let (_, refused) = opened(&client, right, forged).await;
        assert_eq!(outcome(&refused), "InvalidArgument CIPHERTEXT_MALFORMED");
        let (_, refused) = opened(&client, decrypt(&key, b"", None), data_key.to_vec()).await;
        assert_eq!(outcome(&refused), "InvalidArgument CIPHERTEXT_MALFORMED");
    }
    // The names of a context are on record, and their values are not.
    let record = home.audit().into_iter().find(|line| line["input"] == "stream").unwrap();
    let record = record.to_string();
    assert!(!record.contains("payroll") && record.contains("\"year\""), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_decrypts_until_it_is_taken_out_of_use() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("aes-256", "key", "soft")).await.unwrap();
    client.create_key(create("aes-256", "other", "soft")).await.unwrap();
    client.create_key(create("ec-p256", "signs", "soft")).await.unwrap();
    let (first, _) = sealed(&client, "key", bulk(100), None).await;
    client.rotate_key(rotate("key")).await.unwrap();
    let (_, second) = sealed(&client, "key", bulk(100), None).await;
    assert_eq!(second.version, 2);
    let old = || opened(&client, decrypt("key", b"", None), first.clone());
    let (_, end) = old().await;
    let decryption = end.unwrap().decryption.unwrap();
    assert_eq!((decryption.version, decryption.used_primary), (1, false));
    let refused = opened(&client, decrypt("other", b"", None), first.clone()).await.1;
    assert_eq!(outcome(&refused), "InvalidArgument KEY_MISMATCH");
    let refused = opened(&client, decrypt("signs", b"", None), first.clone()).await.1;
    assert_eq!(outcome(&refused), "FailedPrecondition KEY_PURPOSE_MISMATCH");
    let mut nowhere = Vec::new();
    let refused =
        client.encrypt_stream(encrypt("signs", b"", None), Cursor::new(bulk(9)), &mut nowhere).await;
    assert_eq!(outcome(&refused), "FailedPrecondition KEY_PURPOSE_MISMATCH");
    Verb::Compromise.ask(&client, turn("key", &[1])).await.unwrap();
    assert_eq!(outcome(&old().await.1), "FailedPrecondition KEY_COMPROMISED");
    let request = proto::DecryptRequest { accept_compromised: true, ..decrypt("key", b"", None) };
    assert_eq!(opened(&client, request, first.clone()).await.0, bulk(100));
    Verb::Disable.ask(&client, turn("key", &[])).await.unwrap();
    let refused = client.encrypt_stream(encrypt("key", b"", None), Cursor::new(bulk(9)), &mut nowhere).await;
    assert_eq!(outcome(&refused), "FailedPrecondition KEY_DISABLED");
    assert!(nowhere.is_empty());
}

/// What is decided anew for each part.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_use_of_its_key() {
    use proto::encrypt_stream_request::Kind;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("aes-256", "key", "soft")).await.unwrap();
    let (send, received) = mpsc::channel(4);
    let message = |kind| proto::EncryptStreamRequest { kind: Some(kind) };
    let parameters = Some(encrypt("key", b"", None));
    let start = proto::EncryptStreamStart { parameters, declared_size: 0 };
    send.send(message(Kind::Start(start))).await.unwrap();
    send.send(message(Kind::Chunk(bulk(100_000).into()))).await.unwrap();
    let mut answers =
        client.crypto().encrypt_stream(ReceiverStream::new(received)).await.unwrap().into_inner();
    // The head, and the first segment.
    for _ in 0..2 {
        answers.message().await.unwrap().unwrap();
    }
    Verb::Disable.ask(&client, turn("key", &[])).await.unwrap();
    send.send(message(Kind::Chunk(bulk(100_000).into()))).await.unwrap();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition KEY_DISABLED");
    let last = home.audit().pop().unwrap();
    assert_eq!((&last["result"], &last["key"]), (&"KEY_DISABLED".into(), &"key".into()));
}

/// What is sent, and what is answered.
async fn sent(client: &Client, kinds: Vec<Option<proto::decrypt_stream_request::Kind>>) -> String {
    let messages: Vec<_> = kinds.into_iter().map(|kind| proto::DecryptStreamRequest { kind }).collect();
    let answered: Result<Vec<_>, Status> = async {
        let answers = client.crypto().decrypt_stream(iter(messages)).await?.into_inner();
        answers.collect().await
    }
    .await;
    match answered {
        Ok(_) => "ok".to_owned(),
        Err(status) => refusal(&status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_none_is_told_why() {
    use proto::decrypt_stream_request::Kind;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("aes-256", "key", "soft")).await.unwrap();
    let (whole, _) = sealed(&client, "key", bulk(10), None).await;
    let start_with = |parameters, declared_size| {
        Some(Kind::Start(proto::DecryptStreamStart { parameters: Some(parameters), declared_size }))
    };
    let start = |declared_size| start_with(decrypt("key", b"", None), declared_size);
    let chunk = |bytes: &[u8]| Some(Kind::Chunk(Bytes::copy_from_slice(bytes)));
    let end = |total_size, crc32c| Some(Kind::End(proto::LargeMessageEnd { total_size, crc32c }));
    let violation = |field| format!("InvalidArgument STREAM_PROTOCOL_VIOLATION {field}");
    let length = whole.len() as u64;
    let crc = crc32c::crc32c(&whole);
    let mut bytewise: Vec<_> = whole.iter().map(|byte| chunk(&[*byte])).collect();
    bytewise.insert(0, start(length));
    bytewise.push(end(length, Some(crc)));
    let extra = proto::DecryptRequest {
        version: 1,
        algorithm: 1,
        ciphertext_crc32c: Some(1),
        ..decrypt("key", b"x", None)
    };
    let cases: Vec<(&str, Vec<Option<Kind>>, String)> = vec![
        ("all of it", vec![start(length), chunk(&whole), end(length, Some(crc))], "ok".into()),
        ("byte by byte", bytewise, "ok".into()),
        ("nothing", vec![], violation("start")),
        ("no start", vec![chunk(&whole)], violation("start")),
        ("no end", vec![start(0), chunk(&whole)], violation("end")),
        ("two starts", vec![start(0), chunk(&whole), start(0)], violation("start")),
        ("an empty message", vec![start(0), None], violation("kind")),
        ("an empty chunk", vec![start(0), chunk(b"")], violation("chunk")),
        ("another length", vec![start(0), chunk(&whole), end(length + 1, None)], violation("end.total_size")),
        ("too long", vec![start(length - 1), chunk(&whole)], violation("start.declared_size")),
        (
            "another checksum",
            vec![start(0), chunk(&whole), end(length, Some(crc ^ 1))],
            "InvalidArgument CHECKSUM_MISMATCH end.crc32c".into(),
        ),
        ("no ciphertext", vec![start(0), end(0, None)], "InvalidArgument CIPHERTEXT_MALFORMED chunk".into()),
        ("another one", vec![start(0), chunk(b"text")], "InvalidArgument CIPHERTEXT_MALFORMED chunk".into()),
        (
            "no key",
            vec![start_with(decrypt("", b"", None), 0)],
            "InvalidArgument FIELD_REQUIRED start.parameters.key_id".into(),
        ),
        (
            "what does not apply",
            vec![start_with(extra, 0)],
            "InvalidArgument PARAMETER_NOT_APPLICABLE start.parameters.ciphertext \
             start.parameters.ciphertext_crc32c start.parameters.version start.parameters.algorithm"
                .into(),
        ),
        (
            "a missing key",
            vec![start_with(decrypt("missing", b"", None), 0)],
            "NotFound KEY_NOT_FOUND".into(),
        ),
    ];
    let before = home.audit().len();
    let mut records = cases.len();
    for (what, kinds, expected) in cases {
        // What was begun and not ended is two records.
        let is_begun =
            kinds.iter().any(|kind| *kind == chunk(&whole)) && expected != "ok" && what != "no start";
        records += usize::from(is_begun && what != "too long");
        assert_eq!(sent(&client, kinds).await, expected, "{what}");
    }
    assert_eq!(home.audit().len() - before, records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_goes_there_and_back_and_takes_no_more_memory_than_its_chunks() {
    const BYTES: u64 = 1 << 30;
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("aes-256", "key", "soft")).await.unwrap();
    let there_and_back = async |bytes: u64| {
        let (mut sealed, ciphertext) = tokio::io::duplex(1 << 20);
        let sealing = client.clone();
        let there = tokio::spawn(async move {
            let plaintext = Bulk { left: bytes, at: 0 };
            sealing.encrypt_stream(encrypt("key", b"", None), plaintext, &mut sealed).await.unwrap()
        });
        let mut nowhere = tokio::io::sink();
        let back = client.decrypt_stream(decrypt("key", b"", None), ciphertext, &mut nowhere).await.unwrap();
        (there.await.unwrap(), back)
    };
    there_and_back(1 << 24).await;
    let (_, before) = memory(gateway.pid());
    let begun = Instant::now();
    let (there, back) = there_and_back(BYTES).await;
    let took = begun.elapsed();
    let (_, after) = memory(gateway.pid());
    println!(
        "1 GiB encrypted and decrypted in {:.1} s; the gateway had {before} KiB at most before, and {after} KiB then",
        took.as_secs_f32()
    );
    assert!(after - before < 64 * 1024, "{before} KiB, {after} KiB");
    assert!(there.total_size > BYTES && there.encryption.unwrap().verified_plaintext_crc32c);
    assert_eq!(back.total_size, BYTES);
}
