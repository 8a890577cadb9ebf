//! The items of one batch that ask a device for the same with the same key: a few of them are
//! one call to the device, and one turn in its queue.
//!
//! The first of them waits for others, for as long as those are still on their way to the
//! device, and then asks for all.
//!
//! **Invariant:** a call to a device is of one key, one algorithm and one priority, and of no
//! more than [`MOST`] items: a batch of many must not hold a context while others wait.

use std::collections::HashMap;

use parking_lot::Mutex;
use skms_backend::{
    Class, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error, KeyTag, OpContext, Operation,
    Priority, Secret, SignInput, Signature, SignatureAlgorithm,
};
use tokio::{sync::oneshot, task::yield_now};

/// The most items of one call to a device.
const MOST: usize = 4;
/// How often the first looks whether there are others.
const LOOKS: usize = 3;

/// What the items of one batch ask devices for.
#[derive(Default)]
pub(super) struct Joints {
    pub(super) sign: Joint<SignatureAlgorithm, SignInput, Signature>,
    pub(super) encrypt: Joint<EncryptionAlgorithm, EncryptInput, Encrypted>,
    pub(super) decrypt: Joint<EncryptionAlgorithm, DecryptInput, Secret>,
}

/// What can be asked for together: the same key, algorithm and priority.
type Of<A> = (KeyTag, A, Priority);

/// Items that wait for the first of them to ask.
type Group<I, O> = Vec<(I, oneshot::Sender<Result<O, Error>>)>;

/// Items of one kind.
pub(super) struct Joint<A, I, O>(Mutex<HashMap<Of<A>, Group<I, O>>>);

impl<A, I, O> Default for Joint<A, I, O> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<A: Copy + Eq + std::hash::Hash, I, O> Joint<A, I, O> {
    /// Asks for one item, together with others.
    pub(super) async fn ask<Answers>(
        &self,
        operation: Operation,
        (tag, algorithm, ctx): (KeyTag, A, &OpContext),
        input: I,
        ask: impl FnOnce(Vec<I>) -> Answers,
    ) -> Result<O, Error>
    where
        Answers: Future<Output = Vec<Result<O, Error>>>,
    {
        let of = (tag, algorithm, ctx.priority);
        let (tell, told) = oneshot::channel();
        let waiting = {
            let mut groups = self.0.lock();
            let group = groups.entry(of).or_default();
            group.push((input, tell));
            group.len()
        };
        let asks = match waiting {
            1 => {
                for _ in 0..LOOKS {
                    yield_now().await;
                }
                true
            }
            // It waits for nobody any more.
            MOST => true,
            _ => false,
        };
        if asks && let Some(group) = self.taken(of) {
            let (inputs, tells): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            for (tell, answer) in tells.into_iter().zip(ask(inputs).await) {
                // Whoever does not wait has left.
                let _ = tell.send(answer);
            }
        }
        told.await.unwrap_or_else(|_| Err(Error::new(Class::Broken, operation)))
    }

    /// Those that wait, unless another has taken them.
    fn taken(&self, of: Of<A>) -> Option<Group<I, O>> {
        self.0.lock().remove(&of)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use futures_util::future::join_all;

    use super::*;

    fn of(key: u8) -> KeyTag {
        KeyTag::from_slice(&[key; 16]).unwrap()
    }

    #[tokio::test]
    async fn items_of_a_key_are_asked_for_together_and_each_has_its_own_answer() {
        let joint: Joint<u8, u32, u32> = Joint::default();
        let (calls, ctx) = (AtomicUsize::new(0), OpContext::within(Duration::from_secs(60)));
        let ask = |item: u32| {
            let (joint, calls, ctx) = (&joint, &calls, &ctx);
            async move {
                let key = of(u8::try_from(item % 2).unwrap());
                let together = async |items: Vec<u32>| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    assert!(items.len() <= MOST && items.iter().all(|other| other % 2 == item % 2));
                    items.into_iter().map(|item| Ok(item * 10)).collect()
                };
                joint.ask(Operation::Sign, (key, 0, ctx), item, together).await
            }
        };
        let answers = join_all((0..32_u32).map(ask)).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (0..32).map(|item| item * 10).collect::<Vec<_>>());
        assert_eq!(calls.into_inner(), 32 / MOST);
        assert_eq!(ask_alone(&joint, &ctx).await.unwrap(), 7);
    }

    async fn ask_alone(joint: &Joint<u8, u32, u32>, ctx: &OpContext) -> Result<u32, Error> {
        joint
            .ask(Operation::Sign, (of(9), 0, ctx), 7, async |items: Vec<u32>| {
                items.into_iter().map(Ok).collect()
            })
            .await
    }

    #[tokio::test]
    async fn a_device_that_answers_too_few_is_broken_for_the_others() {
        let joint: Joint<u8, u32, u32> = Joint::default();
        let ctx = OpContext::within(Duration::from_secs(60));
        let ask = |item| {
            joint.ask(Operation::Sign, (of(1), 0, &ctx), item, async |items: Vec<u32>| {
                items.into_iter().take(1).map(Ok).collect()
            })
        };
        let answers = join_all([ask(1), ask(2)]).await;
        assert_eq!(answers[0].as_ref().ok(), Some(&1));
        assert_eq!(answers[1].as_ref().unwrap_err().class(), Class::Broken);
    }

    #[tokio::test]
    async fn what_is_urgent_is_not_held_up_by_what_is_not() {
        let joint: Joint<u8, u32, u32> = Joint::default();
        let ask = |item: u32, priority| {
            let joint = &joint;
            async move {
                let ctx = OpContext { priority, ..OpContext::within(Duration::from_secs(60)) };
                joint
                    .ask(Operation::Sign, (of(1), 0, &ctx), item, async |items: Vec<u32>| {
                        assert_eq!(items.len(), 1);
                        items.into_iter().map(Ok).collect()
                    })
                    .await
            }
        };
        let answers = join_all([ask(1, Priority::High), ask(2, Priority::Low)]).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}
