//! Keys do what they are for, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use skms_backend::{
    Class, DecryptInput, EncryptInput, EncryptionAlgorithm, Error, KeyBackend, KeyRef, KeySpec, KeyTag,
    KeyType, KeyTypeSupport, OpContext, PublicKey, Salting, Selector, SignatureAlgorithm, Usage,
};

use super::{Subject, cipher, message, must_refuse, openssl, soon};

/// A key that the suite made, and what for.
#[derive(Clone)]
pub(super) struct Used {
    pub(super) key: KeyRef,
    pub(super) usage: Usage,
}

/// Everything that a key type is offered for.
pub(super) fn offered(offered: &KeyTypeSupport) -> Vec<Usage> {
    let sign: Vec<_> = offered.sign.iter().map(|support| support.algorithm).collect();
    let encrypt: Vec<_> = offered.encrypt.iter().map(|support| support.algorithm).collect();
    let mut usages = Vec::new();
    usages.extend((!sign.is_empty()).then_some(Usage::Sign(sign)));
    usages.extend((!encrypt.is_empty()).then_some(Usage::Encrypt(encrypt)));
    usages.extend(offered.mac.then_some(Usage::Mac));
    usages.extend(offered.agree.then_some(Usage::Agree));
    usages
}

pub(super) async fn make(backend: &dyn KeyBackend, key_type: KeyType, usage: Usage) -> Used {
    let tag = KeyTag::random().unwrap();
    let spec = KeySpec { key_type, usage: usage.clone() };
    let made = backend
        .generate(&spec, tag, &soon())
        .await
        .unwrap_or_else(|error| panic!("{key_type} is offered for {usage:?} and cannot be made: {error}"));
    Used { key: KeyRef { tag, key_type, blob: made.blob, pin: Some(made.pin) }, usage }
}

/// Has a key do what it is for.
pub(super) async fn attempt(backend: &dyn KeyBackend, key: &KeyRef, usage: &Usage) -> Result<(), Error> {
    attempt_within(backend, key, usage, &soon()).await
}

pub(super) async fn attempt_within(
    backend: &dyn KeyBackend,
    key: &KeyRef,
    usage: &Usage,
    ctx: &OpContext,
) -> Result<(), Error> {
    const TEXT: &[u8] = b"as it was meant";
    let public = key.pin.as_ref().and_then(|pin| pin.public_key());
    match usage {
        Usage::Sign(algorithms) => {
            let algorithm = *algorithms.first().unwrap();
            let signed = backend.sign(key, algorithm, vec![message(TEXT)], ctx).await.remove(0)?;
            assert!(public.is_none_or(|public| public.verify(algorithm, &message(TEXT), &signed.0)));
        }
        Usage::Encrypt(algorithms) => {
            let algorithm = *algorithms.first().unwrap();
            let message = if let Some(public) = public {
                DecryptInput::Oaep(public.encrypt_oaep(algorithm, TEXT).unwrap().into())
            } else if let Some(bits) = key.key_type.rsa_bits() {
                // Without a public half there is nothing right to decrypt.
                DecryptInput::Oaep(vec![1; bits / 8].into())
            } else {
                let input = cipher::input(backend, key.key_type, TEXT);
                let encrypted = backend.encrypt(key, algorithm, vec![input.clone()], ctx).await.remove(0)?;
                cipher::of(&input, &encrypted)
            };
            let opened = backend.decrypt(key, algorithm, vec![message], ctx).await.remove(0)?;
            assert_eq!(opened.expose(), TEXT);
        }
        Usage::Mac => {
            let code = backend.mac(key, vec![Bytes::from_static(TEXT)], ctx).await.remove(0)?;
            assert_eq!(code.len(), key.key_type.mac_hash().unwrap().digest_bytes());
        }
        Usage::Agree => {
            // Any public key of the type; whether the secret is right is another case.
            let peer = openssl::point(key.key_type);
            let secret = backend.agreement().unwrap().agree(key, &peer, ctx).await?;
            assert_eq!(secret.expose().len(), key.key_type.field_bytes().unwrap_or(32));
        }
    }
    Ok(())
}

pub(super) async fn must_work(subject: &Subject, made: &Used) {
    attempt(&*subject.backend, &made.key, &made.usage)
        .await
        .unwrap_or_else(|error| panic!("{} for {:?}: {error}", made.key.key_type, made.usage));
}

pub(super) async fn a_key_of_every_usage_does_what_it_is_for(subject: Arc<Subject>) {
    for made in subject.every() {
        must_work(&subject, &made).await;
    }
}

pub(super) async fn a_key_does_nothing_but_what_it_is_for(subject: Arc<Subject>) {
    let signing = |usage: &Usage| matches!(usage, Usage::Sign(_));
    let encrypting = |usage: &Usage| matches!(usage, Usage::Encrypt(_));
    let refused = [Class::Key, Class::Unsupported];
    for made in subject.every() {
        let (backend, key, usage) = (&subject.backend, &made.key, &made.usage);
        let what = |other: &str| format!("a {} key for {usage:?} that is to {other}", key.key_type);
        if !signing(usage) {
            for algorithm in SignatureAlgorithm::ALL {
                let answer = backend.sign(key, algorithm, vec![message("x")], &soon()).await.remove(0);
                must_refuse(answer, &refused, &what("sign"));
            }
        }
        if !encrypting(usage) {
            for algorithm in EncryptionAlgorithm::ALL {
                let salting = if algorithm.is_rsa_oaep() { Salting::Derived } else { salting(&**backend) };
                let input = cipher::salted(salting, b"x");
                let answer = backend.encrypt(key, algorithm, vec![input], &soon()).await.remove(0);
                must_refuse(answer, &refused, &what("encrypt"));
                let bytes = key.key_type.rsa_bits().unwrap_or(2048) / 8;
                let input = DecryptInput::Oaep(vec![1; bytes].into());
                let answer = backend.decrypt(key, algorithm, vec![input], &soon()).await.remove(0);
                must_refuse(answer, &refused, &what("decrypt"));
            }
        }
        if *usage != Usage::Mac {
            let answer = backend.mac(key, vec![Bytes::from_static(b"x")], &soon()).await.remove(0);
            must_refuse(answer, &refused, &what("make codes"));
        }
        if let Some(agreement) = backend.agreement()
            && *usage != Usage::Agree
        {
            let peer: PublicKey = if key.key_type.agrees() {
                openssl::point(key.key_type)
            } else {
                openssl::point(KeyType::EcP256)
            };
            must_refuse(agreement.agree(key, &peer, &soon()).await, &refused, &what("agree"));
        }
        must_work(&subject, &made).await;
    }
}

/// What the salt of AES-GCM is here, if there is any.
fn salting(backend: &dyn KeyBackend) -> Salting {
    let mut offered = backend.capabilities().key_types.iter().flat_map(|offered| &offered.encrypt);
    offered.find_map(|support| support.salting).unwrap_or(Salting::Derived)
}

pub(super) async fn a_use_that_is_not_offered_is_refused(subject: Arc<Subject>) {
    for key_type in KeyType::ALL {
        let support = subject.backend.capabilities().key_type(key_type);
        let offered = support.map(offered).unwrap_or_default();
        let same = |one: &Usage, other: &Usage| std::mem::discriminant(one) == std::mem::discriminant(other);
        let mut wanted = vec![Usage::Sign(Vec::new()), Usage::Encrypt(Vec::new()), Usage::Mac, Usage::Agree];
        wanted.retain(|usage| !offered.iter().any(|offered| same(usage, offered)));
        // One algorithm that is not offered spoils a list.
        for algorithm in EncryptionAlgorithm::ALL {
            if support.is_some() && subject.backend.capabilities().encrypt(key_type, algorithm).is_none() {
                wanted.push(Usage::Encrypt(vec![algorithm]));
            }
        }
        for usage in wanted {
            let tag = KeyTag::random().unwrap();
            let what = format!("a {key_type} key for {usage:?}");
            let answer = subject.backend.generate(&KeySpec { key_type, usage }, tag, &soon()).await;
            must_refuse(answer, &[Class::Unsupported], &what);
            assert!(subject.backend.find(Selector::Tag(tag), &soon()).await.unwrap().is_empty());
        }
    }
}

/// The input of an encryption, for whoever makes many.
pub(super) fn input(salt: Vec<u8>, header: &[u8], aad: &[u8], plaintext: Bytes) -> EncryptInput {
    EncryptInput {
        salt: salt.into(),
        header: Bytes::copy_from_slice(header),
        aad: Bytes::copy_from_slice(aad),
        plaintext,
    }
}
