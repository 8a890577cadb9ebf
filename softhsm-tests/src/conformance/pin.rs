//! A key is the one that its pin says, or is not used.

use std::sync::Arc;

use skms_backend::{Class, KeyRef};

use super::{Subject, must_refuse, usage};

pub(super) async fn a_key_with_the_pin_of_another_is_refused(subject: Arc<Subject>) {
    let every: Vec<_> = subject.every().collect();
    for made in &every {
        assert!(made.key.pin.is_some(), "a key has a pin");
        for other in every.iter().filter(|other| other.key.pin != made.key.pin) {
            // Whether the key is known already or not.
            let mixed = KeyRef { pin: other.key.pin.clone(), ..made.key.clone() };
            if other.key.key_type == made.key.key_type {
                let answer = usage::attempt(&*subject.backend, &mixed, &made.usage).await;
                must_refuse(answer, &[Class::Key], "a key with the pin of another");
            }
        }
        let unpinned = KeyRef { pin: None, ..made.key.clone() };
        if made.key.pin.as_ref().is_some_and(|pin| pin.check_value().is_some()) {
            usage::attempt(&*subject.backend, &unpinned, &made.usage).await.unwrap();
        }
        usage::must_work(&subject, made).await;
    }
    for (index, one) in every.iter().enumerate() {
        for other in &every[index + 1..] {
            assert_ne!(one.key.pin, other.key.pin, "two keys have one pin");
        }
    }
}
