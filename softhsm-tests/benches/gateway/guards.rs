//! The guards of the gateway, each alone: the very types that it is built of, with the
//! policies that are shipped, and a caller and a key like those of the other rows.
//!
//! What counts is the CPU time of the thread that asks; of the audit log, which has
//! others wait for a thread of its own, that of the whole process. What the kernel does
//! for it on its own threads, as for `fsync`, is in neither.

use std::{
    cell::Cell,
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::id,
    time::{Duration, Instant, SystemTime},
};

use skms::{
    audit::{self, Durability, Facts, InputKind, Log, Outcome, Phase, Record},
    auth::{self, Authenticator, Caller, Evidence},
    model::{Action, ClientCertificate, Key, KeyId, Labels, Origin, Purpose, Rpc, State, Version},
    policy::{self, Policies, Resource},
    rates::{self, Rate, Rates, Work},
};
use skms_backend::{KeyType, ProtectionLevel, SignatureAlgorithm};
use skms_tests::idp::{AUDIENCE, ISSUER, Idp};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    child::{self, Child},
    costs::Guard,
    load::Sample,
    process,
    report::directory,
};

const DIRECTORY: &str = "SKMS_BENCH_DIRECTORY";

/// Starts the process, and gives it a directory on a real disk.
pub(crate) fn start() -> (Child, TempDir) {
    let directory = tempfile::tempdir_in(directory()).unwrap();
    let child = Child::start(child::GUARDS, [(DIRECTORY, directory.path().into())]);
    (child, directory)
}

pub(crate) fn serve() {
    let guards = Guards::open(Path::new(&env::var_os(DIRECTORY).unwrap()));
    child::answer(|name, lanes, time| guards.measure(Guard::named(name), lanes, time));
}

struct Guards {
    runtime: Runtime,
    idp: Idp,
    auth: auth::Config,
    policies: Policies,
    rates: Rates,
    /// One a durability, opened once: of a process whose threads end no CPU time can
    /// be told.
    logs: [(Log, PathBuf); 2],
    key: Key,
    /// How many callers there were.
    callers: Cell<usize>,
}

impl Guards {
    fn open(directory: &Path) -> Self {
        let idp = Idp::new("first");
        fs::write(directory.join("jwks.json"), format!(r#"{{"keys":[{}]}}"#, idp.jwk())).unwrap();
        let auth = format!(
            "[issuers.test]\nissuer = \"{ISSUER}\"\naudiences = [\"{AUDIENCE}\"]\n\
             algorithms = [\"ES256\"]\njwks = \"file:jwks.json\"\n\
             [certificates.mesh]\nca = \"unused.pem\"\nidentity = \"uri\"\nroles = [\"signer\"]\n\
             [unix.operator]\nuid = {UID}\nroles = [\"signer\"]\n",
        );
        // So much that it is never used up; to count it is what costs.
        let rate = Rate { per_second: 1_000_000_000, burst: 1_000_000_000 };
        Self {
            runtime: Runtime::new().unwrap(),
            auth: toml::from_str::<auth::Config>(&auth).unwrap().relative_to(directory),
            policies: Policies::load(&policy::Config { directory: SHIPPED_POLICIES.into() }).unwrap(),
            rates: Rates::new(&rates::Config { caller: rate, key: rate, ..rates::Config::default() }),
            key: key(),
            callers: Cell::new(0),
            logs: [Durability::Write, Durability::Fsync].map(|durability| {
                let path = directory.join(format!("{durability:?}.jsonl"));
                let config = audit::Config { path: path.clone(), durability, ..audit::Config::default() };
                (Log::open(&config).unwrap(), path)
            }),
            idp,
        }
    }

    fn measure(&self, guard: Guard, lanes: usize, time: Duration) -> Sample {
        // Anew each time, so that what it remembers does not grow from round to round.
        let authenticator = Authenticator::open(&self.auth).unwrap();
        match guard {
            Guard::TokenKnown => {
                let header = self.header();
                let authorization: &[&[u8]] = &[header.as_bytes()];
                let evidence = Evidence { authorization, ..Evidence::default() };
                self.runtime.block_on(authenticator.caller(&evidence)).unwrap();
                repeat(time, || authenticator.known(&evidence).unwrap())
            }
            Guard::TokenNew => {
                let headers: Vec<_> = (0..SUPPLY).map(|_| self.header()).collect();
                self.runtime.block_on(async {
                    let whole = Whole::begin();
                    for header in &headers {
                        let authorization: &[&[u8]] = &[header.as_bytes()];
                        let evidence = Evidence { authorization, ..Evidence::default() };
                        assert!(authenticator.known(&evidence).is_none());
                        black_box(authenticator.caller(&evidence).await.unwrap());
                    }
                    whole.end(SUPPLY)
                })
            }
            Guard::Certificate => {
                let certificate = self.certificate();
                let evidence = Evidence { certificate: Some(&certificate), ..Evidence::default() };
                repeat(time, || authenticator.known(&evidence).unwrap())
            }
            Guard::LocalUser => {
                let evidence = Evidence { uid: Some(UID), ..Evidence::default() };
                repeat(time, || authenticator.known(&evidence).unwrap())
            }
            Guard::Remembered => {
                let caller = self.caller(&authenticator);
                repeat(time, || self.authorize(&caller))
            }
            Guard::Asked => {
                let callers: Vec<_> = (0..SUPPLY).map(|_| self.caller(&authenticator)).collect();
                let before = self.policies.evaluations();
                let whole = Whole::begin();
                for caller in &callers {
                    self.authorize(caller);
                }
                let sample = whole.end(SUPPLY);
                assert_eq!(self.policies.evaluations() - before, 2 * SUPPLY, "something was remembered");
                sample
            }
            Guard::Limits => {
                let caller = self.caller(&authenticator);
                let (key, protection) = (&self.key, ProtectionLevel::Software);
                repeat(time, || {
                    let units = rates::of_call(black_box(Rpc::SignMessage));
                    self.rates.charge_caller(caller.id(), units).unwrap();
                    let units = rates::of_work(black_box(Work::Sign), key.key_type, protection);
                    self.rates.charge_caller(caller.id(), units).unwrap();
                    self.rates.charge_key(key.id.as_str(), units).unwrap();
                })
            }
            Guard::AuditWrite => self.audit(&self.logs[0], &self.caller(&authenticator), lanes, time),
            Guard::AuditFsync => self.audit(&self.logs[1], &self.caller(&authenticator), lanes, time),
        }
    }

    /// What a call that signs asks: once before its body is read, once of the key.
    fn authorize(&self, caller: &Caller) {
        let action = Action::SignMessage;
        assert!(self.policies.may_call(caller, action).allowed);
        assert!(self.policies.decide(caller, action, Resource::Key(&self.key)).allowed);
    }

    /// Keeps `lanes` records in flight.
    fn audit(&self, log: &(Log, PathBuf), caller: &Caller, lanes: usize, time: Duration) -> Sample {
        let (log, path) = log;
        let sample = self.runtime.block_on(async {
            let (begun, cpu) = (Instant::now(), process::cpu(id()));
            let mut tasks = JoinSet::new();
            for _ in 0..lanes {
                let (log, caller, key) = (log.clone(), caller.clone(), self.key.clone());
                tasks.spawn(async move {
                    let mut records = 0;
                    while begun.elapsed() < time {
                        append(&log, &caller, &key).await;
                        records += 1;
                    }
                    records
                });
            }
            let records = tasks.join_all().await.into_iter().sum();
            Sample::counted(records, begun.elapsed(), process::cpu(id()) - cpu)
        });
        // It is appended to, so it goes on from its new end.
        fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap();
        sample
    }

    /// The header of a call with a token of its own.
    fn header(&self) -> String {
        format!("Bearer {}", self.idp.token("billing-service", &["signer"]))
    }

    /// A certificate that nobody has shown before.
    fn certificate(&self) -> ClientCertificate {
        let number = self.callers.get() + 1;
        self.callers.set(number);
        let mut fingerprint = [0; 32];
        for (byte, of_number) in fingerprint.iter_mut().zip(number.to_le_bytes()) {
            *byte = of_number;
        }
        ClientCertificate {
            authority: "mesh".to_owned(),
            fingerprint,
            serial: format!("a{number:x}"),
            uris: vec![format!("spiffe://example.org/ns/payments/sa/billing-{number}")],
            dns_names: Vec::new(),
            emails: Vec::new(),
        }
    }

    /// A caller who has not called before.
    fn caller(&self, authenticator: &Authenticator) -> Caller {
        let certificate = self.certificate();
        let evidence = Evidence { certificate: Some(&certificate), ..Evidence::default() };
        authenticator.known(&evidence).unwrap()
    }
}

/// Writes what the gate writes of a signature.
async fn append(log: &Log, caller: &Caller, key: &Key) {
    let record = Record {
        time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        phase: Phase::Outcome,
        request_id: "5b2d5f1e-8f0a-4c9d-9a51-0d6c7e1f2a3b",
        caller: caller.id(),
        issuer: Some(caller.issuer()),
        subject: Some(caller.subject()),
        tenant: caller.tenant(),
        authenticated_by: caller.method().name(),
        certificate: None,
        peer: "127.0.0.1:40312",
        action: Action::SignMessage.name(),
        decision: "allow",
        policies: &["signer".into()],
        key: Some(key.id.as_str()),
        facts: Facts {
            version: Some(1),
            backend: Some(key.backend.clone()),
            algorithm: Some(SignatureAlgorithm::EcdsaP256Sha256.name()),
            input: Some(InputKind::Message),
            input_bytes: Some(crate::rows::MESSAGE.len()),
            ..Facts::default()
        },
        outcome: Some(Outcome::done(Duration::from_micros(123))),
    };
    log.append(&record).await.unwrap();
}

fn key() -> Key {
    let now = SystemTime::now();
    let version = Version {
        number: 1,
        state: State::Enabled,
        backend: "soft".parse().unwrap(),
        protection_level: ProtectionLevel::Software,
        origin: Origin::Generated,
        key: None,
        public_key: None,
        check_value: None,
        operations: 0,
        created: now,
        generated: Some(now),
        compromised: None,
        destroys: None,
        destroyed: None,
    };
    Key {
        id: "ec-p256-soft".parse::<KeyId>().unwrap(),
        key_type: KeyType::EcP256,
        purpose: Purpose::SignVerify,
        uid: uuid::Uuid::nil(),
        encryption_algorithms: Vec::new(),
        signature_algorithms: vec![SignatureAlgorithm::EcdsaP256Sha256],
        protection_floor: None,
        backend: version.backend.clone(),
        labels: Labels::from([("team".to_owned(), "payments".to_owned())]),
        aliases: Vec::new(),
        description: String::new(),
        import_only: false,
        owner: "test/admin".to_owned(),
        tenant: None,
        not_before: None,
        expires: None,
        expiry_warned: None,
        max_operations: None,
        destroy_after: Duration::from_secs(30 * 24 * 60 * 60),
        rotation_period: None,
        next_rotation: None,
        primary: 1,
        min_protect: 1,
        min_process: 1,
        revision: 7,
        created: now,
        updated: now,
        versions: vec![version.into()],
    }
}

/// Does one thing over and over for some time, on this thread.
fn repeat<T>(time: Duration, mut once: impl FnMut() -> T) -> Sample {
    black_box(once());
    let whole = Whole::begin();
    let mut operations = 0;
    while whole.begun.elapsed() < time {
        for _ in 0..BETWEEN_LOOKS {
            black_box(once());
        }
        operations += BETWEEN_LOOKS;
    }
    whole.end(operations)
}

/// What this thread does between two moments.
struct Whole {
    begun: Instant,
    cpu: Duration,
}

impl Whole {
    fn begin() -> Self {
        Self { begun: Instant::now(), cpu: process::cpu_of_this_thread() }
    }

    fn end(self, operations: u64) -> Sample {
        let cpu = process::cpu_of_this_thread() - self.cpu;
        Sample::counted(operations, self.begun.elapsed(), cpu)
    }
}

/// Nothing is done twice where it must be new: so much is made before it is measured.
/// A tenth of a second of tokens to check, for the kernel counts in milliseconds.
const SUPPLY: u64 = 2_000;
/// To ask for the time takes about as long as the shortest of what is measured.
const BETWEEN_LOOKS: u64 = 64;
/// Anybody.
const UID: u32 = 1_000;
/// The policies that are shipped.
const SHIPPED_POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policies");
