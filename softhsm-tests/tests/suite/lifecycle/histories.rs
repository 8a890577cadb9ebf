//! Random histories of verbs, held against the model. Some gateways are killed in the
//! midst of a step; what was not answered is asked again under its request id, and comes
//! to the same.
//!
//! `SKMS_TEST_SEED` repeats a run.

use skms::{
    client::{Client, Error},
    proto,
};
use skms_tests::gateway::{Gateway, Home};
use tokio::task::JoinSet;

use super::{
    Turn, Verb, lead,
    model::{Answer, Model, Step},
    update,
};
use crate::ask::{PROGRAM, create, full, metadata, outcome, request_id, rotate, sign, verify};

/// How many keys live at once, how often, and for how long.
const KEYS: usize = 30;
const ROUNDS: usize = 10;
const STEPS: usize = 14;
/// No history makes more versions: they take time, and three have every pattern.
const VERSIONS: usize = 4;

/// A key, what it must be, and what is asked of it now.
struct History {
    key: String,
    model: Model,
    /// Every step so far, and what it was to be answered.
    told: Vec<(Step, Answer)>,
}

impl History {
    fn next(&self, random: &mut Random) -> Step {
        let versions = u32::try_from(self.model.versions.len()).unwrap();
        let one = |random: &mut Random| {
            // Now and then one that there is not.
            let beyond = u32::from(random.below(20) == 0);
            1 + random.below(versions + beyond)
        };
        let some = |random: &mut Random| match random.below(3) {
            0 => Vec::new(),
            1 => vec![one(random)],
            _ => (1..=versions).filter(|_| random.below(2) == 0).collect(),
        };
        match random.below(20) {
            0..=8 => {
                let verb = Verb::ALL[usize::try_from(random.below(5)).unwrap()];
                Step::Turn(verb, some(random))
            }
            // Else most keys would soon be out of use for good.
            9 | 10 => Step::Turn(Verb::Restore, Vec::new()),
            11 => Step::Turn(Verb::Enable, Vec::new()),
            12 => Step::Lead(one(random)),
            13 | 14 if self.model.versions.len() < VERSIONS => Step::Rotate(random.below(3) == 0),
            15 => Step::MinProtect(random.below(versions + 2)),
            16 => Step::MinProcess(random.below(versions + 2)),
            17 | 18 => Step::Verify(one(random), random.below(2) == 0),
            _ => Step::Sign(one(random)),
        }
    }
}

/// Asks for one step; under the same id it is the same step.
async fn ask(client: &Client, key: &str, step: &Step, id: &str) -> Result<(), Error> {
    let of_key = |_| ();
    match step.clone() {
        Step::Turn(verb, versions) => {
            let turn = Turn { key: key.into(), versions, request_id: id.into(), ..Turn::default() };
            verb.ask(client, turn).await.map(of_key)
        }
        Step::Lead(version) => {
            let request = proto::SetPrimaryVersionRequest { request_id: id.into(), ..lead(key, version) };
            client.set_primary_version(request).await.map(of_key)
        }
        Step::Rotate(stage_only) => {
            let request = proto::RotateKeyRequest { stage_only, request_id: id.into(), ..rotate(key) };
            client.rotate_key(request).await.map(of_key)
        }
        Step::MinProtect(min_protect_version) => {
            let metadata = proto::KeyMetadata { min_protect_version, ..Default::default() };
            let request = update(key, &["min_protect_version"], metadata);
            client.update_key(proto::UpdateKeyRequest { request_id: id.into(), ..request }).await.map(of_key)
        }
        Step::MinProcess(min_process_version) => {
            let metadata = proto::KeyMetadata { min_process_version, ..Default::default() };
            let request = update(key, &["min_process_version"], metadata);
            client.update_key(proto::UpdateKeyRequest { request_id: id.into(), ..request }).await.map(of_key)
        }
        Step::Sign(version) => {
            client.sign(proto::SignRequest { version, ..sign(key, "text") }).await.map(|_| ())
        }
        Step::Verify(version, accept_compromised) => {
            let request = verify(key, "text", "no signature");
            let request = proto::VerifyRequest { version, accept_compromised, ..request };
            client.verify(request).await.map(|_| ())
        }
    }
}

/// Asks until there is an answer that is the gateway's own.
async fn asked(
    client: Client,
    key: String,
    step: Step,
    id: String,
) -> Result<Answered, (String, Step, String)> {
    let answer = ask(&client, &key, &step, &id).await;
    match &answer {
        Err(error) if error.failure().is_none_or(|failure| failure.reason.is_none()) => Err((key, step, id)),
        _ => Ok((key, answer)),
    }
}

type Answered = (String, Result<(), Error>);

#[tokio::test(flavor = "multi_thread")]
async fn every_history_of_verbs_goes_as_the_model_has_it_through_crashes() {
    let seed = std::env::var("SKMS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("SKMS_TEST_SEED={seed}");
    let mut random = Random(seed);
    let home = Home::software(PROGRAM);
    let mut gateway = home.start();
    let (mut steps, mut crashes, mut refusals) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut histories = Vec::new();
        let client = gateway.client().await;
        for number in 0..KEYS {
            let key = format!("key-{round}-{number}");
            client.create_key(create("ec-p256", &key, "")).await.unwrap();
            histories.push(History { key, model: Model::new(), told: Vec::new() });
        }
        for _ in 0..STEPS {
            let mut calls = JoinSet::new();
            let client = gateway.client().await;
            for history in &mut histories {
                let step = history.next(&mut random);
                let answer = history.model.take(&step);
                refusals += usize::from(answer.is_err());
                history.told.push((step.clone(), answer));
                calls.spawn(asked(client.clone(), history.key.clone(), step, request_id()));
            }
            let (mut answers, mut lost) = (Vec::new(), Vec::new());
            let kill_after = (random.below(8) == 0).then(|| random.below(u32::try_from(KEYS).unwrap()));
            while let Some(answer) = calls.join_next().await {
                match answer.unwrap() {
                    Ok(answer) => answers.push(answer),
                    Err(call) => lost.push(call),
                }
                if kill_after
                    .is_some_and(|after| usize::try_from(after).unwrap() + 1 == answers.len() + lost.len())
                {
                    gateway = reborn(gateway, &home);
                    crashes += 1;
                }
            }
            let client = gateway.client().await;
            for (key, step, id) in lost {
                answers.push(asked(client.clone(), key, step, id).await.unwrap());
            }
            steps += answers.len();
            for (key, answer) in answers {
                let history = histories.iter().find(|history| history.key == key).unwrap();
                let (_, expected) = history.told.last().unwrap();
                let got = outcome(&answer);
                let got = got.split(' ').nth(1).map_or(Ok(()), Err);
                assert_eq!(got, *expected, "seed {seed}, {key}: {:#?}", history.told);
            }
            for history in &histories {
                demand(&client, history, seed).await;
            }
        }
    }
    println!("{} histories, {steps} steps, {refusals} of them refused, {crashes} crashes", KEYS * ROUNDS);
    assert!(crashes > 0 && refusals > steps / 10 && refusals < steps * 9 / 10);
}

fn reborn(gateway: Gateway, home: &Home) -> Gateway {
    tokio::task::block_in_place(|| {
        gateway.kill();
        home.start()
    })
}

/// The key is as the model has it.
async fn demand(client: &Client, history: &History, seed: u64) {
    let shown = client.get_key(full(&history.key)).await.unwrap();
    let shown = metadata(&shown);
    let versions: Vec<_> = shown.versions.iter().map(proto::KeyVersion::state).collect();
    let wanted: Vec<_> = history.model.versions.iter().map(|(state, _)| *state).collect();
    let model = &history.model;
    assert_eq!(
        (versions, shown.primary_version, shown.min_protect_version, shown.min_process_version),
        (wanted, model.primary, model.min_protect, model.min_process),
        "seed {seed}, {}: {:#?}",
        history.key,
        history.told
    );
}

/// Marsaglia's xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() >> 33).unwrap() % limit
    }
}
