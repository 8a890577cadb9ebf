//! Streams that break the rules: each ends by itself, and for the reason.

use bytes::Bytes;
use skms::{
    client::Transport,
    proto::{
        self, key_management_client::KeyManagementClient, sign_stream_request::Kind,
        sign_stream_response::Result as Answer,
    },
};
use skms_tests::gateway::Home;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{PATIENCE, refused};
use crate::{
    ask::{PROGRAM, create, refusal, sign},
    refusals::raw,
};

fn message(sequence: u64, kind: Kind) -> proto::SignStreamRequest {
    proto::SignStreamRequest { sequence, kind: Some(kind) }
}

fn item(sequence: u64, key: &str) -> proto::SignStreamRequest {
    message(sequence, Kind::Sign(sign(key, "text")))
}

fn start() -> proto::SignStreamRequest {
    message(0, Kind::Start(proto::SignStreamStart::default()))
}

/// What of it is answered, and how the stream ends.
async fn exchanged(
    mut client: KeyManagementClient<Transport>,
    messages: Vec<proto::SignStreamRequest>,
    closed: bool,
) -> (Vec<String>, String) {
    let (send, received) = mpsc::channel(messages.len().max(1));
    for message in messages {
        send.send(message).await.unwrap();
    }
    // The stream is closed, or is left open and idle.
    let open = (!closed).then_some(send);
    let mut answers = client.sign_stream(ReceiverStream::new(received)).await.unwrap().into_inner();
    let mut got = Vec::new();
    let end = loop {
        match answers.next().await {
            Some(Ok(answer)) => got.push(match answer.result.unwrap() {
                Answer::Response(_) => format!("{} signed", answer.sequence),
                Answer::Error(error) => format!("{} {}", answer.sequence, refused(&error)),
                Answer::Ack(_) => format!("{} ack", answer.sequence),
            }),
            Some(Err(status)) => break refusal(&status),
            None => break "ok".to_owned(),
        }
    };
    drop(open);
    (got, end)
}

/// What is sent; what is answered; how the stream ends.
type Case = (&'static str, Vec<proto::SignStreamRequest>, Vec<&'static str>, String);

const VIOLATION: &str = "InvalidArgument STREAM_PROTOCOL_VIOLATION";

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_the_rules_answers_what_it_took_and_ends() {
    let home = Home::new(PROGRAM).configured("[limits]\nstream_idle_timeout = \"1s\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let backend = home.backends()[0];
    client.create_key(create("ec-p256", "key", backend)).await.unwrap();
    // Another stream of the same connection, which is not to notice anything.
    let (mut asking, mut answers) = client.sign_stream(super::start()).await.unwrap();

    let second_start = message(2, Kind::Start(proto::SignStreamStart::default()));
    let bad_key = message(
        0,
        Kind::Start(proto::SignStreamStart { default_key_id: "No Key".into(), ..Default::default() }),
    );
    let bad_algorithm =
        message(0, Kind::Start(proto::SignStreamStart { default_algorithm: 999, ..Default::default() }));
    let nothing = proto::SignStreamRequest { sequence: 2, kind: None };
    let large = message(2, Kind::Sign(sign("key", vec![0; 100_000])));
    let too_long = message(2, Kind::Sign(sign("key", vec![0; 65_537])));
    let (ack, signed) = ("0 ack", "1 signed");
    let cases: Vec<Case> = vec![
        ("nothing", vec![], vec![], format!("{VIOLATION} start")),
        ("no start", vec![item(1, "key")], vec![], format!("{VIOLATION} start")),
        ("start alone", vec![start()], vec![ack], "ok".into()),
        ("a bad key", vec![bad_key], vec![], "InvalidArgument FIELD_INVALID start.default_key_id".into()),
        (
            "a bad algorithm",
            vec![bad_algorithm],
            vec![],
            "InvalidArgument FIELD_INVALID start.default_algorithm".into(),
        ),
        (
            "two starts",
            vec![start(), item(1, "key"), second_start],
            vec![ack, signed],
            format!("{VIOLATION} start"),
        ),
        (
            "a number twice",
            vec![start(), item(1, "key"), item(1, "key")],
            vec![ack, signed],
            format!("{VIOLATION} sequence"),
        ),
        (
            "a number that falls",
            vec![start(), item(1, "key"), item(0, "key")],
            vec![ack, signed],
            format!("{VIOLATION} sequence"),
        ),
        (
            "an empty message",
            vec![start(), item(1, "key"), nothing],
            vec![ack, signed],
            format!("{VIOLATION} kind"),
        ),
        (
            "a message that is too large for any item",
            vec![start(), item(1, "key"), large],
            vec![ack, signed],
            "InvalidArgument PAYLOAD_TOO_LARGE".into(),
        ),
        (
            "an item that is too large",
            vec![start(), item(1, "key"), too_long, item(3, "key")],
            vec![ack, signed, "2 InvalidArgument PAYLOAD_TOO_LARGE message", "3 signed"],
            "ok".into(),
        ),
    ];
    let answered = async |messages: Vec<_>, closed| {
        let exchange = exchanged(client.key_management(), messages, closed);
        let (mut got, ended) = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
        // Items of a stream without an order are answered as they end.
        got.sort();
        (got, ended)
    };
    for (what, messages, expected, end) in cases {
        asking.ask(sign("key", what)).await.unwrap();
        answers.next().await.unwrap().unwrap().1.unwrap();
        let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(answered(messages, true).await, (expected, end), "{what}");
    }
    drop(asking);
    assert!(answers.next().await.unwrap().is_none());
    // Nothing comes, and the stream is not closed either.
    assert_eq!(answered(vec![], false).await, (vec![], VIOLATION.to_owned()));
    let expected = vec![ack.to_owned(), signed.to_owned()];
    assert_eq!(answered(vec![start(), item(1, "key")], false).await, (expected, VIOLATION.to_owned()));
    // Who breaks the rules is on record.
    let violations = home.audit().iter().filter(|line| line["result"] == "STREAM_PROTOCOL_VIOLATION").count();
    assert_eq!(violations, 8);
    let pool = client.get_backend(backend).await.unwrap().pool.unwrap();
    assert_eq!((pool.busy, pool.queued, pool.failed), (0, 0, 0));
}

/// A body that is no message at all ends the stream, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_refused_in_the_midst_of_a_stream() {
    let home = Home::software(PROGRAM);
    let gateway = home.start();
    // A start without anything, and something that no decoder takes.
    let bodies = vec![Bytes::from_static(&[0x0a, 0]), Bytes::from_static(&[0xff; 16])];
    let path = "/skms.v1.KeyManagement/SignStream";
    let (answers, ended) = raw::stream(gateway.channel().await, path, bodies).await;
    assert_eq!((answers, refusal(&ended.unwrap_err()).as_str()), (1, "InvalidArgument FIELD_INVALID"));
}
