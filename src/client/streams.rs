//! What goes or comes in streams: many signatures, large messages, many keys.

use std::{io, marker::PhantomData, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
};
use tonic::{Code, Status, Streaming, service::interceptor::InterceptedService};

use super::{Client, Error, Failure, Transport, backoff::Backoff};
use crate::proto::{self, key_management_client::KeyManagementClient};

/// Items that wait to be sent. More wait at their sender.
const WAITING: usize = 16;

/// Chunks of a large message: what a gateway takes at most.
const CHUNK_BYTES: usize = 256 * 1024;

/// What a stream of items consists of.
pub trait Items {
    /// A message to the gateway.
    type Request: Send + 'static;
    /// What is asked for.
    type Item;
    /// A message of the gateway.
    type Response;
    /// What is answered.
    type Answer;

    /// The message that asks for an item.
    fn request(sequence: u64, item: Self::Item) -> Self::Request;

    /// The number of an answer, and the answer; `None` where it is none.
    fn answer(response: Self::Response) -> (u64, Option<Result<Self::Answer, tonic_types::Status>>);
}

/// Signatures.
#[derive(Debug)]
pub enum Signatures {}

/// Signatures to check.
#[derive(Debug)]
pub enum Verifications {}

macro_rules! items {
    ($($items:ident: $request:ident, $item:ident => $response:ident, $answer:ident |
        $in:ident::$variant:ident, $out:ident;)+) => {$(
        impl Items for $items {
            type Request = proto::$request;
            type Item = proto::$item;
            type Response = proto::$response;
            type Answer = proto::$answer;

            fn request(sequence: u64, item: proto::$item) -> proto::$request {
                proto::$request { sequence, kind: Some(proto::$in::Kind::$variant(item)) }
            }

            fn answer(
                response: proto::$response,
            ) -> (u64, Option<Result<proto::$answer, tonic_types::Status>>) {
                let answer = match response.result {
                    Some(proto::$out::Result::Response(answer)) => Some(Ok(answer)),
                    Some(proto::$out::Result::Error(error)) => Some(Err(error)),
                    Some(proto::$out::Result::Ack(_)) | None => None,
                };
                (response.sequence, answer)
            }
        }
    )+};
}

items! {
    Signatures: SignStreamRequest, SignRequest => SignStreamResponse, SignResponse |
        sign_stream_request::Sign, sign_stream_response;
    Verifications: VerifyStreamRequest, VerifyRequest => VerifyStreamResponse, VerifyResponse |
        verify_stream_request::Verify, verify_stream_response;
}

/// A stream of signatures: where they are asked for, and where they come.
///
/// Ask on one task and take the answers on another, or never ask for more than
/// [`granted`](Answers::granted) before you take one: beyond that, asking waits until
/// somebody has.
pub type SignStream = (Asking<Signatures>, Answers<Signatures>);

/// A stream of signatures to check, in the same manner.
pub type VerifyStream = (Asking<Verifications>, Answers<Verifications>);

/// Where items are asked for. To drop it ends the stream, once all items are answered.
#[derive(Debug)]
pub struct Asking<I: Items> {
    requests: mpsc::Sender<I::Request>,
    last: u64,
}

impl<I: Items> Asking<I> {
    /// Asks for an item, and gives its number, which its answer has.
    ///
    /// # Errors
    /// The stream has ended; [`Answers::next`] tells why.
    pub async fn ask(&mut self, item: I::Item) -> Result<u64, Ended> {
        let sequence = self.last + 1;
        self.requests.send(I::request(sequence, item)).await.map_err(|_| Ended)?;
        self.last = sequence;
        Ok(sequence)
    }
}

/// A stream that takes no more items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended")]
pub struct Ended;

/// Where answers come, each with the number of its item.
#[derive(Debug)]
pub struct Answers<I: Items> {
    responses: Streaming<I::Response>,
    granted: u32,
    timeout: Duration,
    items: PhantomData<fn() -> I>,
}

impl<I: Items> Answers<I> {
    /// How many items may be at work at once.
    #[must_use]
    pub const fn granted(&self) -> u32 {
        self.granted
    }

    /// The next answer; `None` where the stream has ended and every item was answered.
    ///
    /// # Errors
    /// The stream was ended by the gateway, or the connection has broken. What was not
    /// answered by then may have been done.
    pub async fn next(&mut self) -> Result<Option<(u64, Result<I::Answer, Box<Failure>>)>, Error> {
        loop {
            let message = self.responses.message().await;
            let message = message.map_err(|status| Failure::decode(&status, self.timeout))?;
            let Some(response) = message else { return Ok(None) };
            let (sequence, answer) = I::answer(response);
            let Some(answer) = answer else { continue };
            return Ok(Some((sequence, answer.map_err(|error| Failure::of_item(&error, self.timeout)))));
        }
    }
}

/// Keys, one by one.
#[derive(Debug)]
pub struct Keys {
    responses: Streaming<proto::StreamKeysResponse>,
    timeout: Duration,
}

impl Keys {
    /// The next key; `None` behind the last.
    ///
    /// # Errors
    /// The stream was ended by the gateway, or the connection has broken.
    pub async fn next(&mut self) -> Result<Option<proto::KeyResponse>, Error> {
        let message = self.responses.message().await;
        let message = message.map_err(|status| Failure::decode(&status, self.timeout))?;
        Ok(message.map(|response| response.key.unwrap_or_default()))
    }
}

/// What becomes of keys.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    request: proto::WatchKeysRequest,
    responses: Streaming<proto::WatchKeysResponse>,
}

/// How long a gateway is left alone that ended a watch: at first, and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

impl Watch {
    /// The next event.
    ///
    /// # Errors
    /// The stream was ended by the gateway, or the connection has broken.
    /// [`Self::resume`] goes on behind what was told.
    pub async fn next(&mut self) -> Result<proto::WatchKeysResponse, Error> {
        let message = self.responses.message().await;
        let message = message.and_then(|message| message.ok_or_else(|| Status::unavailable("it has ended")));
        let event = message.map_err(|status| Failure::decode(&status, self.client.options.timeout()))?;
        if !event.resume_token.is_empty() {
            self.request.send_initial_state = false;
            self.request.resume_token.clone_from(&event.resume_token);
        }
        Ok(event)
    }

    /// Goes on behind what was told, however often it takes: where the gateway is away, the
    /// watch had its time or fell behind, and where the token of the caller has ended and
    /// there is another. It can be given up at any time.
    ///
    /// # Errors
    /// `after`, or what came of the last try, where another try would do no better; and where
    /// no token was told yet, behind which it could go on.
    pub async fn resume(&mut self, after: Error) -> Result<(), Error> {
        let [first, longest] = PAUSES;
        let (mut error, mut backoff) = (after, Backoff::new(first, longest));
        loop {
            let token = self.client.options.tokens().now();
            let goes_on = match error.failure().map(|failure| failure.code) {
                _ if self.request.resume_token.is_empty() => false,
                Some(Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted) => true,
                Some(Code::Unauthenticated) => self.client.options.tokens().replace(token.as_ref()).await,
                _ => false,
            };
            if !goes_on {
                return Err(error);
            }
            let told = error.failure().and_then(|failure| failure.retry_after).unwrap_or_default();
            tokio::time::sleep(backoff.next().max(told.min(longest))).await;
            match self.client.watched(self.request.clone()).await {
                Ok(responses) => {
                    self.responses = responses;
                    return Ok(());
                }
                Err(again) => error = again,
            }
        }
    }

    /// The last token that was told; empty: none yet.
    #[must_use]
    pub const fn resume_token(&self) -> &Bytes {
        &self.request.resume_token
    }
}

impl Client {
    /// Opens a stream of signatures.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn sign_stream(&self, start: proto::SignStreamStart) -> Result<SignStream, Error> {
        let kind = Some(proto::sign_stream_request::Kind::Start(start));
        let (requests, asked) = asked(proto::SignStreamRequest { sequence: 0, kind });
        let mut responses = self.call(self.unbounded().sign_stream(asked)).await?;
        let granted = match self.first(&mut responses).await?.and_then(|first| first.result) {
            Some(proto::sign_stream_response::Result::Ack(ack)) => ack.max_in_flight,
            _ => 0,
        };
        Ok(self.opened(requests, responses, granted))
    }

    /// Opens a stream of signatures to check.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn verify_stream(&self, start: proto::VerifyStreamStart) -> Result<VerifyStream, Error> {
        let kind = Some(proto::verify_stream_request::Kind::Start(start));
        let (requests, asked) = asked(proto::VerifyStreamRequest { sequence: 0, kind });
        let mut responses = self.call(self.unbounded().verify_stream(asked)).await?;
        let granted = match self.first(&mut responses).await?.and_then(|first| first.result) {
            Some(proto::verify_stream_response::Result::Ack(ack)) => ack.max_in_flight,
            _ => 0,
        };
        Ok(self.opened(requests, responses, granted))
    }

    /// Signs a message of any length, as it is read. `parameters` have no input.
    ///
    /// # Errors
    /// The message cannot be read, which comes before what the gateway makes of that; or as
    /// the gateway answers.
    pub async fn sign_large(
        &self,
        parameters: proto::SignRequest,
        message: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<proto::SignLargeMessageResponse, Error> {
        use proto::{SignLargeMessageRequest as Request, sign_large_message_request::Kind};
        let start = proto::SignLargeMessageStart { parameters: Some(parameters), declared_size: 0 };
        let first = Request { kind: Some(Kind::Start(start)) };
        let (parts, broken) = parts(message, first, |part| Request {
            kind: Some(match part {
                Part::Chunk(chunk) => Kind::Chunk(chunk),
                Part::End(end) => Kind::End(end),
            }),
        });
        self.options.tokens().refresh().await;
        read(broken, self.unbounded().sign_large_message(parts).await, self.options.timeout())
    }

    /// Checks the signature of a message of any length, as it is read. `parameters` have no
    /// input.
    ///
    /// # Errors
    /// As [`Self::sign_large`].
    pub async fn verify_large(
        &self,
        parameters: proto::VerifyRequest,
        message: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<proto::VerifyLargeMessageResponse, Error> {
        use proto::{VerifyLargeMessageRequest as Request, verify_large_message_request::Kind};
        let start = proto::VerifyLargeMessageStart { parameters: Some(parameters), declared_size: 0 };
        let first = Request { kind: Some(Kind::Start(start)) };
        let (parts, broken) = parts(message, first, |part| Request {
            kind: Some(match part {
                Part::Chunk(chunk) => Kind::Chunk(chunk),
                Part::End(end) => Kind::End(end),
            }),
        });
        self.options.tokens().refresh().await;
        read(broken, self.unbounded().verify_large_message(parts).await, self.options.timeout())
    }

    /// Makes many keys. What fails is a result of its item.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn create_keys(
        &self,
        keys: impl Stream<Item = proto::BatchCreateKeysRequest> + Send + 'static,
    ) -> Result<proto::BatchCreateKeysResponse, Error> {
        self.options.tokens().refresh().await;
        let answer = self.unbounded().batch_create_keys(keys).await;
        Ok(answer.map_err(|status| Failure::decode(&status, self.options.timeout()))?.into_inner())
    }

    /// Lists all keys, however many there are.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn stream_keys(&self, request: proto::StreamKeysRequest) -> Result<Keys, Error> {
        let responses = self.call(self.unbounded().stream_keys(request)).await?;
        Ok(Keys { responses, timeout: self.options.timeout() })
    }

    /// Tells what becomes of keys.
    ///
    /// # Errors
    /// As the gateway answers.
    pub async fn watch_keys(&self, request: proto::WatchKeysRequest) -> Result<Watch, Error> {
        let responses = self.watched(request.clone()).await?;
        Ok(Watch { client: self.clone(), request, responses })
    }

    async fn watched(
        &self,
        request: proto::WatchKeysRequest,
    ) -> Result<Streaming<proto::WatchKeysResponse>, Error> {
        self.call(self.unbounded().watch_keys(request)).await
    }

    fn unbounded(&self) -> KeyManagementClient<Transport> {
        let transport = InterceptedService::new(self.pool.clone(), self.options.clone().unbounded());
        KeyManagementClient::new(transport)
            .max_encoding_message_size(self.max_send_bytes)
            .max_decoding_message_size(self.max_receive_bytes)
    }

    /// The first answer on a stream, in the time that a call has.
    async fn first<T>(&self, responses: &mut Streaming<T>) -> Result<Option<T>, Error> {
        let timeout = self.options.timeout();
        match tokio::time::timeout(timeout, responses.message()).await {
            Ok(message) => Ok(message.map_err(|status| Failure::decode(&status, timeout))?),
            Err(_elapsed) => Err(Failure::late(timeout).into()),
        }
    }

    fn opened<I: Items>(
        &self,
        requests: mpsc::Sender<I::Request>,
        responses: Streaming<I::Response>,
        granted: u32,
    ) -> (Asking<I>, Answers<I>) {
        let timeout = self.options.timeout();
        (Asking { requests, last: 0 }, Answers { responses, granted, timeout, items: PhantomData })
    }
}

/// A stream that begins so, and goes on with what is sent to it.
fn asked<T: Send + 'static>(first: T) -> (mpsc::Sender<T>, impl Stream<Item = T> + Send + 'static) {
    let (requests, mut asked) = mpsc::channel(WAITING);
    let rest = stream::poll_fn(move |context| asked.poll_recv(context));
    (requests, stream::iter([first]).chain(rest))
}

/// A part of a large message.
pub(super) enum Part {
    Chunk(Bytes),
    End(proto::LargeMessageEnd),
}

/// A large message as it is read, behind its first part; and where it is told that it
/// cannot be read. It breaks off then, and the gateway takes it for nothing.
pub(super) fn parts<T: Send + 'static>(
    message: impl AsyncRead + Send + Unpin + 'static,
    first: T,
    part: impl Fn(Part) -> T + Send + 'static,
) -> (impl Stream<Item = T> + Send + 'static, mpsc::Receiver<io::Error>) {
    let (tell, broken) = mpsc::channel(1);
    let read = stream::unfold(Some((message, 0_u64, 0_u32)), move |state| {
        let tell = tell.clone();
        async move {
            let (mut message, total, crc32c) = state?;
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            match (&mut message).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await {
                Ok(0) => Some((
                    Part::End(proto::LargeMessageEnd { total_size: total, crc32c: Some(crc32c) }),
                    None,
                )),
                Ok(read) => {
                    let crc32c = crc32c::crc32c_append(crc32c, &chunk);
                    Some((Part::Chunk(chunk.into()), Some((message, total + read as u64, crc32c))))
                }
                Err(error) => {
                    let _ = tell.try_send(error);
                    None
                }
            }
        }
    });
    (stream::iter([first]).chain(read.map(part)), broken)
}

/// The answer to a message that was read to its end.
fn read<T>(
    mut broken: mpsc::Receiver<io::Error>,
    answer: Result<tonic::Response<T>, Status>,
    timeout: Duration,
) -> Result<T, Error> {
    if let Ok(source) = broken.try_recv() {
        return Err(Error::Message { source });
    }
    Ok(answer.map_err(|status| Failure::decode(&status, timeout))?.into_inner())
}
