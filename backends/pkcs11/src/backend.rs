//! The token as a [`KeyBackend`]: each call becomes one job of one session.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cryptoki::{
    slot::{Limit, TokenInfo},
    types::RawAuthPin,
};
use skms_backend::{
    Capabilities, Class, Cost, DecryptInput, DeviceIdentity, EncryptInput, Encrypted, EncryptionAlgorithm,
    Error, FoundKey, GeneratedKey, KeyAgreement, KeyBackend, KeyRef, KeySpec, KeyTag, Observer, OpContext,
    Operation, Secret, Selector, SignInput, Signature, SignatureAlgorithm, Workers, WorkersStatus,
};
use tracing::{info, warn};

use crate::{
    Config, discover,
    error::device,
    keys,
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
    workers: Workers<Token>,
}

impl Pkcs11Backend {
    /// Loads the module, finds the token, logs in, and finds out what it can do.
    /// This blocks, for as long as the device takes.
    ///
    /// `name` names the threads and log lines; `instance` is the random id of the
    /// gateway's catalog, which marks the objects that are its own; `observer` hears
    /// how long each call waited and worked.
    ///
    /// # Errors
    /// [`Class::Pin`] when the PIN was refused, or trying it could lock the token;
    /// [`Class::Reinitialize`] when the token is not there; anything else that
    /// keeps the token from being used.
    pub fn open(
        name: &str,
        config: &Config,
        instance: &str,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let opening = || Error::new(Class::Broken, Operation::Open);
        if instance.is_empty() {
            return Err(opening().detail("a gateway without an id has no objects of its own"));
        }
        let pin = config.pin.read_text().map_err(|error| opening().source(error))?;
        let pin = RawAuthPin::new(Box::new(pin.expose().to_vec()));
        let module = Module::load(&config.module)?;
        let (token, info, capabilities) = {
            let generation = module.enter();
            let (slot, info) = slots::choose(&module, &config.token)?;
            let mut token = Token::new(
                Arc::clone(&module),
                config.token.clone(),
                (slot, &info),
                *generation,
                pin,
                format!("skms:{instance}"),
            );
            let mechanisms = Mechanisms::read(&module.pkcs11, slot)?;
            token.recipes = discover::recipes(&token, &mechanisms, *generation)?;
            let identity = identity(&module, &info);
            let capabilities = discover::capabilities(&token, config.protection_level, identity)?;
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
        Ok(Self { capabilities, workers: Workers::start(name, token, &pool, observer)? })
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
        let spec = spec.clone();
        let deadline = ctx.deadline;
        self.workers
            .run(Operation::Generate, CHANGES_OBJECTS, ctx, move |token, context| {
                keys::generate(token, context, &spec, tag, deadline)
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
        let recipe = self.workers.device().recipe(key.key_type);
        let Some(route) = recipe.and_then(|recipe| recipe.route(algorithm)) else {
            return inputs.iter().map(|_| Err(Error::new(Class::Unsupported, Operation::Sign))).collect();
        };
        let checks: Vec<Result<(), Error>> =
            inputs.iter().map(|input| sign::check(algorithm, route, input)).collect();
        let good: Vec<SignInput> = inputs
            .into_iter()
            .zip(&checks)
            .filter_map(|(input, check)| check.is_ok().then_some(input))
            .collect();
        let mut signed = Ok(Vec::new());
        if !good.is_empty() {
            let tag = key.tag;
            let request = Request { key_type: key.key_type, algorithm, route };
            let frame = ctx.clone();
            signed = self
                .workers
                .run(Operation::Sign, Cost::Fast, ctx, move |token, context| {
                    sign::batch(token, context, tag, request, &good, &frame)
                })
                .await;
        }
        let mut signed = signed.map(Vec::into_iter);
        checks
            .into_iter()
            .map(|check| {
                check?;
                match &mut signed {
                    Ok(results) => results.next().unwrap_or_else(|| {
                        Err(Error::new(Class::Broken, Operation::Sign).detail("an input has no result"))
                    }),
                    Err(error) => Err(error.clone()),
                }
            })
            .collect()
    }

    async fn import(&self, _: &KeySpec, _: KeyTag, _: Secret, _: &OpContext) -> Result<GeneratedKey, Error> {
        Err(Error::new(Class::Unsupported, Operation::Import))
    }

    async fn encrypt(
        &self,
        _: &KeyRef,
        _: EncryptionAlgorithm,
        inputs: Vec<EncryptInput>,
        _: &OpContext,
    ) -> Vec<Result<Encrypted, Error>> {
        inputs.iter().map(|_| Err(Error::new(Class::Unsupported, Operation::Encrypt))).collect()
    }

    async fn decrypt(
        &self,
        _: &KeyRef,
        _: EncryptionAlgorithm,
        inputs: Vec<DecryptInput>,
        _: &OpContext,
    ) -> Vec<Result<Secret, Error>> {
        inputs.iter().map(|_| Err(Error::new(Class::Unsupported, Operation::Decrypt))).collect()
    }

    async fn mac(&self, _: &KeyRef, inputs: Vec<Bytes>, _: &OpContext) -> Vec<Result<Bytes, Error>> {
        inputs.iter().map(|_| Err(Error::new(Class::Unsupported, Operation::Mac))).collect()
    }

    async fn random(&self, _: usize, _: &OpContext) -> Result<Secret, Error> {
        Err(Error::new(Class::Unsupported, Operation::Random))
    }

    fn agreement(&self) -> Option<&dyn KeyAgreement> {
        None
    }

    async fn close(&self) {
        self.workers.close().await;
        // One call that closes a session; every other one is closed already.
        self.workers.device().close();
    }
}

/// What makes, removes or looks for objects waits for the lock around them, and
/// with it for an RSA key that another session is making: never on the last session.
const CHANGES_OBJECTS: Cost = Cost::Slow;
