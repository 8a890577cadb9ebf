//! A device that holds keys in a set, and is slow or fails when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use skms_backend::{
    Capabilities, Class, DecryptInput, DeviceIdentity, EncryptInput, Encrypted, EncryptionAlgorithm, Error,
    FoundKey, GeneratedKey, KeyAdoption, KeyAgreement, KeyAttestation, KeyBackend, KeyRef, KeySpec, KeyTag,
    KeyType, KeyTypeSupport, OpContext, Operation, Pin, ProtectionLevel, PublicKey, Secret, Selector,
    SignInput, SignSupport, Signature, SignatureAlgorithm, WorkersStatus,
};
use tokio::sync::{mpsc, watch};

/// What becomes of the next key that is made.
pub(super) enum Fault {
    /// It is on the device, and the answer is this error.
    Fails(Class),
    /// It is on the device, and there is no answer.
    Panics,
}

pub(super) struct Device {
    capabilities: Capabilities,
    held: Mutex<BTreeSet<KeyTag>>,
    faults: Mutex<VecDeque<Fault>>,
    faults_of_removal: Mutex<VecDeque<Class>>,
    begun: mpsc::UnboundedSender<(Operation, KeyTag)>,
    /// Operations that do not come to their end.
    held_up: BTreeMap<&'static str, watch::Sender<bool>>,
}

impl Device {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<(Operation, KeyTag)>) {
        let (begun, beginning) = mpsc::unbounded_channel();
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        let sign = vec![SignSupport { algorithm, digest: true }];
        let device = Self {
            capabilities: Capabilities {
                protection_level: ProtectionLevel::Hsm,
                identity: DeviceIdentity::default(),
                key_types: vec![KeyTypeSupport { sign, ..KeyTypeSupport::new(KeyType::EcP256) }],
                kept_only: Vec::new(),
                max_message_bytes: 1024,
                max_mac_bytes: 1024,
                max_random_bytes: 0,
            },
            held: Mutex::default(),
            faults: Mutex::default(),
            faults_of_removal: Mutex::default(),
            begun,
            held_up: [Operation::Generate, Operation::Destroy]
                .map(|operation| (operation.name(), watch::Sender::new(false)))
                .into(),
        };
        (Arc::new(device), beginning)
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.faults.lock().push_back(fault);
    }

    pub(super) fn fault_of_removal(&self, class: Class) {
        self.faults_of_removal.lock().push_back(class);
    }

    pub(super) fn hold(&self, operation: Operation) {
        self.held_up[operation.name()].send_replace(true);
    }

    pub(super) fn release(&self, operation: Operation) {
        self.held_up[operation.name()].send_replace(false);
    }

    pub(super) fn put(&self, tag: KeyTag) {
        self.held.lock().insert(tag);
    }

    pub(super) fn holds(&self, tag: KeyTag) -> bool {
        self.held.lock().contains(&tag)
    }

    pub(super) fn count(&self) -> usize {
        self.held.lock().len()
    }

    async fn begin(&self, operation: Operation, tag: KeyTag) {
        // A test that has seen enough does not listen any more.
        let _ = self.begun.send((operation, tag));
        self.held_up[operation.name()].subscribe().wait_for(|held_up| !held_up).await.unwrap();
    }
}

#[async_trait]
impl KeyBackend for Device {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn status(&self) -> WorkersStatus {
        WorkersStatus::default()
    }

    async fn probe(&self, _: &OpContext) -> Result<(), Error> {
        Ok(())
    }

    async fn generate(&self, spec: &KeySpec, tag: KeyTag, _: &OpContext) -> Result<GeneratedKey, Error> {
        self.begin(Operation::Generate, tag).await;
        self.put(tag);
        match self.faults.lock().pop_front() {
            None => {}
            Some(Fault::Fails(class)) => return Err(Error::new(class, Operation::Generate)),
            Some(Fault::Panics) => panic!("the driver fails"),
        }
        let spki = Bytes::copy_from_slice(tag.as_bytes());
        Ok(GeneratedKey { pin: Pin::Public(PublicKey::from_stored(spec.key_type, spki)), blob: Bytes::new() })
    }

    async fn find(&self, selector: Selector, _: &OpContext) -> Result<Vec<FoundKey>, Error> {
        assert_eq!(selector, Selector::Own);
        let held = self.held.lock();
        Ok(held.iter().map(|tag| FoundKey { tag: *tag, pin: None, blob: Bytes::new() }).collect())
    }

    async fn destroy(&self, tag: KeyTag, _: &OpContext) -> Result<(), Error> {
        self.begin(Operation::Destroy, tag).await;
        if let Some(class) = self.faults_of_removal.lock().pop_front() {
            return Err(Error::new(class, Operation::Destroy));
        }
        self.held.lock().remove(&tag);
        Ok(())
    }

    async fn sign(
        &self,
        _: &KeyRef,
        _: SignatureAlgorithm,
        inputs: Vec<SignInput>,
        _: &OpContext,
    ) -> Vec<Result<Signature, Error>> {
        inputs.iter().map(|_| Err(Error::new(Class::Unsupported, Operation::Sign))).collect()
    }

    async fn import(&self, _: &KeySpec, _: KeyTag, _: Secret, _: &OpContext) -> Result<GeneratedKey, Error> {
        Err(Error::new(Class::Unsupported, Operation::Import))
    }

    async fn encrypt(
        &self,
        _: &KeyRef,
        _: EncryptionAlgorithm,
        _: Vec<EncryptInput>,
        _: &OpContext,
    ) -> Vec<Result<Encrypted, Error>> {
        Vec::new()
    }

    async fn decrypt(
        &self,
        _: &KeyRef,
        _: EncryptionAlgorithm,
        _: Vec<DecryptInput>,
        _: &OpContext,
    ) -> Vec<Result<Secret, Error>> {
        Vec::new()
    }

    async fn mac(&self, _: &KeyRef, _: Vec<Bytes>, _: &OpContext) -> Vec<Result<Bytes, Error>> {
        Vec::new()
    }

    async fn random(&self, _: usize, _: &OpContext) -> Result<Secret, Error> {
        Err(Error::new(Class::Unsupported, Operation::Random))
    }

    fn agreement(&self) -> Option<&dyn KeyAgreement> {
        None
    }

    fn adoption(&self) -> Option<&dyn KeyAdoption> {
        None
    }

    fn attestation(&self) -> Option<&dyn KeyAttestation> {
        None
    }

    async fn close(&self) {}
}
