//! Batches: many items in one call, each of which is a call of its own to the gate.
//!
//! **Invariant:** every item is answered, in its place, and every item that is answered is
//! on record.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream::FuturesOrdered};

use super::status;
use crate::{
    keys::{Call, Error, Keyring},
    model::{Action, KeyId, Reason},
    proto,
};

/// The longest message of a batch, in bytes; what gRPC libraries take by default.
pub const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// How many items of one batch are at work at once: enough for the contexts of a large
/// device, and a small part of its queue.
const IN_FLIGHT: usize = 32;

/// An item whose form was checked.
pub(super) trait Asked: Send {
    type Answer: Send;

    /// The key that it names.
    fn key(&self) -> &KeyId;

    /// What has to be allowed besides.
    fn also(&self) -> Option<Action> {
        None
    }

    /// Does it.
    fn answer(
        self,
        keyring: &Keyring,
        call: Call,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// What a failure is to the other items.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    /// Nothing.
    EachByItself,
    /// Their end, as far as they were not done by then.
    AllOrNothing,
}

impl From<bool> for Together {
    fn from(all_or_nothing: bool) -> Self {
        if all_or_nothing { Self::AllOrNothing } else { Self::EachByItself }
    }
}

/// What became of an item.
pub(super) struct Answered<A> {
    reference: String,
    outcome: Result<A, tonic_types::Status>,
}

/// A message that can stand in a batch.
pub(super) trait Item {
    /// What its answer is known by.
    fn reference(&self) -> &str;
}

macro_rules! items {
    ($($request:ident: $answer:ident | $result:ident, $in:ident;)+) => {$(
        impl Item for proto::$request {
            fn reference(&self) -> &str {
                &self.reference
            }
        }

        impl From<Answered<proto::$answer>> for proto::$result {
            fn from(Answered { reference, outcome }: Answered<proto::$answer>) -> Self {
                let result = match outcome {
                    Ok(answer) => proto::$in::Result::Response(answer),
                    Err(status) => proto::$in::Result::Error(status),
                };
                Self { result: Some(result), reference }
            }
        }
    )+};
}

items! {
    SignRequest: SignResponse | BatchSignResult, batch_sign_result;
    VerifyRequest: VerifyResponse | BatchVerifyResult, batch_verify_result;
    EncryptRequest: EncryptResponse | BatchEncryptResult, batch_encrypt_result;
    DecryptRequest: DecryptResponse | BatchDecryptResult, batch_decrypt_result;
}

/// A batch of one thing.
pub(super) struct Batch<'a> {
    /// One for the items of this batch.
    pub(super) keyring: Keyring,
    pub(super) call: &'a Call,
    pub(super) action: Action,
    pub(super) together: Together,
}

impl Batch<'_> {
    /// Checks the form of each item, and does each; the answers are in the order of the
    /// items.
    ///
    /// # Errors
    /// There are none, or too many; the caller has used its share up.
    pub(super) async fn each<Q: Item, P: Asked, R: From<Answered<P::Answer>>>(
        &self,
        requests: Vec<Q>,
        parse: impl Fn(Q) -> Result<P, Error>,
    ) -> Result<Vec<R>, Error> {
        self.charge(requests.len())?;
        let references: Vec<_> = requests.iter().map(|request| request.reference().to_owned()).collect();
        let items: Vec<_> = requests.into_iter().map(parse).collect();
        let stopped = AtomicBool::new(self.is_stopped_before_the_first(&items));
        let mut waiting = (0..).zip(items);
        let (mut running, mut outcomes) = (FuturesOrdered::new(), Vec::with_capacity(references.len()));
        loop {
            while running.len() < IN_FLIGHT
                && let Some((number, item)) = waiting.next()
            {
                running.push_back(self.one(number, item, &stopped));
            }
            let Some(outcome) = running.next().await else { break };
            outcomes.push(outcome);
        }
        let answered = references.into_iter().zip(outcomes);
        Ok(answered.map(|(reference, outcome)| R::from(Answered { reference, outcome })).collect())
    }

    async fn one<P: Asked>(
        &self,
        number: u32,
        item: Result<P, Error>,
        stopped: &AtomicBool,
    ) -> Result<P::Answer, tonic_types::Status> {
        let call = Call { item: Some(number), ..self.call.clone() };
        let outcome = match item {
            Err(error) => Err(self.keyring.refuse(&call, self.action, error).await),
            Ok(item) if stopped.load(Ordering::Acquire) => {
                Err(self.keyring.abort(&call, self.action, item.key()).await)
            }
            Ok(item) => item.answer(&self.keyring, call).await,
        };
        if outcome.is_err() && self.together == Together::AllOrNothing {
            stopped.store(true, Ordering::Release);
        }
        outcome.map_err(|error| status::of_item(&error, &self.call.request_id))
    }

    fn charge(&self, items: usize) -> Result<(), Error> {
        let Some(count) = u32::try_from(items).ok().and_then(NonZeroU32::new) else {
            let why = "required: the items of the batch";
            return Err(Error::invalid("requests", Reason::FieldRequired, why));
        };
        let most = self.keyring.limits().batch_items;
        if items > most {
            let why = format!("{items} items are more than the limit of {most}");
            return Err(Error::invalid("requests", Reason::FieldInvalid, why));
        }
        self.keyring.charge_items(self.call, count)
    }

    /// Whether one of all is at fault, or has no key that the caller may use, before
    /// anything is done.
    fn is_stopped_before_the_first<P: Asked>(&self, items: &[Result<P, Error>]) -> bool {
        self.together == Together::AllOrNothing
            && items.iter().any(|item| match item {
                Ok(item) => !std::iter::once(self.action)
                    .chain(item.also())
                    .all(|action| self.keyring.could(self.call, action, item.key())),
                Err(_) => true,
            })
    }
}
