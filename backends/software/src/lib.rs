//! Keys in software, encrypted at rest under one master key.
//!
//! Nothing is stored here: a sealed private key goes to the catalog with the key
//! and comes back with every call. It is in clear only in the memory of this
//! process, while it is used and while it is among those used last.
//!
//! | read | for |
//! |---|---|
//! | `seal` | the format of a sealed key |
//! | `unsealed` | which keys stay in clear, and for how long |
//! | `keys`, `sign`, `cipher` | the cryptography, all of it from one library |
//! | `device` | what the threads do |
//!
//! **Invariant:** no key leaves before it was sealed, unsealed again, and did what it
//! is for.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use skms_backend::{
    Capabilities, Class, Cost, DecryptInput, EncryptInput, Encrypted, EncryptionAlgorithm, Error, FoundKey,
    GeneratedKey, KeyAdoption, KeyAgreement, KeyAttestation, KeyBackend, KeyRef, KeySpec, KeyTag, Observer,
    OpContext, Operation, PublicKey, RootKey, Secret, Selector, SignInput, Signature, SignatureAlgorithm,
    Usage, Workers, WorkersStatus,
};

mod capabilities;
mod cipher;
mod config;
mod device;
mod keys;
mod seal;
mod sign;
mod unsealed;

pub use config::{Config, MasterKey};

use self::{device::Software, keys::Duty, seal::Sealer, unsealed::UnsealedKeys};

/// A backend whose keys are in the memory of this process.
pub struct SoftwareBackend {
    capabilities: Capabilities,
    workers: Workers<Software>,
}

impl SoftwareBackend {
    /// Reads the master key and starts the threads, which are named after the
    /// backend. `unsealed` is the master key, where the configuration says that it is
    /// sealed; `observer` hears how long each call waited and worked. It blocks.
    ///
    /// # Errors
    /// [`Class::Broken`] when there is no usable master key, or no thread; it
    /// says what is wrong with the master key and never what it is.
    pub fn open(
        name: &str,
        config: &Config,
        unsealed: Option<RootKey>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let broken = |error: String| Error::new(Class::Broken, Operation::Open).detail(error);
        let none = || broken("there is no master key".to_owned());
        let master = match (&config.master_key, unsealed) {
            (MasterKey::Secret(reference), _) => {
                RootKey::read(reference).map_err(|cause| none().source(cause))?
            }
            (MasterKey::Sealed { .. }, unsealed) => unsealed.ok_or_else(none)?,
        };
        let sealer = Sealer::new(master).map_err(|error| broken(error.to_string()))?;
        let software = Software { sealer, unsealed: UnsealedKeys::new() };
        software.probe(Operation::Open)?;
        Ok(Self {
            capabilities: capabilities::capabilities(),
            workers: Workers::start(name, software, &config.workers(), observer)?,
        })
    }

    /// Whether the master key is the one under which `key` was sealed. To be asked
    /// before any key is made: keys under two master keys can never be used together.
    ///
    /// # Errors
    /// [`Class::Key`] when it is another one, or the key was changed.
    pub fn recognises(&self, key: &KeyRef) -> Result<(), Error> {
        let sealer = &self.workers.device().sealer;
        let opened = |duty| unsealed::open(sealer, key, duty, Operation::Open).map(drop);
        // What the key is for is the catalog's to know.
        let others = [Duty::Encrypt, Duty::Mac, Duty::Agree];
        opened(Duty::Sign).or_else(|error| others.into_iter().find_map(|duty| opened(duty).ok()).ok_or(error))
    }

    /// Refuses what no key of this type can do.
    fn check(&self, spec: &KeySpec, operation: Operation) -> Result<(), Error> {
        let unfit = |what: String| {
            let detail = format!("a key of type {} cannot {what}", spec.key_type);
            Err(Error::new(Class::Unsupported, operation).detail(detail))
        };
        let Some(offered) = self.capabilities.key_type(spec.key_type) else {
            return unfit("be made here".to_owned());
        };
        match &spec.usage {
            Usage::Sign(algorithms) => {
                match algorithms.iter().find(|algorithm| !algorithm.fits(spec.key_type)) {
                    Some(unfitting) => unfit(format!("sign with {unfitting}")),
                    None if offered.sign.is_empty() => unfit("sign".to_owned()),
                    None => Ok(()),
                }
            }
            Usage::Encrypt(algorithms) => {
                match algorithms.iter().find(|algorithm| !algorithm.fits(spec.key_type)) {
                    Some(unfitting) => unfit(format!("encrypt with {unfitting}")),
                    None if offered.encrypt.is_empty() => unfit("encrypt".to_owned()),
                    None => Ok(()),
                }
            }
            Usage::Mac if !offered.mac => unfit("make message authentication codes".to_owned()),
            Usage::Agree if !offered.agree => unfit("agree on secrets".to_owned()),
            Usage::Mac | Usage::Agree => Ok(()),
        }
    }

    /// One job for a list of inputs: a result for each, in their order.
    async fn each<I, T>(
        &self,
        (key, duty): (&KeyRef, Duty),
        operation: Operation,
        inputs: Vec<I>,
        ctx: &OpContext,
        one: impl Fn(&keys::Material, &I) -> Result<T, Error> + Send + 'static,
    ) -> Vec<Result<T, Error>>
    where
        I: Send + 'static,
        T: Send + 'static,
    {
        let count = inputs.len();
        if count == 0 {
            return Vec::new();
        }
        let (key, frame) = (key.clone(), ctx.clone());
        let job = move |software: &Software, _: &mut ()| {
            software.each((&key, duty), operation, &inputs, &frame, one)
        };
        match self.workers.run(operation, Cost::Fast, ctx, job).await {
            Ok(results) => results,
            Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
        }
    }
}

fn refused<T>(count: usize, error: &Error) -> Vec<Result<T, Error>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

#[async_trait]
impl KeyBackend for SoftwareBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn status(&self) -> WorkersStatus {
        self.workers.status()
    }

    async fn probe(&self, ctx: &OpContext) -> Result<(), Error> {
        let job = |software: &Software, _: &mut ()| software.probe(Operation::Probe);
        self.workers.run(Operation::Probe, Cost::Fast, ctx, job).await
    }

    async fn generate(&self, spec: &KeySpec, tag: KeyTag, ctx: &OpContext) -> Result<GeneratedKey, Error> {
        self.check(spec, Operation::Generate)?;
        let (key_type, duty) = (spec.key_type, Duty::of(&spec.usage));
        let cost = if key_type.rsa_bits().is_some() { Cost::Slow } else { Cost::Fast };
        let job = move |software: &Software, _: &mut ()| software.generate(key_type, duty, tag);
        self.workers.run(Operation::Generate, cost, ctx, job).await
    }

    async fn import(
        &self,
        spec: &KeySpec,
        tag: KeyTag,
        material: Secret,
        ctx: &OpContext,
    ) -> Result<GeneratedKey, Error> {
        self.check(spec, Operation::Import)?;
        let (key_type, duty) = (spec.key_type, Duty::of(&spec.usage));
        let job = move |software: &Software, _: &mut ()| software.import(key_type, duty, tag, &material);
        self.workers.run(Operation::Import, Cost::Fast, ctx, job).await
    }

    /// Always none: every key is in the catalog.
    async fn find(&self, _: Selector, ctx: &OpContext) -> Result<Vec<FoundKey>, Error> {
        self.workers.run(Operation::Find, Cost::Fast, ctx, |_, ()| Ok(Vec::new())).await
    }

    /// Drops the key from memory. Its blob is the catalog's to remove.
    async fn destroy(&self, tag: KeyTag, ctx: &OpContext) -> Result<(), Error> {
        let job = move |software: &Software, _: &mut ()| {
            software.unsealed.forget(tag);
            Ok(())
        };
        self.workers.run(Operation::Destroy, Cost::Fast, ctx, job).await
    }

    async fn sign(
        &self,
        key: &KeyRef,
        algorithm: SignatureAlgorithm,
        inputs: Vec<SignInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Signature, Error>> {
        if self.capabilities.sign(key.key_type, algorithm).is_none() {
            let error = Error::new(Class::Unsupported, Operation::Sign)
                .detail(format!("a key of type {} cannot sign with {algorithm}", key.key_type));
            return refused(inputs.len(), &error);
        }
        let one = move |key: &keys::Material, input: &SignInput| sign::sign(key, algorithm, input);
        self.each((key, Duty::Sign), Operation::Sign, inputs, ctx, one).await
    }

    async fn encrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<EncryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Encrypted, Error>> {
        if !algorithm.fits(key.key_type) {
            return refused(inputs.len(), &Error::new(Class::Unsupported, Operation::Encrypt));
        }
        let one = move |key: &keys::Material, input: &EncryptInput| cipher::encrypt(key, algorithm, input);
        self.each((key, Duty::Encrypt), Operation::Encrypt, inputs, ctx, one).await
    }

    async fn decrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<DecryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Secret, Error>> {
        if !algorithm.fits(key.key_type) {
            return refused(inputs.len(), &Error::new(Class::Unsupported, Operation::Decrypt));
        }
        let one = move |key: &keys::Material, input: &DecryptInput| cipher::decrypt(key, algorithm, input);
        self.each((key, Duty::Encrypt), Operation::Decrypt, inputs, ctx, one).await
    }

    async fn mac(&self, key: &KeyRef, inputs: Vec<Bytes>, ctx: &OpContext) -> Vec<Result<Bytes, Error>> {
        let key_type = key.key_type;
        if key_type.mac_hash().is_none() {
            return refused(inputs.len(), &Error::new(Class::Unsupported, Operation::Mac));
        }
        let one = move |key: &keys::Material, input: &Bytes| cipher::mac(key, key_type, input);
        self.each((key, Duty::Mac), Operation::Mac, inputs, ctx, one).await
    }

    async fn random(&self, length: usize, ctx: &OpContext) -> Result<Secret, Error> {
        if length > self.capabilities.max_random_bytes {
            return Err(Error::new(Class::Unsupported, Operation::Random).detail("too many bytes at once"));
        }
        let job = move |_: &Software, _: &mut ()| device::random(length);
        self.workers.run(Operation::Random, Cost::Fast, ctx, job).await
    }

    fn agreement(&self) -> Option<&dyn KeyAgreement> {
        Some(self)
    }

    fn adoption(&self) -> Option<&dyn KeyAdoption> {
        None
    }

    fn attestation(&self) -> Option<&dyn KeyAttestation> {
        None
    }

    async fn close(&self) {
        self.workers.close().await;
    }
}

#[async_trait]
impl KeyAgreement for SoftwareBackend {
    async fn agree(&self, key: &KeyRef, peer: &PublicKey, ctx: &OpContext) -> Result<Secret, Error> {
        if keys::agreement(key.key_type).is_none() {
            return Err(Error::new(Class::Unsupported, Operation::Agree));
        }
        if peer.key_type() != key.key_type {
            let why = "the public key of the other side is of another type";
            return Err(Error::new(Class::Caller, Operation::Agree).detail(why));
        }
        let one = |key: &keys::Material, peer: &PublicKey| cipher::agree(key, peer);
        let agreed =
            self.each((key, Duty::Agree), Operation::Agree, vec![peer.clone()], ctx, one).await.pop();
        agreed.unwrap_or_else(|| Err(Error::new(Class::Broken, Operation::Agree)))
    }
}
