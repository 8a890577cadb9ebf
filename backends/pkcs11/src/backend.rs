//! The token as a [`KeyBackend`]: each call becomes one job of one session.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cryptoki::slot::{Limit, TokenInfo};
use skms_backend::{
    Capabilities, Class, Cost, DecryptInput, DeviceIdentity, EncryptInput, Encrypted, EncryptionAlgorithm,
    Error, FoundKey, GeneratedKey, KeyAdoption, KeyAgreement, KeyAttestation, KeyBackend, KeyRef, KeySpec,
    KeyTag, Observer, OpContext, Operation, Secret, Selector, SignInput, Signature, SignatureAlgorithm,
    Workers, WorkersStatus,
};
use tracing::{info, warn};

use crate::{
    Config,
    batch::each,
    cipher, discover,
    duty::Duty,
    error::device,
    keys,
    latch::Latch,
    make,
    mechanism::Mechanisms,
    module::Module,
    selector::unpadded,
    session::Token,
    sign::{self, Request},
    slots,
};

/// Keys in one token of one PKCS#11 module.
pub struct Pkcs11Backend {
    capabilities: Capabilities,
    pub(crate) destroys_adopted: bool,
    pub(crate) workers: Workers<Token>,
}

impl Pkcs11Backend {
    /// Loads the module, finds the token, logs in, and finds out what it can do.
    /// This blocks, for as long as the device takes.
    ///
    /// `name` names the threads and log lines; `instance` is the random id of the
    /// gateway's catalog, which marks the objects that are its own; `refused_pin` is the file
    /// that remembers a refused PIN over restarts; `observer` hears how long each call waited
    /// and worked.
    ///
    /// # Errors
    /// [`Class::Pin`] when the PIN was refused, or trying it could lock the token;
    /// [`Class::Reinitialize`] when the token is not there; anything else that
    /// keeps the token from being used.
    pub fn open(
        name: &str,
        config: &Config,
        instance: &str,
        refused_pin: Option<&Path>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let opening = || Error::new(Class::Broken, Operation::Open);
        if instance.is_empty() {
            return Err(opening().detail("a gateway without an id has no objects of its own"));
        }
        let pin = config.pin.read_text().map_err(|error| opening().source(error))?;
        let module = Module::load(&config.module)?;
        let (token, info, capabilities) = {
            let generation = module.enter();
            let (slot, info) = slots::choose(&module, &config.token)?;
            let mut token = Token::new(
                Arc::clone(&module),
                config.token.clone(),
                (slot, &info),
                *generation,
                (pin, Latch::new(refused_pin)),
                format!("skms:{instance}"),
            );
            let mechanisms = Mechanisms::read(&module.pkcs11, slot)?;
            token.recipes = discover::recipes(&token, &mechanisms, *generation)?;
            let identity = identity(&module, &info);
            let capabilities =
                discover::capabilities(&token, config.protection_level, identity, *generation)?;
            (token, info, capabilities)
        };
        let mut pool = config.workers();
        if let Limit::Max(most) = info.max_rw_session_count() {
            // One session holds the login.
            let free = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(1);
            if let Some(free) = std::num::NonZeroUsize::new(free)
                && free < pool.contexts
            {
                warn!(backend = name, sessions = free, "the token has fewer sessions than configured");
                pool.contexts = free;
            }
        }
        info!(
            backend = name,
            label = token.name.label,
            serial = token.name.serial,
            library = capabilities.identity.library,
            sessions = pool.contexts,
            key_types = offered(&capabilities),
            "token opened"
        );
        let workers = Workers::start(name, token, &pool, observer)?;
        Ok(Self { capabilities, destroys_adopted: config.destroy_adopted, workers })
    }
}

fn offered(capabilities: &Capabilities) -> String {
    let names: Vec<&str> = capabilities.key_types.iter().map(|support| support.key_type.name()).collect();
    names.join(" ")
}

fn identity(module: &Module, info: &TokenInfo) -> DeviceIdentity {
    let name = slots::name(info);
    // What the library says of itself is for people; that it says nothing is no fault.
    let library = module.pkcs11.get_library_info().map_or_else(
        |_| module.path.display().to_string(),
        |library| format!("{} {}", unpadded(library.library_description()), library.library_version()),
    );
    DeviceIdentity {
        kind: "pkcs11".to_owned(),
        manufacturer: name.manufacturer,
        model: name.model,
        serial: name.serial,
        label: name.label,
        firmware: info.firmware_version().to_string(),
        library,
    }
}

#[async_trait]
impl KeyBackend for Pkcs11Backend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn status(&self) -> WorkersStatus {
        self.workers.status()
    }

    async fn probe(&self, ctx: &OpContext) -> Result<(), Error> {
        self.workers
            .run(Operation::Probe, Cost::Fast, ctx, |token, context| {
                token.run(context, Operation::Probe, |link| {
                    // Random numbers alone would not show that a SoftHSM token is gone.
                    token.present(link, Operation::Probe)?;
                    let mut random = [0; 16];
                    link.session.generate_random_slice(&mut random).map_err(device(Operation::Probe))
                })
            })
            .await
    }

    async fn generate(&self, spec: &KeySpec, tag: KeyTag, ctx: &OpContext) -> Result<GeneratedKey, Error> {
        let (spec, deadline) = (spec.clone(), ctx.deadline);
        self.workers
            .run(Operation::Generate, CHANGES_OBJECTS, ctx, move |token, context| {
                make::make(token, context, (&spec, tag), None, deadline)
            })
            .await
    }

    async fn import(
        &self,
        spec: &KeySpec,
        tag: KeyTag,
        material: Secret,
        ctx: &OpContext,
    ) -> Result<GeneratedKey, Error> {
        let (spec, deadline) = (spec.clone(), ctx.deadline);
        self.workers
            .run(Operation::Import, CHANGES_OBJECTS, ctx, move |token, context| {
                make::make(token, context, (&spec, tag), Some(&material), deadline)
            })
            .await
    }

    async fn find(&self, selector: Selector, ctx: &OpContext) -> Result<Vec<FoundKey>, Error> {
        let deadline = ctx.deadline;
        self.workers
            .run(Operation::Find, CHANGES_OBJECTS, ctx, move |token, context| {
                keys::find(token, context, selector, deadline)
            })
            .await
    }

    async fn destroy(&self, tag: KeyTag, ctx: &OpContext) -> Result<(), Error> {
        let deadline = ctx.deadline;
        self.workers
            .run(Operation::Destroy, CHANGES_OBJECTS, ctx, move |token, context| {
                keys::destroy(token, context, tag, deadline)
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
        let recipe = self.workers.device().recipe(key.key_type, Duty::Sign);
        let Some(route) = recipe.and_then(|recipe| recipe.route(algorithm)) else {
            return unsupported(&inputs, Operation::Sign);
        };
        let request = Request { key_type: key.key_type, algorithm, route };
        let check = |input: &SignInput| sign::check(algorithm, route, input);
        each(&self.workers, key, Operation::Sign, inputs, ctx, check, move |_, link, handle, input| {
            sign::one(&link.session, handle.object, request, input)
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
        let check = cipher::check_encrypt;
        each(&self.workers, key, Operation::Encrypt, inputs, ctx, check, |_, link, handle, input| {
            cipher::encrypt(link, handle, input)
        })
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
        each(&self.workers, key, Operation::Decrypt, inputs, ctx, check, move |token, link, handle, input| {
            cipher::decrypt(token, link, handle, algorithm, input)
        })
        .await
    }

    async fn mac(&self, key: &KeyRef, inputs: Vec<Bytes>, ctx: &OpContext) -> Vec<Result<Bytes, Error>> {
        if self.workers.device().recipe(key.key_type, Duty::Mac).is_none() {
            return unsupported(&inputs, Operation::Mac);
        }
        let check = cipher::check_mac;
        each(&self.workers, key, Operation::Mac, inputs, ctx, check, |_, link, handle, input: &Bytes| {
            cipher::mac(link, handle, input)
        })
        .await
    }

    async fn random(&self, length: usize, ctx: &OpContext) -> Result<Secret, Error> {
        if length > self.capabilities.max_random_bytes {
            return Err(Error::new(Class::Unsupported, Operation::Random).detail("too many bytes at once"));
        }
        self.workers
            .run(Operation::Random, Cost::Fast, ctx, move |token, context| {
                token.run(context, Operation::Random, |link| {
                    let mut bytes = vec![0; length];
                    if length > 0 {
                        link.session.generate_random_slice(&mut bytes).map_err(device(Operation::Random))?;
                    }
                    Ok(Secret::new(bytes))
                })
            })
            .await
    }

    fn agreement(&self) -> Option<&dyn KeyAgreement> {
        let agrees = self.capabilities.key_types.iter().any(|offered| offered.agree);
        agrees.then_some(self as &dyn KeyAgreement)
    }

    fn adoption(&self) -> Option<&dyn KeyAdoption> {
        Some(self)
    }

    fn attestation(&self) -> Option<&dyn KeyAttestation> {
        None
    }

    async fn close(&self) {
        self.workers.close().await;
        // One call that closes a session; every other one is closed already.
        self.workers.device().close();
    }
}

fn unsupported<I, T>(inputs: &[I], operation: Operation) -> Vec<Result<T, Error>> {
    inputs.iter().map(|_| Err(Error::new(Class::Unsupported, operation))).collect()
}

/// What makes, removes or looks for objects waits for the lock around them, and
/// with it for an RSA key that another session is making: never on the last session.
pub(crate) const CHANGES_OBJECTS: Cost = Cost::Slow;
