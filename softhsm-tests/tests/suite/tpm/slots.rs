//! The handles of a TPM: three slots for objects, three for sessions.

use skms_backend::{KeyBackend, KeyRef, KeyType, SignInput, SignatureAlgorithm};
use skms_tests::swtpm::{self, Swtpm};

use super::{make, open, soon};

async fn must_sign(backend: &dyn KeyBackend, key: &KeyRef, text: &str) {
    let algorithm = SignatureAlgorithm::of(key.key_type).next().unwrap();
    let input = SignInput::Message(text.to_owned().into());
    let signed = backend.sign(key, algorithm, vec![input.clone()], &soon()).await.remove(0).unwrap();
    let public = key.pin.as_ref().unwrap().public_key().unwrap();
    assert!(public.verify(algorithm, &input, &signed.0), "{text}");
}

/// Of the 3 slots the storage key has one, so 2 of 10 keys are loaded at a time.
#[tokio::test(flavor = "multi_thread")]
async fn more_keys_than_slots_take_turns_and_leave_nothing() {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let backend = open(&tpm, "").unwrap();
    let mut keys = Vec::new();
    for _ in 0..10 {
        keys.push(make(&*backend, KeyType::EcP256).await);
    }
    for round in 0..20 {
        for (index, key) in keys.iter().enumerate() {
            must_sign(&*backend, key, &format!("{round}.{index}")).await;
        }
        let handles = tpm.handles();
        assert_eq!(handles.len(), 4, "the storage key, two keys and a session: {handles:?}");
    }
    // A blob that is refused when it is loaded is refused without a trace.
    let mut bent = keys[0].clone();
    let mut blob = bent.blob.to_vec();
    *blob.last_mut().unwrap() ^= 1;
    bent.blob = blob.into();
    for _ in 0..10 {
        let input = vec![SignInput::Message("x".into())];
        let refused =
            backend.sign(&bent, SignatureAlgorithm::EcdsaP256Sha256, input, &soon()).await.remove(0);
        assert_eq!(refused.err().unwrap().class(), skms_backend::Class::Key);
    }
    assert!(tpm.handles().len() <= 4);
    backend.close().await;
    assert_eq!(tpm.handles(), Vec::<String>::new());
}

/// What a gateway left that was killed does not keep the next one out.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_left_in_the_slots_is_flushed_at_the_start() {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let key = {
        let backend = open(&tpm, "").unwrap();
        let key = make(&*backend, KeyType::EcP256).await;
        backend.close().await;
        key
    };
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    for name in ["a", "b", "c"] {
        let _ = tpm.tool("tpm2_createprimary", &["-Q", "-G", "ecc", "-c", &file(name)]);
    }
    for name in ["s", "t"] {
        let _ = tpm.tool("tpm2_startauthsession", &["-S", &file(name), "--hmac-session"]);
    }
    assert_eq!(tpm.handles().len(), 5);
    let backend = open(&tpm, "").unwrap();
    must_sign(&*backend, &key, "text").await;
    assert_eq!(tpm.handles().len(), 3, "the storage key, a key and a session");
}

/// An object of others takes a slot while the gateway runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_others_take_is_made_do_without() {
    if swtpm::left_out() {
        return;
    }
    let tpm = Swtpm::new();
    let backend = open(&tpm, "").unwrap();
    let one = make(&*backend, KeyType::EcP256).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("theirs").display().to_string();
    let _ = tpm.tool("tpm2_createprimary", &["-Q", "-G", "ecc", "-c", &file]);
    must_sign(&*backend, &one, "one").await;
    let unloaded = make(&*backend, KeyType::EcP256).await;
    must_sign(&*backend, &unloaded, "other").await;
    must_sign(&*backend, &one, "one").await;
}
