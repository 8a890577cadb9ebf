//! Material that was made elsewhere is the same key here.

use std::sync::Arc;

use aws_lc_rs::{
    rand,
    signature::{KeyPair as _, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair},
};
use skms_backend::{
    Class, EncryptionAlgorithm, KeyRef, KeySpec, KeyTag, KeyType, KeyTypeSupport, Pin, PublicKey, Secret,
    Selector, Usage,
};

use super::{Subject, cipher, must_refuse, openssl, soon, usage, usage::Used};

/// Imports material that is good.
pub(super) async fn must_import(
    subject: &Subject,
    key_type: KeyType,
    usage: Usage,
    material: Vec<u8>,
) -> Used {
    let tag = KeyTag::random().unwrap();
    let spec = KeySpec { key_type, usage: usage.clone() };
    let made = subject.backend.import(&spec, tag, Secret::new(material), &soon()).await;
    let made = made.unwrap_or_else(|error| panic!("{key_type} cannot be taken over for {usage:?}: {error}"));
    Used { key: KeyRef { tag, key_type, blob: made.blob, pin: Some(made.pin) }, usage }
}

/// The types that are taken over; one size of RSA is like the others.
fn claimed(subject: &Subject) -> impl Iterator<Item = &KeyTypeSupport> {
    let offered = subject.backend.capabilities().key_types.iter();
    offered.filter(|offered| offered.import && offered.key_type.rsa_bits() <= Some(2048))
}

/// A key of a type, made by another implementation, and its public half.
fn material(key_type: KeyType) -> (Vec<u8>, Option<PublicKey>) {
    let ml_dsa = match key_type {
        KeyType::MlDsa44 => &ML_DSA_44_SIGNING,
        KeyType::MlDsa65 => &ML_DSA_65_SIGNING,
        KeyType::MlDsa87 => &ML_DSA_87_SIGNING,
        _ => {
            if let Some(length) = key_type.secret_bytes() {
                let mut bytes = vec![0; length];
                rand::fill(&mut bytes).unwrap();
                return (bytes, None);
            }
            let pair = openssl::Pair::new(key_type);
            return (pair.pkcs8(), Some(pair.public()));
        }
    };
    let pair = PqdsaKeyPair::generate(ml_dsa).unwrap();
    let public = PublicKey::from_point(key_type, pair.public_key().as_ref()).unwrap();
    (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), Some(public))
}

pub(super) async fn material_made_elsewhere_is_the_same_key_here(subject: Arc<Subject>) {
    for offered in claimed(&subject) {
        let key_type = offered.key_type;
        for usage in usage::offered(offered) {
            let (bytes, public) = material(key_type);
            let one = must_import(&subject, key_type, usage.clone(), bytes.clone()).await;
            let same = must_import(&subject, key_type, usage.clone(), bytes).await;
            let other = must_import(&subject, key_type, usage.clone(), material(key_type).0).await;
            assert_eq!(one.key.pin, same.key.pin, "{key_type}: one key has one pin");
            assert_ne!(one.key.pin, other.key.pin, "{key_type}: another key has another pin");
            if let Some(public) = public {
                assert_eq!(one.key.pin, Some(Pin::Public(public)), "{key_type}");
            }
            if subject.stores {
                let found = subject.backend.find(Selector::Tag(one.key.tag), &soon()).await.unwrap();
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].pin, one.key.pin, "{key_type}");
            }
            for made in [one, same, other] {
                usage::must_work(&subject, &made).await;
                subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
            }
        }
    }
}

pub(super) async fn secret_keys_do_the_same_wherever_they_are(subject: Arc<Subject>) {
    for offered in claimed(&subject).filter(|offered| offered.key_type.is_aes()) {
        let key_type = offered.key_type;
        let algorithm = EncryptionAlgorithm::of(key_type).next().unwrap();
        let usage = Usage::Encrypt(vec![algorithm]);
        let (bytes, _) = material(key_type);
        let one = must_import(&subject, key_type, usage.clone(), bytes.clone()).await;
        let same = must_import(&subject, key_type, usage, bytes).await;
        let input = cipher::input(&*subject.backend, key_type, b"from one to the other");
        let encrypted =
            subject.backend.encrypt(&one.key, algorithm, vec![input.clone()], &soon()).await.remove(0);
        let message = cipher::of(&input, &encrypted.unwrap());
        let opened = subject.backend.decrypt(&same.key, algorithm, vec![message], &soon()).await.remove(0);
        assert_eq!(opened.unwrap().expose(), b"from one to the other");
        for made in [one, same] {
            subject.backend.destroy(made.key.tag, &soon()).await.unwrap();
        }
    }
}

pub(super) async fn what_is_no_key_of_the_type_is_refused(subject: Arc<Subject>) {
    for offered in claimed(&subject) {
        let key_type = offered.key_type;
        for usage in usage::offered(offered) {
            let (good, _) = material(key_type);
            let mut bad = vec![Vec::new(), vec![0x30], vec![0; 7], good[1..].to_vec()];
            bad.push(good[..good.len() - 1].to_vec());
            // Any bytes of its length are a secret key.
            let others = [KeyType::EcP256, KeyType::EcP384, KeyType::Ed25519, KeyType::X25519];
            bad.extend(
                others
                    .into_iter()
                    .filter(|other| *other != key_type && !key_type.is_secret())
                    .map(|other| material(other).0),
            );
            for bytes in bad {
                let tag = KeyTag::random().unwrap();
                let what = format!("{} bytes as a {key_type} key", bytes.len());
                let spec = KeySpec { key_type, usage: usage.clone() };
                let answer = subject.backend.import(&spec, tag, Secret::new(bytes), &soon()).await;
                must_refuse(answer, &[Class::Caller], &what);
                assert!(subject.backend.find(Selector::Tag(tag), &soon()).await.unwrap().is_empty());
            }
        }
    }
}

pub(super) async fn types_not_claimed_are_refused(subject: Arc<Subject>) {
    for key_type in KeyType::ALL {
        let offered = subject.backend.capabilities().key_type(key_type);
        if offered.is_some_and(|offered| offered.import) || key_type.rsa_bits() > Some(2048) {
            continue;
        }
        for usage in [Usage::Sign(Vec::new()), Usage::Encrypt(Vec::new()), Usage::Mac, Usage::Agree] {
            let what = format!("material of type {key_type} for {usage:?}");
            let material = Secret::new(material(key_type).0);
            let tag = KeyTag::random().unwrap();
            let answer = subject.backend.import(&KeySpec { key_type, usage }, tag, material, &soon()).await;
            must_refuse(answer, &[Class::Unsupported], &what);
        }
    }
}
