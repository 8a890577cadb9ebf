//! Crashes at random moments, while clients make and rotate keys.

use std::{
    collections::BTreeMap,
    env,
    io::{Write as _, stderr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use skms::client::Client;
use skms_tests::gateway::{Gateway, Home};
use tokio::{sync::watch, task::JoinSet};
use uuid::Uuid;

use super::{
    PROGRAM,
    ask::{Ask, Call, demand_lost},
    at_rest,
    ledger::Ledger,
};

/// Kills in `make test` and in `make test-long`.
const KILLS: [usize; 2] = [12, 300];
/// Kills before everything begins anew: every search in a SoftHSM token reads all
/// of its objects, so old tokens only make the test slow.
const KILLS_PER_HOME: usize = 25;
/// Clients that are at work at once: as many as the token has sessions, and two.
const CLIENTS: u64 = 6;
/// A kill comes after at most so many answers …
const ANSWERS: u64 = 24;
/// … and then at most so many turns of the scheduler: about as long as a few calls.
const TURNS: u64 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_moment_neither_loses_nor_leaves_a_key() {
    let seed = env::var("SKMS_TEST_SEED").ok().map_or_else(
        || Uuid::new_v4().as_u64_pair().0,
        |text| text.parse().unwrap_or_else(|_| panic!("SKMS_TEST_SEED is no number: `{text}`")),
    );
    let kills = KILLS[usize::from(env::var_os("SKMS_TEST_LONG").is_some())];
    let _ = writeln!(stderr(), "crashes at random moments: SKMS_TEST_SEED={seed}");
    let mut random = Random(seed);
    let mut tally = Tally::default();
    let mut done = 0;
    while done < kills {
        let home = Home::new(PROGRAM);
        let mut ledger = Ledger::default();
        let count = KILLS_PER_HOME.min(kills - done);
        for _ in 0..count {
            ledger = crash(&home, ledger, &mut random, &mut tally).await;
        }
        let gateway = home.start();
        ledger.trust_nothing();
        ledger.demand(&gateway.client().await).await;
        assert!(gateway.stop().await.success());
        done += count;
    }
    tally.print(done);
}

/// One crash under load, and what is left after it.
async fn crash(home: &Home, ledger: Ledger, random: &mut Random, tally: &mut Tally) -> Ledger {
    let gateway = home.start();
    let client = gateway.client().await;
    let shared = Arc::new(Shared {
        ledger: Mutex::new(ledger),
        unanswered: Mutex::default(),
        known: Mutex::default(),
        answers: watch::Sender::new(0),
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let names = home.backends();
        clients.spawn(work(client.clone(), names, Arc::clone(&shared), Random(random.next())));
    }
    let (answers, turns) = (1 + random.below(ANSWERS), random.below(TURNS));
    let mut counting = shared.answers.subscribe();
    tokio::select! {
        counted = counting.wait_for(|count| *count >= answers) => { counted.unwrap(); }
        Some(ended) = clients.join_next() => panic!("a client ended before the crash: {ended:?}"),
    }
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    tokio::task::block_in_place(|| gateway.kill());
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    drop(counting);
    let Shared { ledger, unanswered, known: _, answers } = Arc::into_inner(shared).unwrap();
    let (mut ledger, unanswered) = (ledger.into_inner(), unanswered.into_inner());
    tally.answers += *answers.borrow();
    tally.unanswered += unanswered.len();

    let begun = Instant::now();
    let gateway = home.start();
    tally.restarts.push(begun.elapsed());
    tally.read(&gateway);
    let client = gateway.client().await;
    for ask in unanswered {
        let answer = ask.make(&client).await.unwrap_or_else(|error| panic!("{ask:?}, again: {error:?}"));
        ledger.told(&ask, &answer);
    }
    ledger.demand(&client).await;
    assert!(gateway.stop().await.success());
    tally.see(home, at_rest::demand_clean(home, &ledger));
    ledger
}

/// What the clients of one gateway share.
struct Shared {
    ledger: Mutex<Ledger>,
    /// Calls that the crash interrupted.
    unanswered: Mutex<Vec<Ask>>,
    /// Keys that can be rotated, by any client at any time.
    known: Mutex<Vec<String>>,
    answers: watch::Sender<u64>,
}

/// The life of a client, until the gateway is gone.
async fn work(client: Client, backends: Vec<&'static str>, shared: Arc<Shared>, mut random: Random) {
    loop {
        let rotated = {
            let known = shared.known.lock();
            let at = random.index(2 * known.len() + 1);
            known.get(at).cloned()
        };
        let ask = match rotated {
            Some(key) => Ask::new(Call::Rotate, &key, ""),
            None => {
                let key = format!("key-{}", Uuid::new_v4().simple());
                Ask::new(Call::Create, &key, backends[random.index(backends.len())])
            }
        };
        match ask.make(&client).await {
            Ok(answer) => {
                shared.ledger.lock().told(&ask, &answer);
                if ask.call == Call::Create {
                    shared.known.lock().push(ask.key);
                }
                shared.answers.send_modify(|answers| *answers += 1);
            }
            Err(error) => {
                demand_lost(&ask, &error);
                shared.unanswered.lock().push(ask);
                return;
            }
        }
    }
}

/// What is printed at the end.
#[derive(Default)]
struct Tally {
    answers: u64,
    unanswered: usize,
    intents: u64,
    orphans: u64,
    /// By home: they stay.
    blanks: BTreeMap<PathBuf, usize>,
    restarts: Vec<Duration>,
}

impl Tally {
    /// What the sweep of a start says that it found.
    fn read(&mut self, gateway: &Gateway) {
        for line in gateway.log().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            if line["message"] == "swept" {
                self.intents += line["intents"].as_u64().unwrap();
                self.orphans += line["orphans"].as_u64().unwrap();
                assert_eq!(line["left"], 0, "{line}");
            }
        }
    }

    fn see(&mut self, home: &Home, blanks: usize) {
        self.blanks.insert(home.path().to_owned(), blanks);
    }

    fn print(mut self, kills: usize) {
        self.restarts.sort();
        let at = |part: usize| self.restarts[(self.restarts.len() - 1) * part / 2].as_millis();
        let _ = writeln!(
            stderr(),
            "crashes at random moments: {kills} kills, {} calls acknowledged, {} interrupted; the sweep \
             withdrew {} intents and removed {} orphans; SoftHSM left {} blanks; serving again after \
             {}/{}/{} ms (min/median/max)",
            self.answers,
            self.unanswered,
            self.intents,
            self.orphans,
            self.blanks.values().sum::<usize>(),
            at(0),
            at(1),
            at(2)
        );
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same kills.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }
}
