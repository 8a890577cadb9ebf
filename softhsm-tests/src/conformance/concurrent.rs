//! Many callers at once.

use std::sync::Arc;

use skms_backend::Selector;
use tokio::task::JoinSet;

use super::{Subject, make, message, soon};

pub(super) async fn nobody_gets_the_signature_of_another_key(subject: Arc<Subject>) {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let subject = Arc::clone(&subject);
        tasks.spawn(async move {
            let uses: Vec<_> = subject.uses().collect();
            for round in 0..ROUNDS {
                // Every task walks through the keys at its own stride.
                let (made, support) = uses[(task + round * (task + 1)) % uses.len()];
                let text = format!("task {task}, round {round}");
                let signature = subject.must_sign(made, support.algorithm, message(text.clone())).await;
                for other in subject.keys.iter().filter(|other| other.key.tag != made.key.tag) {
                    assert!(!other.public.verify(support.algorithm, &message(text.clone()), &signature));
                }
            }
        });
    }
    all(tasks).await;
}

/// The moment in which devices are known to mix up handles, and to fail
/// creations while others search.
pub(super) async fn keys_come_and_go_beside_signatures(subject: Arc<Subject>) {
    let quick = subject.keys.iter().rev().find(|made| made.key.key_type.rsa_bits().is_none());
    let key_type = quick.unwrap_or(&subject.keys[0]).key.key_type;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let subject = Arc::clone(&subject);
        tasks.spawn(async move {
            for _ in 0..3 {
                let made = make(&*subject.backend, key_type).await;
                subject.must_sign(&made, made.sign[0].algorithm, message("new")).await;
                let found = subject.backend.find(Selector::Tag(made.key.tag), &soon()).await.unwrap();
                assert_eq!(found.len(), usize::from(subject.stores));
                subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
            }
        });
    }
    for task in 0..4 {
        let subject = Arc::clone(&subject);
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let made = &subject.keys[(task + round) % subject.keys.len()];
                subject.must_sign(made, made.sign[0].algorithm, message("old")).await;
                subject.backend.find(Selector::Own, &soon()).await.unwrap();
            }
        });
    }
    all(tasks).await;
}

/// Waits for every task; the panic of one is the panic of the case.
async fn all(mut tasks: JoinSet<()>) {
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

const TASKS: usize = 32;
const ROUNDS: usize = 12;
