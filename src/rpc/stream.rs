//! Streams in both directions: many items, each of which is a call of its own to the gate.
//!
//! An [`Exchange`] takes no more items than it has granted before it has answered one;
//! what waits beyond that waits in the connection, at its sender.
//!
//! **Invariant:** an item that was taken is answered, unless nobody is there to hear it.
//!
//! **Invariant:** no answer is the last but by a decision that is made here: a stream that
//! ends without a status would look complete.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    time::Instant,
};

use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    stream::{FuturesOrdered, FuturesUnordered, poll_fn},
};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tonic::{Status, Streaming};
use tracing::{Instrument as _, error};

use super::{batch::Asked, incoming::Incoming, parse::Fields, status};
use crate::{
    keys::{Call, Error, GateError, Keyring},
    model::{Action, Reason, Rpc},
    proto,
};

/// What a method that answers with a stream gives back.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers that are on their way into the connection. More wait at their maker.
const ON_THEIR_WAY: usize = 16;

/// What a stream was opened with.
pub(super) struct Start {
    pub(super) default_key_id: String,
    pub(super) default_algorithm: i32,
    pub(super) ordered: bool,
    pub(super) max_in_flight: u32,
}

/// A message as it came in.
pub(super) enum Kind<I> {
    Start(Start),
    Item(I),
}

/// What is answered.
pub(super) enum Outcome<A> {
    Answer(A),
    Error(tonic_types::Status),
    Granted(u32),
}

/// A message of such a stream.
pub(super) trait Message: Send + 'static {
    type Item: Send;
    type Answer: Send + 'static;
    type Response: Send + 'static;

    /// Its number, and what it is.
    fn opened(self) -> (u64, Option<Kind<Self::Item>>);

    /// Gives an item what it does not say itself.
    fn complete(item: &mut Self::Item, start: &Start);

    fn response(sequence: u64, outcome: Outcome<Self::Answer>) -> Self::Response;
}

macro_rules! messages {
    ($($request:ident, $item:ident => $response:ident, $answer:ident, $ack:ident |
        $in:ident::$variant:ident, $out:ident;)+) => {$(
        impl Message for proto::$request {
            type Item = proto::$item;
            type Answer = proto::$answer;
            type Response = proto::$response;

            fn opened(self) -> (u64, Option<Kind<Self::Item>>) {
                let kind = self.kind.map(|kind| match kind {
                    proto::$in::Kind::Start(start) => Kind::Start(Start {
                        default_key_id: start.default_key_id,
                        default_algorithm: start.default_algorithm,
                        ordered: start.ordered,
                        max_in_flight: start.max_in_flight,
                    }),
                    proto::$in::Kind::$variant(item) => Kind::Item(item),
                });
                (self.sequence, kind)
            }

            fn complete(item: &mut Self::Item, start: &Start) {
                if item.key_id.is_empty() {
                    item.key_id.clone_from(&start.default_key_id);
                }
                if item.algorithm == 0 {
                    item.algorithm = start.default_algorithm;
                }
            }

            fn response(sequence: u64, outcome: Outcome<Self::Answer>) -> Self::Response {
                let result = match outcome {
                    Outcome::Answer(answer) => proto::$out::Result::Response(answer),
                    Outcome::Error(status) => proto::$out::Result::Error(status),
                    Outcome::Granted(max_in_flight) => {
                        proto::$out::Result::Ack(proto::$ack { max_in_flight })
                    }
                };
                proto::$response { sequence, result: Some(result) }
            }
        }
    )+};
}

messages! {
    SignStreamRequest, SignRequest => SignStreamResponse, SignResponse, SignStreamAck |
        sign_stream_request::Sign, sign_stream_response;
    VerifyStreamRequest, VerifyRequest => VerifyStreamResponse, VerifyResponse, VerifyStreamAck |
        verify_stream_request::Verify, verify_stream_response;
}

/// Why a stream ends before its caller has ended it.
enum End {
    /// Nobody is there any more.
    Gone,
    /// The caller is told.
    Told(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Told(error)
    }
}

/// One stream of items.
pub(super) struct Exchange {
    pub(super) keyring: Keyring,
    pub(super) call: Call,
    pub(super) action: Action,
    /// The call that an item stands for.
    pub(super) rpc: Rpc,
}

impl Exchange {
    /// Answers the items of a stream, each as `parse` understands it.
    pub(super) fn serve<M, P>(
        self,
        messages: Streaming<M>,
        parse: impl Fn(M::Item) -> Result<P, Error> + Send + Sync + 'static,
    ) -> Answers<M::Response>
    where
        M: Message,
        P: Asked<Answer = M::Answer> + 'static,
    {
        // Each item is on record by itself.
        self.call.taken.set();
        let call = self.call.clone();
        let patience = self.keyring.limits().stream_idle_timeout;
        answers(call, patience, move |answers| async move {
            let incoming = Incoming::new(messages, &self.keyring);
            match self.run(incoming, &parse, &answers).await {
                Ok(()) | Err(End::Gone) => Ok(()),
                // What is no fault of its caller is no matter of the record.
                Err(End::Told(error @ Error::Gate { source: GateError::Closing | GateError::Deadline })) => {
                    Err(error)
                }
                Err(End::Told(error)) => Err(self.keyring.refuse(&self.call, self.action, error).await),
            }
        })
    }

    async fn run<M, P>(
        &self,
        mut incoming: Incoming<M>,
        parse: &(impl Fn(M::Item) -> Result<P, Error> + Sync),
        answers: &Sink<M::Response>,
    ) -> Result<(), End>
    where
        M: Message,
        P: Asked<Answer = M::Answer>,
    {
        let (mut last, start) = self.start(&mut incoming).await?;
        let granted = granted(start.max_in_flight, self.keyring.limits().stream_in_flight);
        let ack = u32::try_from(granted).unwrap_or(u32::MAX);
        answers.give(M::response(last, Outcome::Granted(ack))).await?;
        let mut running = Running::new(start.ordered);
        let (mut number, mut ended) = (0_u32, None);
        let mut stopping = pin!(self.keyring.stopping().cancelled());
        let mut late = pin!(sleep_until(self.call.deadline.into()));
        loop {
            if running.is_empty()
                && let Some(ended) = ended.take()
            {
                return ended;
            }
            let (at_work, is_idle) = (running.len(), running.is_empty());
            tokio::select! {
                biased;
                () = answers.closed() => return Err(End::Gone),
                Some((sequence, outcome)) = running.next(), if !is_idle => {
                    let outcome = match outcome {
                        Ok(answer) => Outcome::Answer(answer),
                        Err(status) => Outcome::Error(status),
                    };
                    answers.give(M::response(sequence, outcome)).await?;
                }
                () = &mut stopping, if ended.is_none() => ended = Some(Err(closing().into())),
                () = &mut late, if ended.is_none() => ended = Some(Err(deadline().into())),
                // Nothing is awaited of a caller that awaits an answer.
                message = incoming.next(is_idle), if ended.is_none() && at_work < granted => {
                    match message.map(|message| message.map(M::opened)) {
                        Ok(None) => ended = Some(Ok(())),
                        Err(error) => ended = Some(Err(error.into())),
                        Ok(Some((sequence, kind))) => match self.item(kind, &mut last, sequence, number) {
                            Err(error) => ended = Some(Err(error.into())),
                            Ok(mut item) => {
                                M::complete(&mut item, &start);
                                running.push(self.one(sequence, number, item, parse));
                                number = number.saturating_add(1);
                            }
                        },
                    }
                }
            }
        }
    }

    /// The first message, and its number.
    async fn start<M: Message>(&self, incoming: &mut Incoming<M>) -> Result<(u64, Start), End> {
        let message = tokio::select! {
            () = self.keyring.stopping().cancelled() => return Err(closing().into()),
            () = sleep_until(self.call.deadline.into()) => return Err(deadline().into()),
            message = incoming.next(true) => message?,
        };
        // Whoever opens a stream and closes it has done nothing wrong, and has nothing.
        let Some(message) = message else { return Err(violation("start", "a stream begins with it").into()) };
        let (sequence, Some(Kind::Start(start))) = message.opened() else {
            return Err(violation("start", "a stream begins with it").into());
        };
        let mut fields = Fields::default();
        if !start.default_key_id.is_empty() {
            fields.key_id("start.default_key_id", &start.default_key_id);
        }
        fields.algorithm("start.default_algorithm", start.default_algorithm);
        Ok((sequence, fields.finish(Some(start))?))
    }

    /// The item that a message is, if it may be one now.
    fn item<I>(&self, kind: Option<Kind<I>>, last: &mut u64, sequence: u64, number: u32) -> Result<I, Error> {
        let item = match kind {
            Some(Kind::Item(item)) => item,
            Some(Kind::Start(_)) => return Err(violation("start", "comes once, as the first message")),
            None => return Err(violation("kind", "a message without any")),
        };
        if sequence <= *last {
            return Err(violation("sequence", "must be greater than that of the message before"));
        }
        *last = sequence;
        match self.keyring.charge_item(&self.call, self.rpc, number) {
            // The end of the stream; a share that is used up is that of the item alone.
            Err(error @ Error::Gate { source: GateError::ProofEnded { .. } }) => Err(error),
            _ => Ok(item),
        }
    }

    /// Does one item.
    async fn one<I, P: Asked>(
        &self,
        sequence: u64,
        number: u32,
        item: I,
        parse: &(impl Fn(I) -> Result<P, Error> + Sync),
    ) -> (u64, Result<P::Answer, tonic_types::Status>) {
        let limit = Instant::now() + self.keyring.limits().operation_timeout;
        let call = Call { item: Some(number), deadline: self.call.deadline.min(limit), ..self.call.clone() };
        let outcome = match parse(item) {
            Ok(item) => item.answer(&self.keyring, call).await,
            Err(error) => Err(self.keyring.refuse(&call, self.action, error).await),
        };
        (sequence, outcome.map_err(|error| status::of_item(&error, &self.call.request_id)))
    }
}

/// How many items may be at work at once.
fn granted(asked: u32, most: usize) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => most,
        Ok(asked) => asked.min(most),
    }
}

/// A stream that is not as its method wants it.
pub(super) fn violation(field: &str, why: &str) -> Error {
    Error::invalid(field, Reason::StreamProtocolViolation, why)
}

/// The gateway is stopping.
pub(super) const fn closing() -> Error {
    Error::Gate { source: GateError::Closing }
}

/// The time of the stream is over.
const fn deadline() -> Error {
    Error::Gate { source: GateError::Deadline }
}

/// Items at work.
enum Running<F: Future> {
    InOrder(FuturesOrdered<F>),
    AsTheyEnd(FuturesUnordered<F>),
}

impl<F: Future> Running<F> {
    fn new(ordered: bool) -> Self {
        if ordered { Self::InOrder(FuturesOrdered::new()) } else { Self::AsTheyEnd(FuturesUnordered::new()) }
    }

    fn push(&mut self, item: F) {
        match self {
            Self::InOrder(running) => running.push_back(item),
            Self::AsTheyEnd(running) => running.push(item),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::InOrder(running) => running.len(),
            Self::AsTheyEnd(running) => running.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn next(&mut self) -> Option<F::Output> {
        match self {
            Self::InOrder(running) => running.next().await,
            Self::AsTheyEnd(running) => running.next().await,
        }
    }
}

/// Why an answer does not get to its caller.
pub(super) enum Untaken {
    /// Nobody is there any more.
    Gone,
    /// It is not taken in time.
    Late,
}

impl From<Untaken> for Error {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            // Nobody hears of it.
            Untaken::Gone => deadline(),
            Untaken::Late => violation("", "nobody takes the answers of the stream"),
        }
    }
}

impl From<Untaken> for End {
    fn from(untaken: Untaken) -> Self {
        Self::Told(untaken.into())
    }
}

/// Where the answers of a stream go.
pub(super) struct Sink<T> {
    answers: mpsc::Sender<Result<T, Status>>,
    /// How long a caller may not take any.
    patience: std::time::Duration,
}

impl<T> Sink<T> {
    pub(super) async fn closed(&self) {
        self.answers.closed().await;
    }

    /// Gives an answer to a caller who takes it, in time.
    ///
    /// # Errors
    /// It does not.
    pub(super) async fn give(&self, answer: T) -> Result<(), Untaken> {
        match timeout(self.patience, self.answers.send(Ok(answer))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Untaken::Gone),
            Err(_) => Err(Untaken::Late),
        }
    }
}

/// The answers that `make` gives, on a task of its own, and the status of how it ends.
pub(super) fn answers<T: Send + 'static, F>(
    call: Call,
    patience: std::time::Duration,
    make: impl FnOnce(Sink<T>) -> F + Send + 'static,
) -> Answers<T>
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let (answers, mut taken) = mpsc::channel(ON_THEIR_WAY);
    let sink = Sink { answers: answers.clone(), patience };
    let made = async move {
        let ended = AssertUnwindSafe(async move { make(sink).await }).catch_unwind().await;
        let refused = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => status::of(&error, &call.request_id),
            Err(_) => {
                error!("a stream panicked");
                status::refusal(Reason::Internal, "the gateway failed", &call.request_id)
            }
        };
        // One that takes no answers hears of no end either.
        let _ = timeout(patience, answers.send(Err(refused))).await;
    };
    tokio::spawn(made.in_current_span());
    Box::pin(poll_fn(move |context| taken.poll_recv(context)))
}
