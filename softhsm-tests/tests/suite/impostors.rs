//! Objects that somebody put in the place of others on the token, under the same label
//! and identifier and with the same attributes, are not used.

use std::{sync::Arc, time::Duration};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use parking_lot::Mutex;
use skms_backend::{
    Class, EncryptionAlgorithm, KeyBackend, KeyRef, KeySpec, KeyTag, KeyType, OpContext, SignatureAlgorithm,
    Usage,
};
use skms_backend_pkcs11::Pkcs11Backend;
use skms_tests::{
    conformance,
    softhsm::{self, SoftHsm},
};

/// A key of every kind, and what for.
fn kinds() -> Vec<KeySpec> {
    let spec = |key_type, usage| KeySpec { key_type, usage };
    vec![
        spec(KeyType::EcP256, Usage::Sign(vec![SignatureAlgorithm::EcdsaP256Sha256])),
        spec(KeyType::EcP384, Usage::Agree),
        spec(KeyType::Ed25519, Usage::Sign(vec![SignatureAlgorithm::Ed25519])),
        spec(KeyType::Rsa2048, Usage::Sign(vec![SignatureAlgorithm::RsaPssSha384])),
        spec(KeyType::Rsa2048, Usage::Encrypt(vec![EncryptionAlgorithm::RsaOaepSha1])),
        spec(KeyType::Aes256, Usage::Encrypt(vec![EncryptionAlgorithm::Aes256Gcm])),
        spec(KeyType::HmacSha512, Usage::Mac),
    ]
}

#[test]
fn a_key_that_was_replaced_under_its_tag_is_refused() {
    softhsm::alone(|token| {
        let (gateway, other) = (open(token), open(token));
        for spec in kinds() {
            let key = make(&*gateway, &spec, KeyTag::random().unwrap());
            try_use(&gateway, &key, &spec).unwrap();
            block_on(other.destroy(key.tag, &soon())).unwrap();
            let impostor = make(&*other, &spec, key.tag);
            assert_ne!(impostor.pin, key.pin);
            // What was known leads nowhere, or to another key; what is found is another key.
            let error = try_use(&gateway, &key, &spec).unwrap_err();
            assert!([Class::Key, Class::Handle].contains(&error.class()), "{spec:?}: {error}");
            refused(&gateway, &key, &spec);
            // To one that has just started it was never any other.
            refused(&open(token), &key, &spec);
            // Nothing of that is remembered: the key that it is can be used.
            try_use(&gateway, &impostor, &spec).unwrap();
            refused(&gateway, &key, &spec);
        }
        close();
    });
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    softhsm::alone(|token| {
        let backend = open(token);
        let session = behind(token);
        for spec in kinds().into_iter().filter(|spec| !spec.key_type.is_secret()) {
            let key = make(&*backend, &spec, KeyTag::random().unwrap());
            let other = make(&*backend, &spec, KeyTag::random().unwrap());
            let (own, foreign) = (public_half(&session, &key), public_half(&session, &other));
            // The same half, put back by somebody: it is the key that it was.
            replace_public(&session, &key, &own);
            try_use(&open(token), &key, &spec).unwrap();
            // The public half of another.
            replace_public(&session, &key, &foreign);
            refused(&open(token), &key, &spec);
            // The private half of another, beside the right public one.
            replace_public(&session, &other, &own);
            let posing = KeyRef { tag: other.tag, ..key.clone() };
            refused(&open(token), &posing, &spec);
            // Whatever the catalog says, halves of two keys are none.
            refused(&open(token), &KeyRef { pin: None, ..posing }, &spec);
            replace_public(&session, &key, &own);
            try_use(&open(token), &key, &spec).unwrap();
        }
        close();
    });
}

fn try_use(backend: &Arc<dyn KeyBackend>, key: &KeyRef, spec: &KeySpec) -> Result<(), skms_backend::Error> {
    block_on(conformance::try_use(&**backend, key, &spec.usage))
}

/// Twice, because nothing of a refusal may be remembered as good.
#[track_caller]
fn refused(backend: &Arc<dyn KeyBackend>, key: &KeyRef, spec: &KeySpec) {
    for _ in 0..2 {
        let error = try_use(backend, key, spec).err().unwrap_or_else(|| panic!("{spec:?} was used"));
        assert_eq!(error.class(), Class::Key, "{spec:?}: {error}");
    }
}

fn open(token: &SoftHsm) -> Arc<dyn KeyBackend> {
    let config = toml::from_str(&token.config()).unwrap();
    let backend: Arc<dyn KeyBackend> =
        Arc::new(Pkcs11Backend::open("softhsm", &config, "instance", None, Arc::new(())).unwrap());
    OPEN.lock().push(Arc::clone(&backend));
    backend
}

/// What is open in this process.
static OPEN: Mutex<Vec<Arc<dyn KeyBackend>>> = Mutex::new(Vec::new());

/// Ends every thread that uses the library, which must not be at work when the process
/// ends and the library with it.
fn close() {
    for backend in std::mem::take(&mut *OPEN.lock()) {
        block_on(backend.close());
    }
}

/// A session that the gateway knows nothing of.
fn behind(token: &SoftHsm) -> Session {
    let library = Pkcs11::new(token.module()).unwrap();
    // The backend has done both already.
    let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slots = library.get_slots_with_token().unwrap();
    let named = |slot| library.get_token_info(slot).is_ok_and(|info| info.label() == token.label());
    let slot = slots.into_iter().find(|slot| named(*slot)).unwrap();
    let session = library.open_rw_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::new(token.pin().into())));
    session
}

/// All that tells the public half of a key from others, to make it again.
fn public_half(session: &Session, key: &KeyRef) -> Vec<Attribute> {
    let specific: &[AttributeType] = if key.key_type.rsa_bits().is_some() {
        &[AttributeType::Modulus, AttributeType::PublicExponent]
    } else {
        &[AttributeType::EcParams, AttributeType::EcPoint]
    };
    let shared = [AttributeType::KeyType, AttributeType::Label, AttributeType::Verify];
    session.get_attributes(public_object(session, key), &[&shared, specific].concat()).unwrap()
}

fn replace_public(session: &Session, key: &KeyRef, half: &[Attribute]) {
    session.destroy_object(public_object(session, key)).unwrap();
    let mut template = half.to_vec();
    template.extend([
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Id(key.tag.as_bytes().to_vec()),
    ]);
    session.create_object(&template).unwrap();
}

fn public_object(session: &Session, key: &KeyRef) -> cryptoki::object::ObjectHandle {
    let id = Attribute::Id(key.tag.as_bytes().to_vec());
    session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), id]).unwrap()[0]
}

fn make(backend: &dyn KeyBackend, spec: &KeySpec, tag: KeyTag) -> KeyRef {
    let made = block_on(backend.generate(spec, tag, &soon())).unwrap();
    KeyRef { tag, key_type: spec.key_type, blob: made.blob, pin: Some(made.pin) }
}

fn soon() -> OpContext {
    OpContext::within(Duration::from_secs(120))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(future)
}
