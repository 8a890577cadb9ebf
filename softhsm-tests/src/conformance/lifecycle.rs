//! Keys are found, and go when they are destroyed.

use std::sync::Arc;

use skms_backend::{Class, FoundKey, KeyRef, KeyTag, Selector};

use super::{Subject, must_refuse, soon, usage, usage::Used};

pub(super) async fn the_device_answers_a_probe(subject: Arc<Subject>) {
    subject.backend.probe(&soon()).await.unwrap();
}

pub(super) async fn what_was_made_is_found(subject: Arc<Subject>) {
    let own = find(&subject, Selector::Own).await;
    for made in subject.every() {
        let tag = made.key.tag;
        let by_tag = find(&subject, Selector::Tag(tag)).await;
        let among_own: Vec<&FoundKey> = own.iter().filter(|found| found.tag == tag).collect();
        if !subject.stores {
            assert!(by_tag.is_empty() && among_own.is_empty(), "the device stores some keys and others not");
            continue;
        }
        assert_eq!((by_tag.len(), among_own.len()), (1, 1), "each key is found once");
        for found in by_tag.iter().chain(among_own) {
            assert_eq!(found.tag, tag);
            assert_eq!(found.pin, made.key.pin, "{}", made.key.key_type);
            assert_eq!(found.blob, made.key.blob);
        }
    }
}

pub(super) async fn what_was_not_made_is_not_found(subject: Arc<Subject>) {
    let nobody = KeyTag::random().unwrap();
    assert!(find(&subject, Selector::Tag(nobody)).await.is_empty());
    let known: Vec<KeyTag> = subject.every().map(|made| made.key.tag).collect();
    for found in find(&subject, Selector::Own).await {
        assert!(known.contains(&found.tag), "{:?} was not made here", found.tag);
    }
}

pub(super) async fn a_found_key_can_be_used(subject: Arc<Subject>) {
    for made in subject.every() {
        for found in find(&subject, Selector::Tag(made.key.tag)).await {
            let key =
                KeyRef { tag: found.tag, key_type: made.key.key_type, blob: found.blob, pin: found.pin };
            usage::must_work(&subject, &Used { key, ..made.clone() }).await;
        }
    }
}

pub(super) async fn a_destroyed_key_is_gone_and_the_others_stay(subject: Arc<Subject>) {
    for offered in &subject.backend.capabilities().key_types {
        if offered.key_type.rsa_bits() > Some(2048) {
            continue;
        }
        for usage in usage::offered(offered) {
            let doomed = usage::make(&*subject.backend, offered.key_type, usage).await;
            // Using it before leaves whatever a backend caches.
            usage::must_work(&subject, &doomed).await;
            for _ in 0..2 {
                subject.backend.destroy(doomed.key.tag, &soon()).await.unwrap();
                assert!(find(&subject, Selector::Tag(doomed.key.tag)).await.is_empty());
            }
            if subject.stores {
                let answer = usage::attempt(&*subject.backend, &doomed.key, &doomed.usage).await;
                must_refuse(answer, &[Class::Key, Class::Handle], "using a destroyed key");
            }
        }
    }
    for made in subject.every() {
        usage::must_work(&subject, &made).await;
    }
}

pub(super) async fn destroying_nothing_succeeds(subject: Arc<Subject>) {
    subject.backend.destroy(KeyTag::random().unwrap(), &soon()).await.unwrap();
}

/// The last but one case: it takes the keys of the others away.
pub(super) async fn everything_made_can_be_destroyed(subject: Arc<Subject>) {
    for made in subject.every() {
        subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
    }
    assert!(find(&subject, Selector::Own).await.is_empty());
}

async fn find(subject: &Subject, selector: Selector) -> Vec<FoundKey> {
    subject.backend.find(selector, &soon()).await.unwrap()
}
