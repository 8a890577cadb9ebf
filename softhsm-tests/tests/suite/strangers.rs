//! Nobody gets in by proof that does not hold: every RPC, times every way in which a
//! token can be wrong (the pitfalls J1 to J17), times callers who would have been good.
//!
//! Each is refused with the same bytes for the same reason, each is on record, and
//! none of them reaches a device or the catalog. What anybody may ask for, by the
//! table of [`Rpc::access`], is answered whatever comes with it.

pub(crate) mod callers;
mod claims;
mod credential;
mod form;
mod issuer;
mod signatures;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use skms::model::{Access, Reason, Rpc};
use skms_tests::gateway::{Gateway, Home};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use self::{
    callers::{AGREE, CALLERS, CIPHER, CODE, Claimed, KEY, NOWHERE},
    credential::Credential,
};
use crate::{
    ask::{PROGRAM, create, refusal},
    observe::{exposition::Exposition, scrape},
    refusals::raw,
};

/// How many ways there are at least: nobody shortens the table unseen.
const CREDENTIALS: usize = 250;
/// Calls of one caller at a time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn proof_that_does_not_hold_lets_nobody_in_whatever_is_called() {
    let begun = Instant::now();
    let (home, rows) = home().await;
    let gateway = home.start();
    let before = scrape(&gateway);
    let credentials = |caller: &Claimed| {
        let good = caller.good();
        [signatures::all(&good), form::all(&good), claims::all(&good)].concat()
    };
    let refused = refuse(&gateway, &CALLERS.iter().collect::<Vec<_>>(), credentials).await;
    assert_eq!(device_calls(&scrape(&gateway), &before), BTreeMap::new());
    assert!(gateway.stop().await.success());

    assert_eq!(on_record(&home), refused.by_reason());
    assert_eq!(rows_of(&home), rows);
    let (rpcs, ways) = (closed().len(), refused.ways);
    println!(
        "matrix: {rpcs} RPCs × {ways} credentials × {} callers = {} calls, {} refused, {} recorded, \
         0 device calls, {:.0} s",
        CALLERS.len(),
        rpcs * ways * CALLERS.len(),
        refused.calls(),
        on_record(&home).values().sum::<u64>(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(ways >= CREDENTIALS, "{ways} credentials");
    assert_eq!(refused.calls(), rpcs * ways * CALLERS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_proof_is_nobodys_unless_the_kernel_vouches_for_it() {
    let (home, rows) = home().await;
    let gateway = home.start();
    let before = scrape(&gateway);
    let (local, distant): (Vec<_>, Vec<_>) = CALLERS.iter().partition(|caller| caller.is_local());
    let refused = refuse(&gateway, &distant, |caller| form::nothing(&caller.good())).await;
    assert_eq!(device_calls(&scrape(&gateway), &before), BTreeMap::new());
    // The same from a user of this machine.
    for caller in local {
        let channel = caller.connect(&gateway).await;
        for credential in form::nothing(&caller.good()) {
            let got = call(&channel, Rpc::GetServerInfo.path(), &credential).await;
            assert!(got.is_ok(), "{}: {got:?}", credential.name);
        }
    }
    assert!(gateway.stop().await.success());
    assert_eq!(on_record(&home), refused.by_reason());
    assert_eq!(rows_of(&home), rows);
}

/// That the calls of the matrix are worth refusing.
#[tokio::test]
async fn the_same_calls_with_good_proof_reach_the_devices() {
    let (home, rows) = home().await;
    let gateway = home.start();
    let before = scrape(&gateway);
    let admins = CALLERS.iter().filter(|caller| caller.subject.ends_with("admin"));
    let mut keys = 0;
    for caller in admins {
        let channel = caller.connect(&gateway).await;
        for algorithm in ["RS256", "ES256", "ES384", "EdDSA"] {
            let token = caller.good().algorithm(algorithm).signed();
            let good = credential::bearer("good", Reason::Internal, token);
            for rpc in Rpc::ALL {
                let got = call(&channel, rpc.path(), &good).await;
                let needs_a_ciphertext = matches!(rpc, Rpc::Decrypt | Rpc::ReEncrypt);
                match &got {
                    Err(status) if needs_a_ciphertext => {
                        assert_eq!(refusal(status), "InvalidArgument CIPHERTEXT_MALFORMED ciphertext");
                    }
                    Err(status) if *rpc == Rpc::DecryptStream => {
                        assert_eq!(refusal(status), "InvalidArgument CIPHERTEXT_MALFORMED chunk");
                    }
                    Err(status) if *rpc == Rpc::AdoptKey => {
                        assert_eq!(refusal(status), "InvalidArgument FIELD_INVALID pkcs11_uri");
                    }
                    Err(status) if *rpc == Rpc::GetImportJob => {
                        assert_eq!(refusal(status), "NotFound IMPORT_JOB_NOT_FOUND");
                    }
                    got => assert!(got.is_ok(), "{rpc:?} with {algorithm} of {}: {got:?}", caller.subject),
                }
            }
            keys += 1;
        }
    }
    let jobs = device_calls(&scrape(&gateway), &before);
    let done = |operation: &str| -> usize {
        jobs.iter().filter(|(labels, _)| labels.contains(operation)).map(|(_, count)| count).sum()
    };
    // Measured on both sides of the queue; each admin makes a key, one in a batch and a
    // version, and signs a message, one in a batch, one in a stream, a large one, and a
    // request for a certificate.
    assert_eq!((done("generate"), done("sign")), (2 * 3 * keys, 2 * 5 * keys), "{jobs:?}");
    assert!(gateway.stop().await.success());
    assert_ne!(rows_of(&home), rows);
}

/// A gateway with a key, stopped, and what is in its catalog.
async fn home() -> (Home, BTreeMap<String, i64>) {
    let config = format!(
        "[auth]\ndeny_file = \"deny.toml\"\n{}[rates]\nfailed_authentications_per_minute = 0\n\
         caller = {{ per_second = 0 }}\nkey = {{ per_second = 0 }}\n",
        issuer::CONFIG
    );
    let home = Home::new(PROGRAM).configured(&config);
    home.private("corp.json", &issuer::jwks().to_string());
    home.private("deny.toml", claims::DENIED);
    let gateway = home.start();
    let client = gateway.client().await;
    for (key, key_type) in [(KEY, "ec-p256"), (CIPHER, "aes-256"), (CODE, "hmac-sha256"), (AGREE, "x25519")] {
        client.create_key(create(key_type, key, "")).await.unwrap();
    }
    assert!(gateway.stop().await.success());
    let rows = rows_of(&home);
    (home, rows)
}

/// What is called: every RPC that is not for everybody, and what is none.
fn closed() -> Vec<&'static str> {
    let rpcs = Rpc::ALL.iter().filter(|rpc| rpc.access() != Access::Public);
    rpcs.map(|rpc| rpc.path()).chain(NOWHERE).collect()
}

/// What strangers were told.
#[derive(Default)]
struct Refused {
    /// How many ways of being wrong there were.
    ways: usize,
    /// Every different answer, by reason, and how often it was given.
    told: BTreeMap<&'static str, BTreeMap<Told, usize>>,
    /// The ids of the calls.
    ids: BTreeSet<String>,
}

impl Refused {
    fn calls(&self) -> usize {
        self.ids.len()
    }

    fn by_reason(&self) -> BTreeMap<String, u64> {
        let sum = |told: &BTreeMap<Told, usize>| told.values().map(|count| *count as u64).sum();
        self.told.iter().map(|(reason, told)| ((*reason).to_owned(), sum(told))).collect()
    }
}

/// All that a refusal says, but for the id of its call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    code: i32,
    message: String,
    details: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Has each caller call everything with each of its credentials.
async fn refuse(
    gateway: &Gateway,
    callers: &[&'static Claimed],
    credentials: impl Fn(&Claimed) -> Vec<Credential>,
) -> Refused {
    let mut calls = JoinSet::new();
    let mut refused = Refused::default();
    for &caller in callers {
        let credentials = Arc::new(credentials(caller));
        let mut names = BTreeSet::new();
        for credential in credentials.iter() {
            assert!(names.insert(&credential.name), "two are called {}", credential.name);
        }
        refused.ways = credentials.len();
        let channel = caller.connect(gateway).await;
        for part in 0..AT_ONCE {
            let (channel, credentials) = (channel.clone(), Arc::clone(&credentials));
            calls.spawn(async move {
                let mut told = Vec::new();
                for credential in credentials.iter().skip(part).step_by(AT_ONCE) {
                    told.extend(refusals_of(&channel, credential, caller.subject).await);
                }
                told
            });
        }
    }
    while let Some(part) = calls.join_next().await {
        for (reason, id, told) in part.unwrap() {
            assert!(refused.ids.insert(id), "two calls of one id");
            *refused.told.entry(reason.text()).or_default().entry(told).or_default() += 1;
        }
    }
    for (reason, told) in &refused.told {
        assert_eq!(told.len(), 1, "{reason} is told in more than one way: {told:#?}");
    }
    refused
}

/// What everything that can be called says to one credential.
async fn refusals_of(
    channel: &Channel,
    credential: &Credential,
    subject: &str,
) -> Vec<(Reason, String, Told)> {
    let mut all = Vec::new();
    let expected = format!("Unauthenticated {}", credential.reason.text());
    for path in closed() {
        let what = format!("{} of {subject} for {path}", credential.name);
        let Err(status) = call(channel, path, credential).await else { panic!("{what}: it was let in") };
        assert_eq!(refusal(&status), expected, "{what}");
        let (id, told) = told(&status);
        all.push((credential.reason, id, told));
    }
    for rpc in Rpc::ALL.iter().filter(|rpc| rpc.access() == Access::Public) {
        let answered = call(channel, rpc.path(), credential).await;
        assert!(answered.is_ok(), "{} of {subject} for {rpc:?}: {answered:?}", credential.name);
    }
    all
}

async fn call(channel: &Channel, path: &'static str, credential: &Credential) -> Result<(), Status> {
    let bodies = Rpc::of_path(path).map(|rpc| {
        let key = if matches!(rpc, Rpc::EncryptStream | Rpc::DecryptStream) { CIPHER } else { KEY };
        callers::streamed(rpc, key).unwrap_or_else(|| (vec![callers::body(rpc)], 0))
    });
    let bodies = bodies.unwrap_or_else(|| (vec![Default::default()], 0));
    raw::first(channel.clone(), path, credential.headers.clone(), bodies).await.map(drop)
}

fn told(status: &Status) -> (String, Told) {
    assert_eq!(status.code(), Code::Unauthenticated);
    let id = status.get_error_details().request_info().unwrap().request_id.clone();
    let mut details = status.details().to_vec();
    let at = details.windows(id.len()).position(|part| part == id.as_bytes()).unwrap();
    details[at..at + id.len()].fill(b'-');
    let headers = status.metadata().clone().into_headers();
    let headers = headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    (id, Told { code: status.code().into(), message: status.message().to_owned(), details, headers })
}

/// Calls to devices since then, by backend and operation, but for those that ask
/// whether they live.
pub(crate) fn device_calls(now: &Exposition, before: &Exposition) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for name in ["skms_queue_seconds_count", "skms_device_seconds_count"] {
        for (labels, count) in now.since(before, name) {
            if !labels.contains("operation=\"probe\"") {
                calls.insert(format!("{name} {labels}"), count);
            }
        }
    }
    calls
}

/// How many strangers are on record, by reason: each by itself, or counted together.
pub(crate) fn on_record(home: &Home) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for record in home.audit_log() {
        let result = record["result"].as_str().unwrap_or_default();
        if record["decision"] == "deny" && (result.starts_with("TOKEN_") || result.starts_with("CLIENT_")) {
            *reasons.entry(result.to_owned()).or_default() += record["count"].as_u64().unwrap_or(1);
        }
    }
    reasons
}

/// How many rows each table of the catalog has, but for those of the audit log: what it
/// has written last is kept there.
fn rows_of(home: &Home) -> BTreeMap<String, i64> {
    let catalog = rusqlite::Connection::open(home.path().join("catalog.db")).unwrap();
    let mut names = catalog
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'audit_anchors'")
        .unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
    let count = |name: String| {
        let sql = format!("SELECT count(*) FROM \"{name}\"");
        let count = catalog.query_row(&sql, [], |row| row.get(0)).unwrap();
        (name, count)
    };
    names.map(count).collect()
}
