//! Every call is answered at its deadline, and a closed backend answers at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use skms_backend::{Class, Error, KeyTag, OpContext, Selector};

use super::{Subject, message, soon, spec, usage};

pub(super) async fn an_expired_call_is_answered_promptly(subject: Arc<Subject>) {
    let expired = OpContext { deadline: Instant::now(), ..soon() };
    all_fail_with(&subject, &expired, Class::Timeout).await;
}

/// Cancelling is a wish: what the device has done by then may be answered. What
/// it makes in spite of it is found under its tag.
pub(super) async fn a_cancelled_call_is_answered_promptly(subject: Arc<Subject>) {
    let cancelled = soon();
    cancelled.cancellation.cancel();
    let tag = KeyTag::random().unwrap();
    for (operation, took, error) in all(&subject, tag, &cancelled).await {
        assert!(took < PROMPTLY, "{operation} took {took:?}");
        assert!(matches!(error, None | Some(Class::Cancelled)), "{operation}: {error:?}");
    }
    assert!(subject.backend.find(Selector::Tag(tag), &soon()).await.unwrap().is_empty());
}

/// A call that is late before it starts must not reach the device.
pub(super) async fn an_expired_generation_leaves_nothing(subject: Arc<Subject>) {
    let tag = KeyTag::random().unwrap();
    let made = &subject.keys[0];
    let expired = OpContext { deadline: Instant::now(), ..soon() };
    let answer = subject.backend.generate(&spec(made.key.key_type, &made.sign), tag, &expired).await;
    assert_eq!(answer.unwrap_err().class(), Class::Timeout);
    assert!(subject.backend.find(Selector::Tag(tag), &soon()).await.unwrap().is_empty());
}

/// The last case: nothing works after it.
pub(super) async fn a_closed_backend_answers_that_it_is_closed(subject: Arc<Subject>) {
    for _ in 0..2 {
        subject.backend.close().await;
        all_fail_with(&subject, &soon(), Class::Closed).await;
    }
}

async fn all_fail_with(subject: &Subject, ctx: &OpContext, class: Class) {
    for (operation, took, error) in all(subject, KeyTag::random().unwrap(), ctx).await {
        assert_eq!(error, Some(class), "{operation}");
        assert!(took < PROMPTLY, "{operation} took {took:?}");
    }
}

/// Every operation once: how long it took, and how it failed, if it did.
async fn all(
    subject: &Subject,
    tag: KeyTag,
    ctx: &OpContext,
) -> Vec<(&'static str, Duration, Option<Class>)> {
    let backend = &subject.backend;
    // The last key type is the quickest to make.
    let made = &subject.keys[subject.keys.len() - 1];
    let mut outcomes = Vec::new();
    let mut note = |operation, started: Instant, error: Option<Error>| {
        outcomes.push((operation, started.elapsed(), error.map(|error| error.class())));
    };

    let started = Instant::now();
    note("probe", started, backend.probe(ctx).await.err());
    let started = Instant::now();
    note("find", started, backend.find(Selector::Own, ctx).await.err());
    let started = Instant::now();
    note("destroy", started, backend.destroy(KeyTag::random().unwrap(), ctx).await.err());
    let started = Instant::now();
    let spec = spec(made.key.key_type, &made.sign);
    note("generate", started, backend.generate(&spec, tag, ctx).await.err());
    let started = Instant::now();
    let inputs = vec![message("one"), message("two")];
    let answers = backend.sign(&made.key, made.sign[0].algorithm, inputs, ctx).await;
    assert_eq!(answers.len(), 2, "one answer for each input, also when there is no signature");
    for answer in answers {
        note("sign", started, answer.err());
    }
    for made in &subject.others {
        if made.key.key_type.rsa_bits().is_none() {
            let started = Instant::now();
            let answer = usage::attempt_within(&**backend, &made.key, &made.usage, ctx).await;
            note("use", started, answer.err());
        }
    }
    if backend.capabilities().max_random_bytes > 0 {
        let started = Instant::now();
        note("random", started, backend.random(16, ctx).await.err());
    }
    outcomes
}

/// Far more than an answer without the device takes, far less than a device that
/// is waited for.
const PROMPTLY: Duration = Duration::from_secs(1);
