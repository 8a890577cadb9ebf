//! What is measured: the rows of the table, and the processes behind them.

use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};

use skms::{
    client::Client,
    proto::{CreateKeyRequest, KeyParams, SignRequest, SignatureAlgorithm, sign_request::Input},
};
use skms_backend::KeyType;
use skms_tests::{
    gateway::{Gateway, Home},
    swtpm::{self, Swtpm},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    child::{self, Child},
    costs::{self, Guard},
    device, echo, guards,
    load::{Sample, Target, plain},
    process::{self, Memory},
    tpm::{self, Session},
};

/// What is signed, and what the bare server sends back: as long as a signature.
pub(crate) const MESSAGE: &[u8] = &[b'm'; 64];

const KEY_TYPES: [KeyType; 3] = [KeyType::EcP256, KeyType::Rsa2048, KeyType::Ed25519];
/// Calls in flight at a server: one alone, a few for each core, a queue.
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
/// Signatures in one batch, and batches in flight: one is sent while another is made.
pub(crate) const BATCH: usize = 100;
const BATCHES: usize = 2;
/// The backend of a TPM whose path is trusted.
const TRUSTED: &str = "trusted";
/// No backend: what a TPM would take with a session for each signature.
const EACH: &str = "session-each";
/// What stands behind each backend, its name, and how many sessions or threads it has.
const BARE: [(&str, &str, &[usize]); 5] = [
    ("hsm", "SoftHSM2", &[1, 2, 4]),
    ("soft", "aws-lc-rs", &[1, 2]),
    ("tpm", "swtpm, session kept", &[1]),
    (TRUSTED, "swtpm, plain value", &[1]),
    (EACH, "swtpm, session a command", &[1]),
];
/// A guard does the same work each time, and thousands of times a round: it needs only
/// one part in so many of the time of a row.
const GUARDS: f64 = 2.5;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) what: What,
    pub(crate) way: Way,
    /// Calls or items in flight, sessions or threads.
    pub(crate) lanes: usize,
    pub(crate) samples: Vec<Sample>,
}

/// How signatures are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One in each call.
    Call,
    /// [`BATCH`] in each call.
    Batch,
    /// In one stream.
    Stream,
}

/// Who signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Nobody: the bare RPC.
    Echo,
    /// A device or library without a gateway. That of a backend is what this backend
    /// stands on; there is one more, which none stands on.
    Bare { backend: &'static str, key_type: KeyType },
    /// A gateway; 0 is the one that is measured, 1 the one that it is measured against.
    Gateway { number: usize, backend: &'static str, key_type: KeyType },
    /// What a guard of the gateway does for one request, and nothing else.
    Guard(Guard),
}

impl What {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Echo => "bare RPC".to_owned(),
            Self::Bare { backend, key_type } => {
                let (_, bare, _) = BARE.into_iter().find(|(known, ..)| known == backend).unwrap();
                format!("{key_type} bare {bare}")
            }
            Self::Gateway { number: 0, backend, key_type } => format!("{key_type} gateway, {backend}"),
            Self::Gateway { backend, key_type, .. } => format!("{key_type} against, {backend}"),
            Self::Guard(guard) => format!("costs: {}", guard.name()),
        }
    }
}

impl Row {
    pub(crate) fn name(&self) -> String {
        let name = self.what.name();
        match self.way {
            Way::Call => name,
            Way::Batch => format!("{name}, batch of {BATCH}"),
            Way::Stream => format!("{name}, stream"),
        }
    }
}

/// Everything that takes part.
pub(crate) struct Field {
    pub(crate) rows: Vec<Row>,
    runtime: Runtime,
    echo: (Child, Target),
    /// By the name of the backend that stands on it.
    bare: BTreeMap<&'static str, Child>,
    gateways: Vec<Running>,
    /// The guards, and the directory of their files.
    guards: (Child, TempDir),
}

impl Field {
    /// Starts every process and makes the keys. `only` is a part of the names of
    /// the rows that are wanted.
    pub(crate) fn prepare(only: &str) -> Self {
        let begun = Instant::now();
        let runtime = Runtime::new().unwrap();
        let (echo, endpoint) = echo::start();
        let echo_target = runtime.block_on(Target::connect(echo.pid(), &plain(endpoint), "of-nobody"));
        let program = env::var("SKMS_BENCH_PROGRAM");
        let program = program.unwrap_or_else(|_| env!("CARGO_BIN_EXE_skms-failpoints").to_owned());
        let programs = [Some(program), env::var("SKMS_BENCH_AGAINST").ok()];
        let gateways: Vec<_> =
            programs.into_iter().flatten().map(|program| gateway(&runtime, &program)).collect();
        let Some(first) = gateways.first() else { panic!("there is no gateway") };
        let bare = first.bare();
        let mut rows = rows(&first.backends(), gateways.len());
        rows.retain(|row| {
            let named = row.what == What::Echo || row.name().contains(only);
            named || (only == costs::ONLY && costs::stand_on(row))
        });
        println!("prepared in {:.1} s", begun.elapsed().as_secs_f32());
        Self { rows, echo: (echo, echo_target), bare, gateways, guards: guards::start(), runtime }
    }

    /// Measures every row once, in turn.
    pub(crate) fn round(&mut self, time: Duration) {
        let Self { rows, runtime, echo, bare, gateways, guards } = self;
        for row in rows {
            let sample = match row.what {
                What::Echo => {
                    let request = request("soft", KeyType::EcP256);
                    runtime.block_on(echo.1.sign_by(row.way, &request, row.lanes, time))
                }
                What::Bare { backend, key_type } => {
                    bare.get_mut(backend).unwrap().measure(key_type.name(), row.lanes, time)
                }
                What::Guard(guard) => guards.0.measure(guard.name(), row.lanes, time.div_f64(GUARDS)),
                What::Gateway { number, backend, key_type } => {
                    let Running { target, .. } = gateways.get(number).unwrap();
                    let request = request(backend, key_type);
                    // The row before may have used its TPM.
                    runtime.block_on(target.sign_once(&request));
                    runtime.block_on(target.sign_by(row.way, &request, row.lanes, time))
                }
            };
            row.samples.push(sample);
        }
    }

    /// The memory of the gateway that is measured.
    pub(crate) fn memory(&self) -> Memory {
        let Running { gateway, .. } = self.gateways.first().unwrap();
        process::memory(gateway.pid())
    }
}

/// A gateway that takes part.
struct Running {
    home: Home,
    gateway: Gateway,
    target: Target,
    /// A second TPM, whose path is trusted.
    trusted: Option<Swtpm>,
}

impl Running {
    /// Its backends.
    fn backends(&self) -> Vec<&'static str> {
        let mut backends = self.home.backends();
        backends.extend(self.trusted.as_ref().map(|_| TRUSTED));
        backends
    }

    /// What they stand on. SoftHSM2 uses the keys of the gateway, which are there now.
    fn bare(&self) -> BTreeMap<&'static str, Child> {
        let mut bare = BTreeMap::from([("soft", Child::start(child::SOFTWARE, []))]);
        bare.extend(self.home.softhsm().map(|token| ("hsm", device::start(token))));
        let tpm = self.home.tpm();
        bare.extend(tpm.map(|tpm| ("tpm", tpm::start(tpm, Session::Kept))));
        bare.extend(tpm.map(|tpm| (EACH, tpm::start(tpm, Session::Each))));
        bare.extend(self.trusted.as_ref().map(|tpm| (TRUSTED, tpm::start(tpm, Session::Plain))));
        bare
    }
}

/// What is compared stands together, so that it is measured together.
fn rows(backends: &[&'static str], gateways: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add_by = |what: &What, way: Way, lanes: &[usize]| {
        let row = |&lanes| Row { what: what.clone(), way, lanes, samples: Vec::new() };
        rows.extend(lanes.iter().map(row));
    };
    let mut add = |what: &What, lanes: &[usize]| {
        add_by(what, Way::Call, lanes);
        if matches!(what, What::Echo | What::Gateway { .. }) && lanes.contains(&IN_FLIGHT[2]) {
            add_by(what, Way::Batch, &[BATCHES]);
            add_by(what, Way::Stream, &[IN_FLIGHT[2]]);
        }
    };
    add(&What::Echo, &IN_FLIGHT);
    for guard in Guard::ALL {
        add(&What::Guard(guard), guard.lanes());
    }
    for key_type in KEY_TYPES {
        for (backend, _, lanes) in BARE.into_iter().filter(|(backend, ..)| is_made(backend, key_type)) {
            let is_backend = backends.contains(&backend);
            if is_backend || backend == EACH && backends.contains(&"tpm") {
                add(&What::Bare { backend, key_type }, lanes);
            }
            if !is_backend {
                continue;
            }
            for lanes in IN_FLIGHT {
                for number in 0..gateways {
                    add(&What::Gateway { number, backend, key_type }, &[lanes]);
                }
            }
        }
    }
    rows
}

fn gateway(runtime: &Runtime, program: &str) -> Running {
    let trusted = (!swtpm::left_out()).then(Swtpm::new);
    // No probe comes between.
    let mut home = Home::every(program).configured("[health]\nprobe_interval = \"1h\"\n");
    if let Some(tpm) = &trusted {
        let section = format!("[backends.tpm.{TRUSTED}]\n{}trusted_path = true\n", tpm.config());
        home = home.configured(&section);
    }
    let gateway = home.start();
    let endpoint = plain(gateway.endpoint());
    let token = std::fs::read_to_string(home.admin_token()).unwrap();
    let target = runtime.block_on(Target::connect(gateway.pid(), &endpoint, &token));
    let running = Running { home, gateway, target, trusted };
    runtime.block_on(async { make_keys(&running.gateway.client().await, &running.backends()).await });
    running
}

/// Whether a backend makes keys of this type.
fn is_made(backend: &str, key_type: KeyType) -> bool {
    matches!(backend, "soft" | "hsm") || key_type != KeyType::Ed25519
}

async fn make_keys(client: &Client, backends: &[&str]) {
    for backend in backends {
        for key_type in KEY_TYPES.into_iter().filter(|key_type| is_made(backend, *key_type)) {
            let request = CreateKeyRequest {
                key_type: key_type.name().to_owned(),
                key_id: format!("{key_type}-{backend}"),
                params: Some(KeyParams { backend: (*backend).to_owned(), ..KeyParams::default() }),
                ..CreateKeyRequest::default()
            };
            client.create_key(request).await.unwrap();
        }
    }
}

fn request(backend: &str, key_type: KeyType) -> SignRequest {
    let algorithm = match key_type {
        KeyType::Rsa2048 => SignatureAlgorithm::RsaPkcs1Sha256,
        KeyType::EcP256 => SignatureAlgorithm::EcdsaP256Sha256,
        KeyType::Ed25519 => SignatureAlgorithm::Ed25519,
        _ => SignatureAlgorithm::Unspecified,
    };
    SignRequest {
        key_id: format!("{key_type}-{backend}"),
        input: Some(Input::Message(MESSAGE.into())),
        algorithm: algorithm.into(),
        ..SignRequest::default()
    }
}
