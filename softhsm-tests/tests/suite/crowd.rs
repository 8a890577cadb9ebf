//! Many clients at once: nobody gets what is another's.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use skms::{
    client::{Client, Token},
    proto,
};
use skms_backend::{KeyType, SignatureAlgorithm};
use skms_tests::{conformance::openssl, gateway::Home};
use tokio::task::JoinSet;

use crate::{
    ask::{PROGRAM, create, full, metadata, outcome, rotate, sign, verify},
    observe::scrape,
};

/// Reached only by what never happens.
const PATIENCE: Duration = Duration::from_secs(30);
const CALLERS: usize = 64;
/// Each round is up to six calls of each caller.
const ROUNDS: usize = 12;

/// A key that many callers share.
struct Shared {
    id: String,
    algorithm: SignatureAlgorithm,
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_get_each_their_own_answer() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(gateway.client().await);
    }
    let mut shared = Vec::new();
    for backend in home.backends() {
        for key_type in [KeyType::EcP256, KeyType::EcP384, KeyType::Rsa2048, KeyType::Ed25519] {
            let id = format!("{backend}.{key_type}");
            clients[0].create_key(create(key_type.name(), &id, backend)).await.unwrap();
            let algorithm = SignatureAlgorithm::of(key_type).next().unwrap();
            shared.push(Shared { id, algorithm });
        }
    }
    let shared = Arc::new(shared);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, shared) = (clients[caller % clients.len()].clone(), Arc::clone(&shared));
        let backend = home.backends()[caller % home.backends().len()];
        callers.spawn(call(client, shared, caller, backend));
    }
    let (mut calls, mut samples) = (0, Vec::new());
    for (made, sample) in callers.join_all().await {
        calls += made;
        samples.push(sample);
    }

    // One signature of each caller is looked at by another implementation as well.
    for (message, signed, public_key) in samples {
        let algorithm = shared.iter().find(|key| key.id == signed.key_id).unwrap().algorithm;
        assert!(openssl::agrees(&public_key, algorithm, message.as_bytes(), &signed.signature), "{message}");
    }
    let records = home.audit();
    let ids: BTreeSet<_> = records
        .iter()
        .filter(|record| record["phase"] == "outcome" && record["caller"] == "test/admin")
        .map(|record| record["request_id"].as_str().unwrap())
        .collect();
    assert!(ids.len() >= calls, "{} records of {calls} calls", ids.len());
    assert!(!gateway.log().contains("\"ERROR\""), "{}", gateway.log());
    println!("{calls} calls of {CALLERS} callers over {} connections", clients.len());
}

type Sample = (String, proto::SignResponse, String);

/// A connection without a call does not keep its place for long, and whose it was does
/// not notice.
#[tokio::test(flavor = "multi_thread")]
async fn who_connects_ahead_and_calls_later_connects_again() {
    let home = Home::software(PROGRAM).configured("[connections]\nfirst_call_timeout = \"200ms\"\n");
    let gateway = home.start();
    let client = gateway.client().await;
    let begun = Instant::now();
    let count = |name| scrape(&gateway).value(name, "");
    while count("skms_connections_opened_total") < 1.0 || count("skms_connections") > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "it keeps its place");
        tokio::task::yield_now().await;
    }
    client.server_info().await.unwrap();
    assert!(count("skms_connections_opened_total") > 1.0);
}

/// A connection is often shared, by all who are behind a proxy for example.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_refused_do_not_end_the_connection_of_the_others() {
    const STRANGERS: usize = 48;
    const CALLS: usize = 100;
    let home = Home::software(PROGRAM).configured("[rates]\nfailed_authentications_per_minute = 0\n");
    let gateway = home.start();
    let client = gateway.client().await;
    client.create_key(create("ed25519", "key", "")).await.unwrap();
    let mut strangers = JoinSet::new();
    for _ in 0..STRANGERS {
        let stranger = client.clone().with_token(Token::new("not.a.token").unwrap());
        strangers.spawn(async move {
            for _ in 0..CALLS {
                let refused = stranger.sign(sign("key", vec![7; 4096])).await;
                assert_eq!(outcome(&refused), "Unauthenticated TOKEN_MALFORMED");
            }
        });
    }
    while !strangers.is_empty() {
        client.sign(sign("key", "text")).await.unwrap();
        while let Some(ended) = strangers.try_join_next() {
            ended.unwrap();
        }
    }
}

/// What one caller does: signs and verifies with every key in turn, makes a key of
/// its own, rotates it, and looks at it.
async fn call(
    client: Client,
    shared: Arc<Vec<Shared>>,
    caller: usize,
    backend: &'static str,
) -> (usize, Sample) {
    let own = format!("own-{caller}");
    let made = client.create_key(create("ec-p256", &own, backend)).await.unwrap();
    assert_eq!(made.id, own);
    let (mut calls, mut sample) = (1, None);
    for round in 0..ROUNDS {
        let key = &shared[(caller + round) % shared.len()];
        let message = format!("caller {caller}, round {round}");
        let reference = format!("{caller}/{round}");
        let request = proto::SignRequest {
            reference: reference.clone(),
            input_crc32c: Some(crc32c::crc32c(message.as_bytes())),
            ..sign(&key.id, message.clone())
        };
        let signed = client.sign(request).await.unwrap();
        assert_eq!((&signed.key_id, &signed.reference), (&key.id, &reference));
        assert_eq!(signed.signature_crc32c, crc32c::crc32c(&signed.signature));
        let right = verify(&key.id, message.clone(), signed.signature.clone());
        assert!(client.verify(right).await.unwrap().valid, "{message}");
        let others = format!("caller {}, round {round}", caller + 1);
        let wrong = verify(&key.id, others, signed.signature.clone());
        assert!(!client.verify(wrong).await.unwrap().valid, "{message}");

        let mine = client.sign(sign(&own, message.clone())).await.unwrap();
        assert_eq!(mine.key_id, own);
        assert!(client.verify(verify(&own, message.clone(), mine.signature)).await.unwrap().valid);
        calls += 5;
        if round == caller % ROUNDS {
            let rotated = client.rotate_key(rotate(&own)).await.unwrap();
            assert_eq!((rotated.id.as_str(), metadata(&rotated).primary_version), (own.as_str(), 2));
            let shown = client.get_key(full(&key.id)).await.unwrap();
            sample = Some((message, signed, shown.public_key));
            calls += 2;
        }
    }
    (calls, sample.unwrap())
}
