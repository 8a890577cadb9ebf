//! The contract between the gateway and its key hardware.
//!
//! A *backend* is a device, or a pool of device contexts, that makes keys and
//! uses them. It knows no names, owners, states or policies: those belong to the
//! gateway's catalog. It sees an opaque [`KeyRef`] and the random [`KeyTag`]
//! under which the key was made.
//!
//! | read | for |
//! |---|---|
//! | [`KeyBackend`] | what every backend must do |
//! | [`Capabilities`] | what a device says it can do; the conformance suite demands exactly that |
//! | [`Workers`] | the one way in which threads, queues and deadlines meet a device |
//! | [`Error`], [`Class`] | what went wrong, and what is to be done next |
//! | [`PublicKey`] | public keys, and verification in software for every backend |
//!
//! **Invariant:** this crate names no vendor and no other crate of the workspace.
//!
//! **Invariant:** one item and many are the same call: a list in, a result per
//! item out, in the same order and of the same length.

use bytes::Bytes;

mod adoption;
mod algorithm;
mod capabilities;
mod context;
mod ecdsa;
mod encryption;
mod error;
mod key;
mod key_type;
mod public_key;
mod root_key;
mod salted;
mod secret;
mod segments;
mod workers;
mod x509;

pub use adoption::{Adopted, Custody, KeyAdoption, Release};
pub use algorithm::{Hash, SignatureAlgorithm};
pub use capabilities::{
    Capabilities, DeviceIdentity, EncryptSupport, KeyTypeSupport, ProtectionLevel, SignSupport,
};
pub use context::{Flow, OpContext, Priority};
pub use ecdsa::{der_from_p1363, p1363_from_der};
pub use encryption::{
    CHECK_BLOCKS, CHECK_NONCE, CheckValue, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm,
    Salting, associated_data,
};
pub use error::{Class, Error, Operation};
pub use key::{FoundKey, GeneratedKey, KeyRef, KeySpec, KeyTag, Pin, Selector, SignInput, Signature, Usage};
pub use key_type::{KeyType, UnknownKeyType};
pub use public_key::{MalformedPublicKey, PublicKey, PublicNumbers};
pub use root_key::{MalformedRootKey, RootKey};
pub use salted::SaltedKey;
pub use secret::{Secret, SecretRef, SecretRefError};
pub use segments::{Last, SEGMENT_BYTES, SEGMENT_TAG_BYTES, Segments};
pub use workers::{Cost, Device, Observer, Workers, WorkersConfig, WorkersStatus};

/// What every backend does.
///
/// Every call takes an [`OpContext`] with its deadline: a call that is late
/// answers [`Class::Timeout`] at its deadline, whatever the device does.
///
/// Optional powers (key agreement, adoption, attestation; wrapping inside the device
/// to come) are traits of their own, reached through this one. There is no `verify`: public
/// keys are verified in software ([`PublicKey::verify`]).
#[async_trait::async_trait]
pub trait KeyBackend: Send + Sync {
    /// What the device can do, as read from the device when it was opened.
    fn capabilities(&self) -> &Capabilities;

    /// How busy the pool in front of the device is, for health and operators.
    fn status(&self) -> WorkersStatus;

    /// A real, tiny operation that shows whether the device answers.
    ///
    /// # Errors
    /// Whatever keeps the device from answering.
    async fn probe(&self, ctx: &OpContext) -> Result<(), Error>;

    /// Makes a key under `tag`, reads it back and checks that the device gave it
    /// the attributes that were asked for.
    ///
    /// # Errors
    /// [`Class::Unsupported`] when the capabilities do not list the key type. On
    /// any other error the device may hold a part of the key: see [`find`] and
    /// [`destroy`].
    ///
    /// [`find`]: KeyBackend::find
    /// [`destroy`]: KeyBackend::destroy
    async fn generate(&self, spec: &KeySpec, tag: KeyTag, ctx: &OpContext) -> Result<GeneratedKey, Error>;

    /// Takes over material that was made elsewhere, as [`generate`](Self::generate) makes
    /// it: PKCS#8 v1 (RFC 5208) for a key pair, the bare bytes for a secret key.
    ///
    /// # Errors
    /// [`Class::Caller`] when the material is none of this type, or not sound;
    /// [`Class::Unsupported`] when the capabilities do not list it.
    async fn import(
        &self,
        spec: &KeySpec,
        tag: KeyTag,
        material: Secret,
        ctx: &OpContext,
    ) -> Result<GeneratedKey, Error>;

    /// Keys that this gateway made on the device: all of them, or those of a tag.
    /// A backend whose keys live in the catalog alone answers with none.
    ///
    /// # Errors
    /// Whatever keeps the device from answering; never "not found".
    async fn find(&self, selector: Selector, ctx: &OpContext) -> Result<Vec<FoundKey>, Error>;

    /// Removes everything that this gateway made under `tag`. Removing what is
    /// not there succeeds, so that a clean-up can be repeated.
    ///
    /// # Errors
    /// Whatever keeps the device from removing it.
    async fn destroy(&self, tag: KeyTag, ctx: &OpContext) -> Result<(), Error>;

    /// Signs each input with one key and one algorithm.
    ///
    /// ECDSA signatures come as r‖s of fixed width (IEEE P1363); RSA and Ed25519
    /// as their specifications have them. The answer has one result per input,
    /// in the order of the inputs.
    async fn sign(
        &self,
        key: &KeyRef,
        algorithm: SignatureAlgorithm,
        inputs: Vec<SignInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Signature, Error>>;

    /// Encrypts each input with one AES key (SP 800-38D). The associated data is that of
    /// [`associated_data`].
    ///
    /// RSAES-OAEP encrypts with the public half and needs no device
    /// ([`PublicKey::encrypt_oaep`]).
    async fn encrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<EncryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Encrypted, Error>>;

    /// Decrypts each input with one key. Whatever is wrong with an input is
    /// [`Class::Caller`] and says nothing else.
    async fn decrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<DecryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Secret, Error>>;

    /// The message authentication code of each input (FIPS 198-1), of full length.
    async fn mac(&self, key: &KeyRef, inputs: Vec<Bytes>, ctx: &OpContext) -> Vec<Result<Bytes, Error>>;

    /// Random bytes of the device.
    ///
    /// # Errors
    /// [`Class::Unsupported`] for more than the capabilities name.
    async fn random(&self, length: usize, ctx: &OpContext) -> Result<Secret, Error>;

    /// The power to agree on secrets, where the device has it.
    fn agreement(&self) -> Option<&dyn KeyAgreement>;

    /// The power to take over keys that it did not make, where the device has it.
    fn adoption(&self) -> Option<&dyn KeyAdoption>;

    /// The power to say of a key, so that others can check it, that the device holds it.
    fn attestation(&self) -> Option<&dyn KeyAttestation>;

    /// Stops taking work, finishes what was accepted, and closes every context.
    async fn close(&self);
}

/// The power to agree on a secret with the owner of another key.
#[async_trait::async_trait]
pub trait KeyAgreement: Send + Sync {
    /// The shared secret of the private key and `peer`, raw and of full length: the
    /// x-coordinate (SEC 1 §3.3.1) or the 32 bytes of RFC 7748. It is no key until it
    /// went through a key derivation function.
    ///
    /// # Errors
    /// [`Class::Caller`] when `peer` is of another type, or a point of small order.
    async fn agree(&self, key: &KeyRef, peer: &PublicKey, ctx: &OpContext) -> Result<Secret, Error>;
}

/// The power to attest keys.
#[async_trait::async_trait]
pub trait KeyAttestation: Send + Sync {
    /// A signed statement about a key, with `challenge` in it: at most
    /// [`CHALLENGE_BYTES`], so that whoever chose it knows that the statement is new.
    ///
    /// # Errors
    /// [`Class::Unsupported`] where the device keeps the key and does not use it itself.
    async fn attest(&self, key: &KeyRef, challenge: &[u8], ctx: &OpContext) -> Result<Attestation, Error>;
}

/// The longest challenge in a statement: a digest of SHA-256.
pub const CHALLENGE_BYTES: usize = 32;

/// A statement of a device about a key that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The name of the format.
    pub format: &'static str,
    /// The statement, in that format.
    pub statement: Bytes,
    /// The certificates of the key that signed it, each in DER, its own first.
    pub certificates: Vec<Bytes>,
}
