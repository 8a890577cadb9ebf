//! Agreement: the secret is the one that the other side comes to.

use std::sync::Arc;

use skms_backend::{Class, KeyType, PublicKey, Usage};

use super::{Subject, must_refuse, openssl, soon, usage, usage::Used};

fn keys(subject: &Subject) -> impl Iterator<Item = &Used> {
    subject.others.iter().filter(|made| made.usage == Usage::Agree)
}

fn public(made: &Used) -> &PublicKey {
    made.key.pin.as_ref().and_then(|pin| pin.public_key()).unwrap()
}

pub(super) async fn both_sides_agree_with_others(subject: Arc<Subject>) {
    for made in keys(&subject) {
        let agreement = subject.backend.agreement().unwrap();
        for _ in 0..3 {
            let other = openssl::Pair::new(made.key.key_type);
            let here = agreement.agree(&made.key, &other.public(), &soon()).await.unwrap();
            assert_eq!(here.expose(), other.agree(public(made)), "{}", made.key.key_type);
        }
    }
    for one in keys(&subject) {
        for other in keys(&subject).filter(|other| other.key.key_type == one.key.key_type) {
            let agreement = subject.backend.agreement().unwrap();
            let here = agreement.agree(&one.key, public(other), &soon()).await.unwrap();
            let there = agreement.agree(&other.key, public(one), &soon()).await.unwrap();
            assert_eq!(here.expose(), there.expose());
        }
    }
}

pub(super) async fn a_public_key_of_another_type_is_refused(subject: Arc<Subject>) {
    for made in keys(&subject) {
        let agreement = subject.backend.agreement().unwrap();
        for other in KeyType::ALL.into_iter().filter(|other| other.agrees() && *other != made.key.key_type) {
            let answer = agreement.agree(&made.key, &openssl::point(other), &soon()).await;
            must_refuse(answer.map(drop), &[Class::Caller], &format!("{} with {other}", made.key.key_type));
        }
        usage::must_work(&subject, made).await;
    }
}

/// RFC 7748 §6.1: all of them lead to the same secret, whatever the key.
pub(super) async fn points_of_small_order_are_refused(subject: Arc<Subject>) {
    for made in keys(&subject).filter(|made| made.key.key_type == KeyType::X25519) {
        let agreement = subject.backend.agreement().unwrap();
        for first in [0, 1] {
            let mut point = [0; 32];
            point[0] = first;
            let peer = PublicKey::from_point(KeyType::X25519, &point).unwrap();
            let answer = agreement.agree(&made.key, &peer, &soon()).await;
            must_refuse(answer.map(drop), &[Class::Caller], "a point of small order");
        }
        usage::must_work(&subject, made).await;
    }
}

pub(super) async fn there_is_no_agreement_where_none_is_claimed(subject: Arc<Subject>) {
    let claimed = subject.backend.capabilities().key_types.iter().any(|offered| offered.agree);
    assert_eq!(subject.backend.agreement().is_some(), claimed);
}
