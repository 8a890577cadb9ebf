//! What comes or goes in streams: many signatures, large messages, many keys.

mod cipher;
mod keys;
mod large;
mod life;
mod rules;
mod sign;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use skms::{client, proto};
use tonic::Status;

use crate::ask::refusal;

/// Reached only by what never ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// An error of an item, as the call of one would have it.
fn refused(error: &tonic_types::Status) -> String {
    let details = error.encode_to_vec().into();
    refusal(&Status::with_details(error.code.into(), error.message.clone(), details))
}

/// How a stream is opened that has everything as usual.
fn start() -> proto::SignStreamStart {
    proto::SignStreamStart::default()
}

/// Every answer to its end, by number; and in which order they came.
async fn to_the_end<I: client::Items>(
    answers: &mut client::Answers<I>,
) -> (Vec<u64>, BTreeMap<u64, Result<I::Answer, String>>) {
    let (mut order, mut all) = (Vec::new(), BTreeMap::new());
    while let Some((sequence, answer)) = answers.next().await.unwrap() {
        order.push(sequence);
        let answer = answer.map_err(|failure| failure.reason.unwrap_or_default());
        assert!(all.insert(sequence, answer).is_none(), "{sequence} was answered twice");
    }
    (order, all)
}

/// How a stream has ended.
fn end<T: std::fmt::Debug>(ended: &Result<T, client::Error>) -> String {
    crate::ask::outcome(ended)
}
