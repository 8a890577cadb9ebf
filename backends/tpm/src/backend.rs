//! The TPM as a [`KeyBackend`]: each call becomes one job of the one thread.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use skms_backend::{
    Attestation, CHALLENGE_BYTES, Capabilities, Class, Cost, DecryptInput, EncryptInput, Encrypted,
    EncryptionAlgorithm, Error, FoundKey, GeneratedKey, KeyAdoption, KeyAgreement, KeyAttestation,
    KeyBackend, KeyRef, KeySpec, KeyTag, Observer, OpContext, Operation, PublicKey, SaltedKey, Secret,
    Selector, SignInput, Signature, SignatureAlgorithm, Usage, Workers, WorkersStatus,
};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    Config, attest,
    batch::each,
    cipher,
    device::{Connection, Guard, Link, Tpm},
    discover,
    duty::Duty,
    log,
    make::{self, Order},
    resolve,
    sign::{self, MAX_MESSAGE_BYTES},
};

/// The most random bytes that a TPM gives in one command, at least.
const RANDOM_BYTES: usize = 32;

/// Keys of one TPM.
pub struct TpmBackend {
    capabilities: Capabilities,
    workers: Workers<Tpm>,
}

impl TpmBackend {
    /// Reaches the TPM, makes its storage key, and finds out what it can do. This blocks,
    /// for as long as the TPM takes.
    ///
    /// `name` names the thread and log lines; `sealed` is one of the keys that the TPM has
    /// wrapped earlier, if there is one; `observer` hears how long each call waited and
    /// worked.
    ///
    /// # Errors
    /// [`Class::Pin`] when the owner authorization was refused, or the TPM is in lockout;
    /// [`Class::Reinitialize`] when no TPM answers; [`Class::Key`] when it is not the TPM
    /// that has wrapped `sealed`, or was cleared; anything else that keeps it from being
    /// used.
    pub fn open(
        name: &str,
        config: &Config,
        sealed: Option<&KeyRef>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let opening = || Error::new(Class::Broken, Operation::Open);
        log::follow().map_err(|error| opening().source(error))?;
        let owner_auth = config.owner_auth.as_ref().map(skms_backend::SecretRef::read_text).transpose();
        let owner_auth = owner_auth.map_err(|error| opening().source(error))?;
        let tpm = Tpm::new(config.tcti.clone(), owner_auth, config.trusted_path);
        // The thread makes a connection of its own; this one is gone by then.
        let capabilities = {
            let mut connection = tpm.connect()?;
            if let Some(key) = sealed {
                resolve::recognises(&connection, key)?;
            }
            discover::capabilities(&mut connection)?
        };
        let offered: Vec<&str> = capabilities.key_types.iter().map(|one| one.key_type.name()).collect();
        let (identity, offered) = (&capabilities.identity, offered.join(" "));
        info!(
            backend = name,
            manufacturer = identity.manufacturer,
            model = identity.model,
            firmware = identity.firmware,
            storage_key = identity.serial,
            key_types = offered,
            "TPM opened"
        );
        if config.trusted_path {
            warn!(
                backend = name,
                "whoever listens on the way to the TPM learns the authorization of its keys"
            );
        }
        Ok(Self { capabilities, workers: Workers::start(name, tpm, &config.workers(), observer)? })
    }

    /// Refuses what the TPM does not offer, and says with what a new key is tried.
    fn order(&self, spec: &KeySpec, tag: KeyTag, operation: Operation) -> Result<Order, Error> {
        let unfit = |what: String| {
            let detail = format!("a key of type {} cannot {what} in this TPM", spec.key_type);
            Error::new(Class::Unsupported, operation).detail(detail)
        };
        let offered = self.capabilities.key_type(spec.key_type).ok_or_else(|| unfit("be made".to_owned()))?;
        let mut order = Order {
            tag,
            key_type: spec.key_type,
            duty: Duty::of(&spec.usage),
            signature: None,
            encryption: None,
        };
        match &spec.usage {
            Usage::Sign(algorithms) => {
                let can: Vec<_> = offered.sign.iter().map(|support| support.algorithm).collect();
                if let Some(other) = algorithms.iter().find(|algorithm| !can.contains(algorithm)) {
                    return Err(unfit(format!("sign with {other}")));
                }
                order.signature = algorithms.first().or(can.first()).copied();
                order.signature.ok_or_else(|| unfit("sign".to_owned()))?;
            }
            Usage::Encrypt(algorithms) => {
                let can: Vec<_> = offered.encrypt.iter().map(|support| support.algorithm).collect();
                if let Some(other) = algorithms.iter().find(|algorithm| !can.contains(algorithm)) {
                    return Err(unfit(format!("encrypt with {other}")));
                }
                order.encryption = algorithms.first().or(can.first()).copied();
                order.encryption.ok_or_else(|| unfit("encrypt".to_owned()))?;
            }
            Usage::Mac if !offered.mac => {
                return Err(unfit("make message authentication codes".to_owned()));
            }
            Usage::Agree if !offered.agree => return Err(unfit("agree on secrets".to_owned())),
            Usage::Mac | Usage::Agree => {}
        }
        Ok(order)
    }

    async fn make(
        &self,
        order: Order,
        material: Option<Secret>,
        ctx: &OpContext,
    ) -> Result<GeneratedKey, Error> {
        let operation = if material.is_some() { Operation::Import } else { Operation::Generate };
        let cost = if order.key_type.rsa_bits().is_some() { Cost::Slow } else { Cost::Fast };
        self.job(operation, cost, ctx, move |tpm, connection| {
            make::make(tpm, connection, &order, material.as_ref())
        })
        .await
    }

    /// One job that is not of a list of inputs.
    async fn job<T: Send + 'static>(
        &self,
        operation: Operation,
        cost: Cost,
        ctx: &OpContext,
        mut work: impl FnMut(&Tpm, &mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let job = move |tpm: &Tpm, link: &mut Link| {
            match tpm.run(link, |connection| work(tpm, connection)) {
                // The connection is well, and to make another takes long.
                Err(error) if matches!(error.class(), Class::Caller | Class::Key) => Ok(Err(error)),
                done => done.map(Ok),
            }
        };
        self.workers.run(operation, cost, ctx, job).await?
    }
}

fn unsupported<I, T>(inputs: &[I], operation: Operation) -> Vec<Result<T, Error>> {
    inputs.iter().map(|_| Err(Error::new(Class::Unsupported, operation))).collect()
}

#[async_trait]
impl KeyBackend for TpmBackend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn status(&self) -> WorkersStatus {
        self.workers.status()
    }

    /// Asks for the storage key through the session: a TPM that was reset does not know the
    /// session, and one that was cleared does not know the key.
    async fn probe(&self, ctx: &OpContext) -> Result<(), Error> {
        self.job(Operation::Probe, Cost::Fast, ctx, |_, connection| {
            let parent = connection.parent;
            connection.call(Guard::Sealed, Operation::Probe, |context| context.read_public(parent)).map(drop)
        })
        .await
    }

    async fn generate(&self, spec: &KeySpec, tag: KeyTag, ctx: &OpContext) -> Result<GeneratedKey, Error> {
        self.make(self.order(spec, tag, Operation::Generate)?, None, ctx).await
    }

    async fn import(
        &self,
        spec: &KeySpec,
        tag: KeyTag,
        material: Secret,
        ctx: &OpContext,
    ) -> Result<GeneratedKey, Error> {
        self.make(self.order(spec, tag, Operation::Import)?, Some(material), ctx).await
    }

    /// Always none: every key is in the catalog.
    async fn find(&self, _: Selector, ctx: &OpContext) -> Result<Vec<FoundKey>, Error> {
        self.workers.run(Operation::Find, Cost::Fast, ctx, |_, _| Ok(Vec::new())).await
    }

    /// Drops the key from the TPM and from memory. Its blob is the catalog's to remove.
    async fn destroy(&self, tag: KeyTag, ctx: &OpContext) -> Result<(), Error> {
        self.job(Operation::Destroy, Cost::Fast, ctx, move |tpm, connection| {
            tpm.kept.forget(tag);
            for handle in connection.loaded.forget(tag) {
                connection.flush(handle);
            }
            Ok(())
        })
        .await
    }

    async fn sign(
        &self,
        key: &KeyRef,
        algorithm: SignatureAlgorithm,
        inputs: Vec<SignInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Signature, Error>> {
        if self.capabilities.sign(key.key_type, algorithm).is_none() {
            return unsupported(&inputs, Operation::Sign);
        }
        let check = |input: &SignInput| sign::check(algorithm, input);
        let key = key.clone();
        each(&self.workers, Operation::Sign, inputs, ctx, check, move |tpm, connection, input| {
            let handle = resolve::resolve(connection, &key, Duty::Sign, Operation::Sign)?;
            let guard = if tpm.trusted_path { Guard::Plain } else { Guard::Proof };
            sign::one(connection, handle, (key.key_type, algorithm), guard, input)
        })
        .await
    }

    async fn encrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<EncryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Encrypted, Error>> {
        let offered = self.capabilities.encrypt(key.key_type, algorithm);
        if offered.and_then(|offered| offered.salting).is_none() {
            return unsupported(&inputs, Operation::Encrypt);
        }
        let key = key.clone();
        each(
            &self.workers,
            Operation::Encrypt,
            inputs,
            ctx,
            |_| Ok(()),
            move |tpm, connection, input| {
                let bytes = resolve::unseal(tpm, connection, &key, Operation::Encrypt)?;
                SaltedKey::new(bytes.expose()).encrypt(algorithm, input, MAX_MESSAGE_BYTES)
            },
        )
        .await
    }

    async fn decrypt(
        &self,
        key: &KeyRef,
        algorithm: EncryptionAlgorithm,
        inputs: Vec<DecryptInput>,
        ctx: &OpContext,
    ) -> Vec<Result<Secret, Error>> {
        if self.capabilities.encrypt(key.key_type, algorithm).is_none() {
            return unsupported(&inputs, Operation::Decrypt);
        }
        let check = |input: &DecryptInput| cipher::check_decrypt(key.key_type, algorithm, input);
        let held = key.clone();
        each(&self.workers, Operation::Decrypt, inputs, ctx, check, move |tpm, connection, input| match input
        {
            DecryptInput::Oaep(ciphertext) => {
                let handle = resolve::resolve(connection, &held, Duty::Encrypt, Operation::Decrypt)?;
                cipher::decrypt(connection, handle, algorithm, ciphertext)
            }
            DecryptInput::Authenticated { .. } => {
                let bytes = resolve::unseal(tpm, connection, &held, Operation::Decrypt)?;
                SaltedKey::new(bytes.expose()).decrypt(algorithm, input)
            }
        })
        .await
    }

    async fn mac(&self, key: &KeyRef, inputs: Vec<Bytes>, ctx: &OpContext) -> Vec<Result<Bytes, Error>> {
        if !self.capabilities.key_type(key.key_type).is_some_and(|offered| offered.mac) {
            return unsupported(&inputs, Operation::Mac);
        }
        let longest = self.capabilities.max_mac_bytes;
        let check = |input: &Bytes| cipher::check_mac(longest, input);
        let key = key.clone();
        each(&self.workers, Operation::Mac, inputs, ctx, check, move |_, connection, input| {
            let handle = resolve::resolve(connection, &key, Duty::Mac, Operation::Mac)?;
            cipher::mac(connection, handle, key.key_type, input, Operation::Mac)
        })
        .await
    }

    async fn random(&self, length: usize, ctx: &OpContext) -> Result<Secret, Error> {
        if length > self.capabilities.max_random_bytes {
            return Err(Error::new(Class::Unsupported, Operation::Random).detail("too many bytes at once"));
        }
        self.job(Operation::Random, Cost::Fast, ctx, move |_, connection| {
            let mut bytes = Zeroizing::new(Vec::with_capacity(length));
            while bytes.len() < length {
                let wanted = (length - bytes.len()).min(RANDOM_BYTES);
                let given = connection
                    .call(Guard::Sealed, Operation::Random, |context| context.get_random(wanted))?;
                if given.value().is_empty() || given.value().len() > wanted {
                    let why = "the TPM gave another number of bytes";
                    return Err(Error::new(Class::Broken, Operation::Random).detail(why));
                }
                bytes.extend_from_slice(given.value());
            }
            Ok(Secret::new(std::mem::take(&mut *bytes)))
        })
        .await
    }

    fn agreement(&self) -> Option<&dyn KeyAgreement> {
        let agrees = self.capabilities.key_types.iter().any(|offered| offered.agree);
        agrees.then_some(self as &dyn KeyAgreement)
    }

    fn adoption(&self) -> Option<&dyn KeyAdoption> {
        None
    }

    fn attestation(&self) -> Option<&dyn KeyAttestation> {
        Some(self)
    }

    async fn close(&self) {
        self.workers.close().await;
    }
}

#[async_trait]
impl KeyAgreement for TpmBackend {
    async fn agree(&self, key: &KeyRef, peer: &PublicKey, ctx: &OpContext) -> Result<Secret, Error> {
        if !self.capabilities.key_type(key.key_type).is_some_and(|offered| offered.agree) {
            return Err(Error::new(Class::Unsupported, Operation::Agree));
        }
        if peer.key_type() != key.key_type {
            let why = "the public key of the other side is of another type";
            return Err(Error::new(Class::Caller, Operation::Agree).detail(why));
        }
        let (key, peer) = (key.clone(), peer.clone());
        self.job(Operation::Agree, Cost::Fast, ctx, move |_, connection| {
            let handle = resolve::resolve(connection, &key, Duty::Agree, Operation::Agree)?;
            cipher::agree(connection, handle, key.key_type, &peer)
        })
        .await
    }
}

#[async_trait]
impl KeyAttestation for TpmBackend {
    async fn attest(&self, key: &KeyRef, challenge: &[u8], ctx: &OpContext) -> Result<Attestation, Error> {
        let refuse = |class, why: &'static str| Err(Error::new(class, Operation::Attest).detail(why));
        if self.capabilities.kept_only.contains(&key.key_type) {
            return refuse(Class::Unsupported, "such keys are kept by the TPM and used outside of it");
        }
        if challenge.len() > CHALLENGE_BYTES {
            return refuse(Class::Caller, "the challenge is too long");
        }
        let (key, challenge) = (key.clone(), challenge.to_vec());
        self.job(Operation::Attest, Cost::Slow, ctx, move |_, connection| {
            attest::attest(connection, &key, &challenge)
        })
        .await
    }
}
