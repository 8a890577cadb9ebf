//! Keys that are made by a device that is slow, fails, or dies: what callers are
//! told, what the device holds in the end, and what is recorded.

mod device;

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;
use skms_backend::{Class, KeyTag, KeyType, Operation, Priority};
use tempfile::TempDir;
use tokio::sync::mpsc;
use uuid::Uuid;

use self::device::{Device, Fault};
use super::{schedule::Late, *};
use crate::{
    audit, auth, backends, catalog,
    gate::{self, Reasoned},
    model::{BackendName, Purpose, Reason, State},
    policy::{self, Policies},
    rates::{self, Rates},
};

/// A whole gateway below the protocol, over one device.
struct World {
    keyring: Keyring,
    gate: Gate,
    catalog: Arc<Catalog>,
    device: Arc<Device>,
    /// What the device was asked for, when it begins.
    begun: mpsc::UnboundedReceiver<(Operation, KeyTag)>,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = catalog::Config { path: directory.path().join("catalog.db"), ..Default::default() };
        let catalog = Arc::new(Catalog::open(&config).unwrap());
        let (device, begun) = Device::new();
        let name: BackendName = "device".parse().unwrap();
        let (devices, infos) = backends::of(BTreeMap::from([(name, Arc::clone(&device) as _)]));
        let config = audit::Config { path: directory.path().join("audit.jsonl"), ..Default::default() };
        let policies = directory.path().join("policies");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("all.cedar"), "@id(\"all\") permit (principal, action, resource);").unwrap();
        let policies = Policies::load(&policy::Config { directory: policies }).unwrap();
        let rates = Rates::new(&rates::Config::default());
        let gate = Gate::new(devices, infos, policies, rates, audit::Log::open(&config).unwrap());
        let keyring = Keyring::new(Arc::clone(&catalog), gate.clone(), Limits::default());
        Self { keyring, gate, catalog, device, begun, directory }
    }

    /// Waits until the device begins with an operation, and says with which key.
    async fn begins(&mut self, wanted: Operation) -> KeyTag {
        loop {
            let (operation, tag) = self.begun.recv().await.unwrap();
            if operation == wanted {
                return tag;
            }
        }
    }

    /// How calls of this action ended, as it is recorded.
    fn recorded(&self, action: &str) -> Vec<String> {
        let text = fs::read_to_string(self.directory.path().join("audit.jsonl")).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ended = records.filter(|record| record["action"] == action && record["phase"] == "outcome");
        ended.map(|record| record["result"].as_str().unwrap().to_owned()).collect()
    }

    fn state(&self, name: &str) -> Option<State> {
        self.catalog.lookup(&id(name)).map(|key| key.state())
    }

    fn make(&self, name: &str) -> tokio::task::JoinHandle<Result<Shown, Error>> {
        let (keyring, request) = (self.keyring.clone(), create(name));
        tokio::spawn(async move { keyring.create(&call(LONG), request).await })
    }

    /// As if a crash had left an intent of this key.
    async fn leave_intent(&self, name: &str) -> KeyTag {
        self.device.fault(Fault::Panics);
        self.keyring.create(&call(LONG), create(name)).await.unwrap_err();
        self.catalog.lookup(&id(name)).unwrap().versions[0].key.as_ref().unwrap().tag
    }
}

fn id(name: &str) -> KeyId {
    name.parse().unwrap()
}

fn shown(name: &str) -> Show {
    Show { key: id(name), version: 0, attest: Attest::No }
}

fn call(patience: Duration) -> Call {
    Call {
        caller: auth::Caller::sample("test", "admin", &["admin"], None),
        peer: "test".into(),
        certificate: None,
        request_id: Uuid::new_v4().to_string().into(),
        deadline: std::time::Instant::now() + patience,
        priority: Priority::Normal,
        item: None,
        standing: auth::Standing::default(),
        taken: auth::Taken::default(),
    }
}

fn create(name: &str) -> Create {
    Create {
        id: Some(id(name)),
        key_type: KeyType::EcP256,
        purpose: Purpose::SignVerify,
        signature_algorithms: Vec::new(),
        encryption_algorithms: Vec::new(),
        protection_floor: None,
        backend: None,
        labels: BTreeMap::new(),
        aliases: Vec::new(),
        description: String::new(),
        import_only: false,
        not_before: None,
        expires: None,
        max_operations: None,
        destroy_after: Duration::from_secs(86_400),
        rotation_period: None,
        next_rotation: None,
        repeatable: Some((Uuid::from_u128(1), [1; 32])),
        validate_only: false,
    }
}

fn rotate(name: &str, expected_primary: u32) -> Rotate {
    Rotate { key: id(name), etag: None, expected_primary, repeatable: None, stage_only: false, due: None }
}

#[tokio::test]
async fn a_sweep_that_is_held_up_does_not_remove_what_was_finished_meanwhile() {
    let mut world = World::new();
    let stuck = world.leave_intent("a").await;
    world.device.hold(Operation::Generate);
    let mut request = create("b");
    request.repeatable = None;
    let keyring = world.keyring.clone();
    let making = tokio::spawn(async move { keyring.create(&call(LONG), request).await });
    let made = loop {
        let tag = world.begins(Operation::Generate).await;
        if tag != stuck {
            break tag;
        }
    };
    // The sweep has seen both intents, and hangs at the first one.
    world.device.hold(Operation::Destroy);
    let keyring = world.keyring.clone();
    let sweeping = tokio::spawn(async move { keyring.sweep().await });
    assert_eq!(world.begins(Operation::Destroy).await, stuck);
    world.device.release(Operation::Generate);
    making.await.unwrap().unwrap();
    world.device.release(Operation::Destroy);
    let swept = sweeping.await.unwrap().unwrap();
    assert_eq!((swept.intents, swept.orphans, swept.left), (1, 0, 0));
    assert!(world.device.holds(made), "an acknowledged key was removed");
    assert_eq!((world.state("a"), world.state("b")), (None, Some(State::Enabled)));
}

#[tokio::test]
async fn a_sweep_keeps_off_what_is_being_made() {
    let mut world = World::new();
    world.device.hold(Operation::Generate);
    let making = world.make("k");
    let tag = world.begins(Operation::Generate).await;
    assert_eq!(world.keyring.sweep().await.unwrap(), Swept::default());
    world.device.release(Operation::Generate);
    making.await.unwrap().unwrap();
    assert!(world.device.holds(tag));
}

#[tokio::test]
async fn a_caller_who_does_not_wait_finds_the_key_later() {
    let mut world = World::new();
    world.device.hold(Operation::Generate);
    let late = world.keyring.create(&call(Duration::from_millis(1)), create("k")).await.unwrap_err();
    assert_eq!(late.reason(), Reason::BackendTimeout);
    let tag = world.begins(Operation::Generate).await;
    let running = world.keyring.create(&call(LONG), create("k")).await.unwrap_err();
    assert_eq!(running.reason(), Reason::ConcurrentModification);
    world.device.release(Operation::Generate);
    // The door waits for the work that goes on.
    world.gate.close().await;
    assert_eq!(world.state("k"), Some(State::Enabled));
    assert!(world.device.holds(tag));
    assert_eq!(world.recorded("create-key"), ["CONCURRENT_MODIFICATION", "ok"]);
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_a_whole_key_and_its_record() {
    let mut world = World::new();
    world.device.hold(Operation::Generate);
    let making = world.make("k");
    world.begins(Operation::Generate).await;
    making.abort();
    assert!(making.await.unwrap_err().is_cancelled());
    world.device.release(Operation::Generate);
    world.gate.close().await;
    assert_eq!(world.state("k"), Some(State::Enabled));
    assert_eq!(world.recorded("create-key"), ["ok"]);
}

#[tokio::test]
async fn closing_waits_for_a_key_that_is_being_made_and_admits_no_other() {
    let mut world = World::new();
    world.device.hold(Operation::Generate);
    let making = world.make("k");
    world.begins(Operation::Generate).await;
    let gate = world.gate.clone();
    let closing = tokio::spawn(async move { gate.close().await });
    while world.keyring.show(&call(LONG), shown("k")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let refused = world.keyring.create(&call(LONG), create("other")).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::ShuttingDown);
    assert!(!closing.is_finished());
    world.device.release(Operation::Generate);
    making.await.unwrap().unwrap();
    closing.await.unwrap();
    assert_eq!(world.state("k"), Some(State::Enabled));
}

/// What becomes due while the gateway is at work must not wait until it looks by itself.
#[tokio::test]
async fn what_becomes_due_during_a_round_is_done_in_the_next_one_at_once() {
    let world = World::new();
    let day = Duration::from_secs(86_400);
    let before = SystemTime::now();
    // The catalog counts in milliseconds.
    let due = before + Duration::from_millis(2);
    let request = Create { rotation_period: Some(day), next_rotation: Some(due), ..create("k") };
    world.keyring.create(&call(LONG), request).await.unwrap();
    let latest = || world.catalog.lookup(&id("k")).unwrap().latest();
    while SystemTime::now() < due {
        tokio::task::yield_now().await;
    }
    let mut late = Late::default();
    assert_eq!((world.keyring.round(before, &mut late).await, latest()), (Duration::ZERO, 1));
    world.keyring.round(SystemTime::now(), &mut late).await;
    assert_eq!(latest(), 2);
}

#[tokio::test]
async fn a_panic_is_answered_recorded_and_swept() {
    let world = World::new();
    world.device.fault(Fault::Panics);
    let panicked = world.keyring.create(&call(LONG), create("k")).await.unwrap_err();
    assert!(matches!(panicked, Error::Gate { source: gate::Error::Panicked }));
    assert_eq!(world.recorded("create-key"), ["INTERNAL"]);
    let swept = world.keyring.sweep().await.unwrap();
    assert_eq!((swept.intents, swept.orphans, swept.left), (1, 0, 0));
    world.keyring.create(&call(LONG), create("k")).await.unwrap();
}

#[tokio::test]
async fn a_failed_key_leaves_its_id_and_its_request_id_free() {
    let world = World::new();
    world.device.fault(Fault::Fails(Class::Session));
    world.keyring.create(&call(LONG), create("k")).await.unwrap_err();
    assert_eq!((world.state("k"), world.device.count()), (None, 0));
    world.keyring.create(&call(LONG), create("k")).await.unwrap();
    assert_eq!(world.device.count(), 1);
}

#[tokio::test]
async fn what_a_device_does_not_give_back_at_once_is_removed_by_the_sweep() {
    let mut world = World::new();
    world.device.fault(Fault::Fails(Class::Session));
    world.device.fault_of_removal(Class::Session);
    world.keyring.create(&call(LONG), create("k")).await.unwrap_err();
    let tag = world.begins(Operation::Generate).await;
    // The id is free, though the device has not let go.
    assert!(world.device.holds(tag) && world.state("k").is_none());
    world.keyring.create(&call(LONG), create("k")).await.unwrap();
    let swept = world.keyring.sweep().await.unwrap();
    assert_eq!((swept.intents, swept.orphans, swept.left), (0, 1, 0));
    assert!(!world.device.holds(tag));
    assert_eq!(world.device.count(), 1);
}

#[tokio::test]
async fn a_key_that_took_too_long_gives_its_names_back_and_is_swept() {
    let mut world = World::new();
    world.device.fault(Fault::Fails(Class::Timeout));
    world.keyring.create(&call(LONG), create("k")).await.unwrap_err();
    let late = world.begins(Operation::Generate).await;
    assert!(world.device.holds(late) && world.state("k").is_none());
    world.keyring.create(&call(LONG), create("k")).await.unwrap();
    let swept = world.keyring.sweep().await.unwrap();
    assert_eq!((swept.intents, swept.orphans, swept.left), (0, 1, 0));
    assert!(!world.device.holds(late));
    assert_eq!((world.state("k"), world.device.count()), (Some(State::Enabled), 1));
}

#[tokio::test]
async fn a_rotation_that_lost_a_race_leaves_nothing() {
    let mut world = World::new();
    world.keyring.create(&call(LONG), create("k")).await.unwrap();
    world.begins(Operation::Generate).await;
    world.device.hold(Operation::Generate);
    let mut racing = Vec::new();
    let mut tags = Vec::new();
    for _ in 0..2 {
        let keyring = world.keyring.clone();
        racing.push(tokio::spawn(async move { keyring.rotate(&call(LONG), rotate("k", 1)).await }));
        tags.push(world.begins(Operation::Generate).await);
    }
    world.device.release(Operation::Generate);
    let mut reasons = Vec::new();
    for rotation in racing {
        reasons.extend(rotation.await.unwrap().err().map(|error| error.reason()));
    }
    assert_eq!(reasons, [Reason::PrimaryVersionChanged]);
    let key = world.catalog.lookup(&id("k")).unwrap();
    let held: Vec<_> = key.versions.iter().map(|version| version.key.as_ref().unwrap().tag).collect();
    assert_eq!((held.len(), world.device.count()), (2, 2));
    assert!(held.iter().all(|tag| world.device.holds(*tag)), "{held:?} {tags:?}");
}

#[tokio::test]
async fn a_key_that_the_catalog_has_never_heard_of_is_left_alone() {
    let world = World::new();
    let strange = KeyTag::random().unwrap();
    world.device.put(strange);
    assert_eq!(world.keyring.sweep().await.unwrap(), Swept::default());
    assert!(world.device.holds(strange));
}

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);
