//! Keys are made as claimed.

use std::{collections::BTreeSet, sync::Arc};

use skms_backend::{
    Class, EncryptionAlgorithm, KeyTag, KeyType, PublicKey, Selector, SignatureAlgorithm, Usage,
};

use super::{KeySpec, Subject, must_refuse, openssl, soon};

pub(super) async fn what_is_claimed_is_coherent(subject: Arc<Subject>) {
    let claimed = subject.backend.capabilities();
    let types: Vec<KeyType> = claimed.key_types.iter().map(|offered| offered.key_type).collect();
    let ordered: Vec<KeyType> = KeyType::ALL.into_iter().filter(|known| types.contains(known)).collect();
    assert_eq!(types, ordered, "key types are listed once, in the order of `KeyType::ALL`");
    for offered in &claimed.key_types {
        let key_type = offered.key_type;
        let idle = offered.sign.is_empty() && offered.encrypt.is_empty() && !offered.mac && !offered.agree;
        assert!(!idle, "{key_type} can do nothing");
        let listed: Vec<SignatureAlgorithm> = offered.sign.iter().map(|support| support.algorithm).collect();
        let preferred: Vec<_> =
            SignatureAlgorithm::of(key_type).filter(|known| listed.contains(known)).collect();
        assert_eq!(listed, preferred, "{key_type}: algorithms that fit, once, the preferred one first");
        for support in &offered.sign {
            assert!(!support.digest || support.algorithm.hash().is_some(), "Ed25519 takes no digest");
        }
        let listed: Vec<_> = offered.encrypt.iter().map(|support| support.algorithm).collect();
        let preferred: Vec<_> =
            EncryptionAlgorithm::of(key_type).filter(|known| listed.contains(known)).collect();
        assert_eq!(listed, preferred, "{key_type}: algorithms that fit, once, the preferred one first");
        for support in &offered.encrypt {
            assert_eq!(support.salting.is_none(), support.algorithm.is_rsa_oaep(), "{}", support.algorithm);
        }
        assert!(!offered.mac || key_type.mac_hash().is_some(), "{key_type} makes no codes");
        assert!(!offered.agree || key_type.agrees(), "{key_type} does not agree");
    }
    assert!(claimed.max_message_bytes >= 1024, "{} bytes are no message", claimed.max_message_bytes);
    let macs = claimed.key_types.iter().any(|offered| offered.mac);
    assert!(!macs || claimed.max_mac_bytes >= 1000, "{} bytes are no input", claimed.max_mac_bytes);
    assert!(claimed.kept_only.iter().all(|kept| types.contains(kept)), "{:?}", claimed.kept_only);
    assert!(!claimed.identity.kind.is_empty());
    let status = subject.backend.status();
    assert!(status.contexts > 0 && status.queue_capacity > 0, "{status:?}");
}

pub(super) async fn made_keys_are_of_their_type_and_all_different(subject: Arc<Subject>) {
    let mut seen = BTreeSet::new();
    for made in &subject.keys {
        let key_type = made.key.key_type;
        assert_eq!(made.public.key_type(), key_type);
        // Parsing checks that the point is on the curve, or the modulus of its length.
        assert_eq!(PublicKey::from_spki(key_type, made.public.spki_der()).as_ref(), Ok(&made.public));
        assert!(seen.insert(made.public.sha256()), "two keys are the same");
    }
}

pub(super) async fn a_key_type_not_offered_is_refused(subject: Arc<Subject>) {
    for key_type in KeyType::ALL {
        if subject.backend.capabilities().key_type(key_type).is_some() {
            continue;
        }
        let tag = KeyTag::random().unwrap();
        let spec = KeySpec { key_type, usage: Usage::Sign(SignatureAlgorithm::of(key_type).collect()) };
        let answer = subject.backend.generate(&spec, tag, &soon()).await;
        must_refuse(answer, &[Class::Unsupported], &format!("making {key_type}"));
        assert!(subject.backend.find(Selector::Tag(tag), &soon()).await.unwrap().is_empty());
    }
}

pub(super) async fn a_public_key_is_read_by_others(subject: Arc<Subject>) {
    for made in &subject.keys {
        openssl::check_public_key(&made.public);
    }
}
