//! Random bytes: as many as were asked for, and others each time.

use std::sync::Arc;

use skms_backend::Class;

use super::{Subject, must_refuse, soon};

pub(super) async fn every_length_up_to_the_longest_is_given(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_random_bytes;
    for length in [0, 1, 2, 15, 16, 17, 32, 64, 1000, longest.saturating_sub(1), longest] {
        if length > longest {
            continue;
        }
        let one = subject.backend.random(length, &soon()).await.unwrap();
        assert_eq!(one.expose().len(), length);
        if length >= 15 {
            let other = subject.backend.random(length, &soon()).await.unwrap();
            assert!(one != other, "twice the same {length} bytes");
            assert!(one.expose().iter().any(|byte| *byte != 0), "{length} zeros");
        }
    }
}

pub(super) async fn more_than_claimed_is_refused(subject: Arc<Subject>) {
    let longest = subject.backend.capabilities().max_random_bytes;
    let answer = subject.backend.random(longest + 1, &soon()).await;
    must_refuse(answer.map(drop), &[Class::Unsupported], "more random bytes than claimed");
}
