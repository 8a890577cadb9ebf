//! The conformance suite: what every backend must do, demanded of exactly what
//! its `capabilities()` claim.
//!
//! A backend has no tests of its own contract; it passes this. Whoever adds one
//! adds a test that calls [`run`]. The cases stand in the list in [`run`]; each is
//! a function named after the promise that it tests.
//!
//! The suite knows devices only through [`KeyBackend`]. Two things it finds out:
//! whether the device stores keys (then `find` and `destroy` must work on them)
//! or the catalog does (then nothing is found), and which blobs go with keys.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use skms_backend::{
    Class, Error, KeyBackend, KeyRef, KeySpec, KeyTag, KeyType, KeyTypeSupport, OpContext, PublicKey,
    Selector, SignInput, SignSupport, Signature, SignatureAlgorithm, Usage,
};

mod agree;
mod batch;
mod cipher;
mod concurrent;
mod deadline;
mod generate;
mod import;
mod lifecycle;
mod mac;
mod ml_dsa;
mod oaep;
pub mod openssl;
mod pin;
mod random;
mod refusal;
mod sign;
mod usage;

use self::usage::Used;

/// Runs every case against a backend, and closes it.
///
/// # Panics
/// With the names of the cases that failed; each has said before why.
pub async fn run(backend: Arc<dyn KeyBackend>) {
    let subject = Arc::new(Subject::prepare(backend).await);
    let mut failed = Vec::new();
    macro_rules! cases {
        ($($module:ident :: $case:ident),* $(,)?) => {
            $(
                if !passes($module::$case(Arc::clone(&subject))).await {
                    failed.push(concat!(stringify!($module), "::", stringify!($case)));
                }
            )*
        };
    }
    cases![
        generate::what_is_claimed_is_coherent,
        generate::made_keys_are_of_their_type_and_all_different,
        generate::a_key_type_not_offered_is_refused,
        generate::a_public_key_is_read_by_others,
        sign::every_message_length_is_signed,
        sign::digests_are_signed_where_claimed,
        sign::others_verify_every_algorithm,
        sign::signatures_have_the_specified_length,
        refusal::algorithms_not_offered_are_refused,
        refusal::digests_are_refused_where_not_claimed,
        refusal::a_bad_digest_is_the_callers_fault_and_harms_nobody,
        refusal::a_message_that_is_too_long_is_the_callers_fault,
        refusal::an_unknown_key_is_refused,
        refusal::a_key_is_never_used_as_another,
        usage::a_key_of_every_usage_does_what_it_is_for,
        usage::a_key_does_nothing_but_what_it_is_for,
        usage::a_use_that_is_not_offered_is_refused,
        pin::a_key_with_the_pin_of_another_is_refused,
        cipher::plaintexts_of_every_length_come_back,
        cipher::a_message_commits_to_its_key_and_not_to_its_text,
        cipher::a_changed_message_is_one_error,
        cipher::another_key_opens_nothing,
        cipher::bad_inputs_are_refused_and_harm_nobody,
        cipher::bad_messages_fail_alone,
        oaep::what_the_public_half_encrypts_is_decrypted,
        oaep::a_changed_ciphertext_is_one_error,
        oaep::another_key_decrypts_nothing,
        mac::codes_are_those_of_the_standard,
        mac::codes_are_those_of_others,
        mac::codes_tell_keys_and_inputs_apart,
        mac::answers_come_in_the_order_of_the_inputs,
        agree::both_sides_agree_with_others,
        agree::a_public_key_of_another_type_is_refused,
        agree::points_of_small_order_are_refused,
        agree::there_is_no_agreement_where_none_is_claimed,
        random::every_length_up_to_the_longest_is_given,
        random::more_than_claimed_is_refused,
        import::material_made_elsewhere_is_the_same_key_here,
        import::secret_keys_do_the_same_wherever_they_are,
        import::what_is_no_key_of_the_type_is_refused,
        import::types_not_claimed_are_refused,
        batch::answers_come_in_the_order_of_the_inputs,
        batch::bad_items_fail_alone,
        batch::no_inputs_have_no_answers,
        lifecycle::the_device_answers_a_probe,
        lifecycle::what_was_made_is_found,
        lifecycle::what_was_not_made_is_not_found,
        lifecycle::a_found_key_can_be_used,
        lifecycle::a_destroyed_key_is_gone_and_the_others_stay,
        lifecycle::destroying_nothing_succeeds,
        concurrent::nobody_gets_the_signature_of_another_key,
        concurrent::keys_come_and_go_beside_signatures,
        deadline::an_expired_call_is_answered_promptly,
        deadline::a_cancelled_call_is_answered_promptly,
        deadline::an_expired_generation_leaves_nothing,
        lifecycle::everything_made_can_be_destroyed,
        deadline::a_closed_backend_answers_that_it_is_closed,
    ];
    assert!(failed.is_empty(), "{} cases failed: {}", failed.len(), failed.join(", "));
}

/// Makes a key of every offered type and usage, for tests that look at a device from
/// behind.
///
/// # Panics
/// When a key cannot be made.
pub async fn make_each(backend: &dyn KeyBackend) -> Vec<(KeyRef, Usage)> {
    let mut keys = Vec::new();
    for offered in &backend.capabilities().key_types {
        for usage in usage::offered(offered) {
            let Used { key, usage } = usage::make(backend, offered.key_type, usage).await;
            keys.push((key, usage));
        }
    }
    keys
}

/// Has a key do what it is for.
///
/// # Errors
/// When it is refused.
///
/// # Panics
/// When what it does is wrong.
pub async fn try_use(backend: &dyn KeyBackend, key: &KeyRef, usage: &Usage) -> Result<(), Error> {
    usage::attempt(backend, key, usage).await
}

/// Runs a case on a task of its own, so that the others run when it panics.
async fn passes(case: impl Future<Output = ()> + Send + 'static) -> bool {
    tokio::spawn(case).await.is_ok()
}

/// A backend with some keys in it.
struct Subject {
    backend: Arc<dyn KeyBackend>,
    /// Two of every offered type, one of those that take long to make.
    keys: Vec<Made>,
    /// The same of those that do anything but sign.
    others: Vec<Used>,
    /// Whether the device stores keys; else the catalog alone does.
    stores: bool,
}

/// A key that the suite made.
#[derive(Clone)]
struct Made {
    key: KeyRef,
    public: PublicKey,
    /// What its type is offered for.
    sign: Vec<SignSupport>,
}

impl Subject {
    async fn prepare(backend: Arc<dyn KeyBackend>) -> Self {
        let mut keys = Vec::new();
        for offered in signing(&*backend) {
            let count = if offered.key_type.rsa_bits() > Some(2048) { 1 } else { 2 };
            for _ in 0..count {
                keys.push(make(&*backend, offered.key_type).await);
            }
        }
        assert!(!keys.is_empty(), "the backend offers no key type at all");
        let mut others = Vec::new();
        for offered in &backend.capabilities().key_types {
            let count = if offered.key_type.rsa_bits() > Some(2048) { 1 } else { 2 };
            let usages = usage::offered(offered).into_iter();
            for usage in usages.filter(|usage| !matches!(usage, Usage::Sign(_))) {
                for _ in 0..count {
                    others.push(usage::make(&*backend, offered.key_type, usage.clone()).await);
                }
            }
        }
        let first = Selector::Tag(keys[0].key.tag);
        let stores = !backend.find(first, &soon()).await.unwrap().is_empty();
        Self { backend, keys, others, stores }
    }

    /// Every key, with what it is for.
    fn every(&self) -> impl Iterator<Item = Used> {
        let signing = self.keys.iter().map(|made| Used {
            key: made.key.clone(),
            usage: Usage::Sign(made.sign.iter().map(|support| support.algorithm).collect()),
        });
        signing.chain(self.others.iter().cloned())
    }

    /// The keys with each algorithm that they are offered for.
    fn uses(&self) -> impl Iterator<Item = (&Made, SignSupport)> {
        self.keys.iter().flat_map(|made| made.sign.iter().map(move |support| (made, *support)))
    }

    /// One input with one key.
    async fn sign(
        &self,
        key: &KeyRef,
        algorithm: SignatureAlgorithm,
        input: SignInput,
    ) -> Result<Bytes, Error> {
        let mut answers = self.backend.sign(key, algorithm, vec![input], &soon()).await;
        assert_eq!(answers.len(), 1, "one input, one answer");
        answers.remove(0).map(|Signature(bytes)| bytes)
    }

    /// Signs and demands that the key's public half verifies it.
    async fn must_sign(&self, made: &Made, algorithm: SignatureAlgorithm, input: SignInput) -> Bytes {
        let signature = self
            .sign(&made.key, algorithm, input.clone())
            .await
            .unwrap_or_else(|error| panic!("{algorithm} does not sign {}: {error}", describe(&input)));
        assert!(
            made.public.verify(algorithm, &input, &signature),
            "a {algorithm} signature of {} does not verify",
            describe(&input)
        );
        signature
    }
}

/// The key types that are offered for signing.
fn signing(backend: &dyn KeyBackend) -> Vec<KeyTypeSupport> {
    let offered = backend.capabilities().key_types.iter();
    offered.filter(|offered| !offered.sign.is_empty()).cloned().collect()
}

async fn make(backend: &dyn KeyBackend, key_type: KeyType) -> Made {
    let sign = backend.capabilities().key_type(key_type).unwrap().sign.clone();
    let tag = KeyTag::random().unwrap();
    let made = backend
        .generate(&spec(key_type, &sign), tag, &soon())
        .await
        .unwrap_or_else(|error| panic!("{key_type} is offered and cannot be made: {error}"));
    let public = made.pin.public_key().cloned().unwrap();
    Made { key: KeyRef { tag, key_type, blob: made.blob, pin: Some(made.pin) }, public, sign }
}

fn spec(key_type: KeyType, sign: &[SignSupport]) -> KeySpec {
    let algorithms = sign.iter().map(|support| support.algorithm).collect();
    KeySpec { key_type, usage: Usage::Sign(algorithms) }
}

/// Long enough for an RSA-4096 key on a busy machine; no case waits for it.
fn soon() -> OpContext {
    OpContext::within(Duration::from_secs(120))
}

fn message(text: impl Into<Bytes>) -> SignInput {
    SignInput::Message(text.into())
}

/// The digest that an algorithm takes of a message.
fn digest(algorithm: SignatureAlgorithm, message: &[u8]) -> SignInput {
    let hash = algorithm.hash().unwrap();
    SignInput::Digest { hash, value: Bytes::copy_from_slice(hash.digest(message).as_ref()) }
}

fn describe(input: &SignInput) -> String {
    match input {
        SignInput::Message(bytes) => format!("a message of {} bytes", bytes.len()),
        SignInput::Digest { hash, value } => format!("a {hash} digest of {} bytes", value.len()),
    }
}

/// Demands a refusal of one of these classes.
#[track_caller]
fn must_refuse<T>(answer: Result<T, Error>, classes: &[Class], what: &str) {
    match answer {
        Ok(_) => panic!("{what} succeeded, expected one of {classes:?}"),
        Err(error) => {
            assert!(
                classes.contains(&error.class()),
                "{what}: {:?} ({error}), expected {classes:?}",
                error.class()
            );
        }
    }
}
