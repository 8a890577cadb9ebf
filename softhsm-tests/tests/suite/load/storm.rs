//! Callers who leave at any moment.

use std::{sync::Arc, time::Duration};

use skms::{
    client::{Client, Error},
    proto,
};
use skms_tests::gateway::Home;
use tokio::{
    io::{AsyncReadExt as _, repeat},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use super::{Dice, PATIENCE, Verifier};
use crate::{
    ask::{PROGRAM, create, sign},
    observe::scrape,
};

const CALLERS: u64 = 64;
/// What each of them begins.
const ROUNDS: u64 = 60;

/// How one thing has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    /// Its caller left.
    Left,
    /// Whoever leaves too often in a row loses its connection (CVE-2023-44487).
    Cut,
}

/// Begins one thing and leaves it after some microseconds.
/// Whatever is answered is checked by what it says.
async fn begin(
    client: &Client,
    key: &str,
    verifier: &Verifier,
    what: u64,
    name: &str,
    patience: Duration,
) -> Ended {
    let work = async {
        match what {
            0 | 1 => {
                let signed = client.sign(sign(key, name.to_owned())).await?;
                verifier.demand(name.as_bytes(), &signed.signature);
            }
            2 => {
                let requests = (0..20).map(|item| sign(key, format!("{name} {item}"))).collect();
                let request = proto::BatchSignRequest { requests, ..Default::default() };
                for (item, result) in client.batch_sign(request).await?.results.into_iter().enumerate() {
                    let Some(proto::batch_sign_result::Result::Response(signed)) = result.result else {
                        panic!("{result:?}")
                    };
                    verifier.demand(format!("{name} {item}").as_bytes(), &signed.signature);
                }
            }
            3 => {
                let (mut asking, mut answers) = client.sign_stream(Default::default()).await?;
                for item in 0..20 {
                    // Why it has ended is told by the answers.
                    let _ = asking.ask(sign(key, format!("{name} {item}"))).await;
                }
                drop(asking);
                while let Some((number, answer)) = answers.next().await? {
                    let message = format!("{name} {}", number - 1);
                    verifier.demand(message.as_bytes(), &answer.map_err(Error::from)?.signature);
                }
            }
            4 => {
                let message = repeat(7).take(1 << 20);
                let parameters = proto::SignRequest { key_id: key.into(), ..Default::default() };
                let signed = client.sign_large(parameters, message).await?.signature.unwrap();
                verifier.demand(&vec![7; 1 << 20], &signed.signature);
            }
            _ => {
                let mut watch = client.watch_keys(Default::default()).await?;
                watch.next().await?;
            }
        }
        Ok(())
    };
    match timeout(patience, work).await {
        Err(_) => Ended::Left,
        Ok(Ok(())) => Ended::Done,
        Ok(Err(error)) => {
            let failure = Error::failure(&error).unwrap();
            assert!(failure.code == Code::Unavailable && failure.reason.is_none(), "{error:?}");
            Ended::Cut
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_callers_who_leave_harms_nobody_and_no_session() {
    let home = Home::new(PROGRAM);
    let gateway = home.start();
    let client = gateway.client().await;
    for backend in home.backends() {
        let key = client.create_key(create("ec-p256", backend, backend)).await.unwrap();
        let verifier = Arc::new(Verifier::of(&key));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            // A connection of its own, which others need not lose.
            let (client, verifier) = (gateway.client().await, Arc::clone(&verifier));
            let mut dice = Dice(caller);
            callers.spawn(async move {
                let mut ended = [0_u64; 3];
                for round in 0..ROUNDS {
                    let (what, micros) = (dice.roll(6), dice.roll(dice_of(round)));
                    let name = format!("{caller} {round}");
                    let patience = Duration::from_micros(micros);
                    ended[begin(&client, backend, &verifier, what, &name, patience).await as usize] += 1;
                }
                ended
            });
        }
        let all = timeout(PATIENCE, callers.join_all()).await.unwrap();
        let [done, left, cut] = [Ended::Done, Ended::Left, Ended::Cut]
            .map(|how| all.iter().map(|ended| ended[how as usize]).sum::<u64>());
        println!(
            "{backend}: {left} calls and streams were left at some moment, {done} done, {cut} cut with their connection"
        );
        assert!(left > 1000, "{left}");
        // Nobody of them holds a place or a session any more.
        let idle = async {
            loop {
                let now = scrape(&gateway);
                let pool = |name: &str| now.value(name, &format!("backend=\"{backend}\""));
                if pool("skms_pool_busy") == 0.0 && pool("skms_pool_queued") == 0.0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, idle).await.unwrap();
        // Every session works, and answers what was asked of it.
        let mut all = JoinSet::new();
        for number in 0..256 {
            let (client, verifier) = (client.clone(), Arc::clone(&verifier));
            all.spawn(async move {
                let message = format!("after {number}");
                let signed = client.sign(sign(backend, message.clone())).await.unwrap();
                verifier.demand(message.as_bytes(), &signed.signature);
            });
        }
        all.join_all().await;
    }
    assert!(gateway.stop().await.success());
}

/// Some leave at once, some a little later, some hardly ever.
const fn dice_of(round: u64) -> u64 {
    match round % 4 {
        0 => 200,
        1 => 5_000,
        2 => 50_000,
        _ => 500_000,
    }
}
