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
//! | `keys`, `sign` | the cryptography, all of it from one library |
//!
//! **Invariant:** no key leaves before it was sealed, unsealed again, and its
//! signature was verified with its public half.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use skms_backend::{
    Capabilities, Class, Cost, Device, Error, FoundKey, GeneratedKey, KeyBackend, KeyRef, KeySpec, KeyTag,
    KeyType, Observer, OpContext, Operation, Selector, SignInput, Signature, SignatureAlgorithm, Workers,
    WorkersStatus,
};

mod capabilities;
mod config;
mod keys;
mod master_key;
mod seal;
mod sign;
mod unsealed;

pub use config::Config;

use self::{keys::PrivateKey, master_key::MasterKey, seal::Sealer, unsealed::UnsealedKeys};

/// A backend whose keys are in the memory of this process.
pub struct SoftwareBackend {
    capabilities: Capabilities,
    workers: Workers<Software>,
}

impl SoftwareBackend {
    /// Reads the master key and starts the threads, which are named after the
    /// backend. `observer` hears how long each call waited and worked. It blocks.
    ///
    /// # Errors
    /// [`Class::Broken`] when there is no usable master key, or no thread; it
    /// says what is wrong with the master key and never what it is.
    pub fn open(name: &str, config: &Config, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let broken = |error: String| Error::new(Class::Broken, Operation::Open).detail(error);
        let master = MasterKey::read(&config.master_key).map_err(|cause| {
            Error::new(Class::Broken, Operation::Open).detail("there is no master key").source(cause)
        })?;
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
        unsealed::open(&self.workers.device().sealer, key, Operation::Open).map(drop)
    }
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
        let key_type = spec.key_type;
        if let Some(unfit) = spec.signature_algorithms.iter().find(|algorithm| !algorithm.fits(key_type)) {
            return Err(Error::new(Class::Unsupported, Operation::Generate)
                .detail(format!("a key of type {key_type} cannot sign with {unfit}")));
        }
        let cost = if key_type.rsa_bits().is_some() { Cost::Slow } else { Cost::Fast };
        let job = move |software: &Software, _: &mut ()| software.generate(key_type, tag);
        self.workers.run(Operation::Generate, cost, ctx, job).await
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
        let count = inputs.len();
        if self.capabilities.sign(key.key_type, algorithm).is_none() {
            let error = Error::new(Class::Unsupported, Operation::Sign)
                .detail(format!("a key of type {} cannot sign with {algorithm}", key.key_type));
            return vec![Err(error); count];
        }
        if count == 0 {
            return Vec::new();
        }
        let (key, frame) = (key.clone(), ctx.clone());
        let job = move |software: &Software, _: &mut ()| software.sign(&key, algorithm, &inputs, &frame);
        match self.workers.run(Operation::Sign, Cost::Fast, ctx, job).await {
            Ok(results) => results,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn close(&self) {
        self.workers.close().await;
    }
}

/// What all threads share; a thread needs nothing of its own.
struct Software {
    sealer: Sealer,
    unsealed: UnsealedKeys,
}

impl Device for Software {
    type Context = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Software {
    fn generate(&self, key_type: KeyType, tag: KeyTag) -> Result<GeneratedKey, Error> {
        const OPERATION: Operation = Operation::Generate;
        let broken = |step: &'static str| Error::new(Class::Broken, OPERATION).detail(step);
        let fresh = PrivateKey::generate(key_type).map_err(|error| broken("making").source(error))?;
        let public_key = fresh.public_key(key_type).map_err(|error| broken("public half").source(error))?;
        let pkcs8 = fresh.to_pkcs8().map_err(|error| broken("encoding").source(error))?;
        let blob =
            self.sealer.seal(tag, key_type, &pkcs8).map_err(|error| broken("sealing").source(error))?;

        // What is checked is what is given out: the key that is in the blob.
        let sealed = KeyRef { tag, key_type, blob };
        let unsealed = unsealed::open(&self.sealer, &sealed, OPERATION)
            .map_err(|error| broken("unsealing").source(error))?;
        let input = SignInput::Message(bytes::Bytes::from_static(b"pairwise consistency"));
        let algorithm = SignatureAlgorithm::of(key_type).next().ok_or_else(|| broken("no algorithm"))?;
        let Signature(signature) = sign::sign(&unsealed, algorithm, &input)
            .map_err(|error| broken("first signature").source(error))?;
        if !public_key.verify(algorithm, &input, &signature) {
            return Err(broken("the new key's signature does not verify"));
        }
        Ok(GeneratedKey { public_key, blob: sealed.blob })
    }

    fn sign(
        &self,
        key: &KeyRef,
        algorithm: SignatureAlgorithm,
        inputs: &[SignInput],
        ctx: &OpContext,
    ) -> Result<Vec<Result<Signature, Error>>, Error> {
        let unsealed = self.unsealed.get(&self.sealer, key)?;
        let one = |input| {
            // The caller has been answered by then; this only saves the work.
            if ctx.cancellation.is_cancelled() {
                return Err(Error::new(Class::Cancelled, Operation::Sign));
            }
            if ctx.deadline <= Instant::now() {
                return Err(Error::new(Class::Timeout, Operation::Sign));
            }
            sign::sign(&unsealed.key, algorithm, input)
        };
        Ok(inputs.iter().map(one).collect())
    }

    /// Seals and unseals: the random source, the master key and the cipher at work.
    fn probe(&self, operation: Operation) -> Result<(), Error> {
        const SAMPLE: &[u8] = b"probe";
        let broken = |detail: String| Error::new(Class::Broken, operation).detail(detail);
        let tag = KeyTag::random().ok_or_else(|| broken("the system gives no random bytes".to_owned()))?;
        let key_type = KeyType::Ed25519;
        let read = self
            .sealer
            .seal(tag, key_type, SAMPLE)
            .and_then(|blob| self.sealer.unseal(tag, key_type, &blob))
            .map_err(|error| broken(error.to_string()))?;
        if read.as_slice() == SAMPLE {
            Ok(())
        } else {
            Err(broken("what was sealed did not come back".to_owned()))
        }
    }
}
