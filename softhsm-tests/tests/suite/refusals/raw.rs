//! Calls that no generated client makes: unknown methods and bodies that are no
//! message.

use bytes::{Buf, BufMut, Bytes};
use skms_tests::gateway::Authorized;
use tonic::{
    Extensions, Request, Response, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::Channel,
};

use super::rows::{Call, Row};

const SIGN: &str = "/skms.v1.KeyManagement/SignMessage";
const CREATE: &str = "/skms.v1.KeyManagement/CreateKey";

pub(super) fn calls() -> Vec<Row> {
    let row = |what: &str, path, body: &[u8], expected: &str| {
        Row::new(format!("raw: {what}"), Call::Raw(path, Bytes::copy_from_slice(body)), expected)
    };
    let nobody = "Unimplemented METHOD_NOT_FOUND";
    // The details of a body that cannot be read name no field.
    let malformed = "InvalidArgument FIELD_INVALID";
    vec![
        row("an unknown method", "/skms.v1.KeyManagement/Explode", b"", nobody),
        row("a method in the wrong case", "/skms.v1.KeyManagement/createkey", b"", nobody),
        row("an unknown service", "/skms.v2.KeyManagement/CreateKey", b"", nobody),
        row("no service", "/CreateKey", b"", nobody),
        row("the root", "/", b"", nobody),
        row("a method that is planned", "/skms.v1.CryptoService/EncapsulateSecret", b"", nobody),
        row("text as a body", SIGN, b"this is no protobuf", malformed),
        row("a body cut off in a field", SIGN, &[0x0a, 0x20, b'k'], malformed),
        row("a field of the wrong wire type", SIGN, &[0x08, 0x01], malformed),
        row("an unknown wire type", CREATE, &[0x0f], malformed),
        row("a length beyond the end of time", CREATE, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], malformed),
        row("a key type that is not UTF-8", CREATE, &[0x0a, 2, 0xff, 0xfe], malformed),
        row("field number zero", CREATE, &[0x02, 0], malformed),
        row("an empty body", SIGN, b"", "InvalidArgument FIELD_REQUIRED key_id input"),
        row(
            "a body above the decode limit",
            SIGN,
            &vec![0x12; 200 * 1024],
            "InvalidArgument PAYLOAD_TOO_LARGE",
        ),
        row(
            "a body above the decode limit of the system service",
            "/skms.v1.SystemService/GetBackend",
            &vec![0x0a; 100 * 1024],
            "InvalidArgument PAYLOAD_TOO_LARGE",
        ),
    ]
}

/// Sends `body` as it is.
pub(crate) async fn call(
    channel: Authorized,
    path: &'static str,
    body: Bytes,
) -> Result<Response<Bytes>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    client.unary(Request::new(body), path.parse().unwrap(), AsItIs).await
}

/// Sends these messages as they are, with these headers, and waits for the first answer
/// behind so many others. What follows it is not waited for.
pub(crate) async fn first(
    channel: Channel,
    path: &'static str,
    headers: MetadataMap,
    (bodies, behind): (Vec<Bytes>, usize),
) -> Result<Option<Bytes>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let request = Request::from_parts(headers, Extensions::new(), tokio_stream::iter(bodies));
    let mut answers = client.streaming(request, path.parse().unwrap(), AsItIs).await?.into_inner();
    for _ in 0..behind {
        answers.message().await?;
    }
    answers.message().await
}

/// Sends these as the messages of a stream, and tells how many answers there were and how
/// it ended.
pub(crate) async fn stream(
    channel: Authorized,
    path: &'static str,
    bodies: Vec<Bytes>,
) -> (usize, Result<(), Status>) {
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let request = Request::new(tokio_stream::iter(bodies));
    let mut answers = match client.streaming(request, path.parse().unwrap(), AsItIs).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return (0, Err(status)),
    };
    for count in 0.. {
        match answers.message().await {
            Ok(Some(_)) => {}
            ended => return (count, ended.map(drop)),
        }
    }
    unreachable!("there are fewer answers than numbers")
}

/// Bytes on both sides.
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, body: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(body);
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
