//! Tokens that are good for one change: J15.

use std::{
    sync::{Arc, Barrier},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::time::Instant;

use super::{
    CORP, Gate,
    idp::{self, Draft},
};
use crate::{
    auth::{
        Caller, Refusal,
        replay::{Once, Used},
    },
    model::Reason,
};

/// Another issuer with the same keys.
const SECOND: &str = r#"
[issuers.second]
issuer = "https://second.test"
audiences = ["skms"]
algorithms = ["ES256"]
jwks = "file:jwks.json"
"#;

/// Two issuers whose tokens are good for one change.
fn strict() -> Gate {
    let config = format!("{CORP}{SECOND}").replace("jwks =", "single_use = 'for-changes'\njwks =");
    let mesh = "[certificates.mesh]\nca = 'mesh.pem'\nidentity = 'uri'\n";
    Gate::with(&format!("{config}{mesh}"), &idp::jwks())
}

impl Gate {
    /// A change by whoever has this token.
    async fn change(&self, token: &str) -> Result<Caller, Refusal> {
        let caller = self.token(token).await?;
        self.authenticator.spend(&caller).map(|()| caller)
    }
}

fn told(result: Result<Caller, Refusal>) -> (Reason, &'static str) {
    let refusal = result.expect_err("it was taken");
    (refusal.reason, refusal.detail)
}

const USED: (Reason, &str) = (Reason::TokenRevoked, "used before");

#[tokio::test]
async fn j15_a_token_is_good_for_one_change_and_for_any_number_of_other_calls() {
    let gate = strict();
    let token = Draft::new().signed();
    gate.takes(&token, "it changes nothing").await;
    assert_eq!(gate.change(&token).await.unwrap().id(), "corp/alice");
    for _ in 0..3 {
        assert_eq!(told(gate.change(&token).await), USED);
        gate.takes(&token, "it changes nothing").await;
    }
    // Another token of the same caller.
    gate.change(&Draft::new().claim("jti", json!("token-2")).signed()).await.unwrap();
}

#[tokio::test]
async fn two_tokens_of_one_id_are_one() {
    let gate = strict();
    gate.change(&Draft::new().signed()).await.unwrap();
    for other in [
        Draft::new().claim("sub", json!("bob")),
        Draft::new().claim("exp", json!(idp::now() + 300)),
        Draft::algorithm("EdDSA"),
    ] {
        assert_eq!(told(gate.change(&other.signed()).await), USED);
    }
}

#[tokio::test]
async fn two_issuers_may_give_the_same_id() {
    let gate = strict();
    let of_second = Draft::new().claim("iss", json!("https://second.test")).signed();
    gate.change(&Draft::new().signed()).await.unwrap();
    assert_eq!(gate.change(&of_second).await.unwrap().id(), "second/alice");
    assert_eq!(told(gate.change(&of_second).await), USED);
}

#[tokio::test]
async fn a_token_without_an_id_changes_nothing() {
    let gate = strict();
    let token = Draft::new().without("jti").signed();
    gate.takes(&token, "it changes nothing").await;
    for _ in 0..2 {
        assert_eq!(told(gate.change(&token).await).0, Reason::TokenMalformed);
    }
}

#[tokio::test]
async fn a_token_of_an_issuer_like_any_other_is_good_for_any_number_of_changes() {
    let gate = Gate::new();
    for token in [Draft::new().signed(), Draft::new().without("jti").signed()] {
        for _ in 0..3 {
            gate.change(&token).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_for_that() {
    let gate = strict();
    let token = Draft::new().signed();
    gate.change(&token).await.unwrap();
    gate.shift(|shift| shift.ahead = Duration::from_secs(606));
    assert_eq!(told(gate.change(&token).await).0, Reason::TokenExpired);
    // A clock that is turned back does not make it unused.
    gate.shift(|shift| (shift.ahead, shift.older) = (Duration::ZERO, Duration::from_secs(606)));
    assert!(gate.change(&token).await.is_err());
    let same = Draft::new().claim("sub", json!("bob")).signed();
    assert_eq!(told(gate.change(&same).await), USED);
}

/// Tokens by hand: how many are remembered, and for how long.
struct Tokens {
    used: Arc<Used>,
    begun: (SystemTime, Instant),
}

impl Tokens {
    fn up_to(limit: usize) -> Self {
        Self { used: Arc::new(Used::up_to(limit)), begun: (SystemTime::now(), Instant::now()) }
    }

    /// So many seconds after the beginning, on both clocks.
    fn at(&self, seconds: u64) -> (SystemTime, Instant) {
        let after = Duration::from_secs(seconds);
        (self.begun.0 + after, self.begun.1 + after)
    }

    /// Uses up, at this second, the token of this id that ends at that one.
    fn spend(&self, id: &str, now: u64, ends: u64) -> Option<Reason> {
        let once = Once { used: self.used.clone(), id: Some(id.to_owned()), ends: self.at(ends) };
        once.spend(self.at(now)).err().map(|refusal| refusal.reason)
    }
}

#[tokio::test]
async fn a_full_memory_lets_nothing_in_until_some_of_it_has_ended() {
    let tokens = Tokens::up_to(2);
    assert_eq!((tokens.spend("a", 0, 10), tokens.spend("b", 0, 20)), (None, None));
    assert_eq!(tokens.spend("c", 9, 30), Some(Reason::RateLimited));
    assert_eq!(tokens.spend("a", 9, 10), Some(Reason::TokenRevoked), "what is known stays known");
    assert_eq!(tokens.spend("c", 10, 30), None);
    assert_eq!(tokens.spend("d", 19, 30), Some(Reason::RateLimited));
    assert_eq!(tokens.spend("b", 19, 20), Some(Reason::TokenRevoked));
    assert_eq!(tokens.spend("d", 20, 30), None);
}

#[tokio::test]
async fn a_token_is_remembered_as_long_as_the_last_of_its_id() {
    let tokens = Tokens::up_to(1);
    assert_eq!(tokens.spend("a", 0, 10), None);
    assert_eq!(tokens.spend("a", 5, 20), Some(Reason::TokenRevoked));
    assert_eq!(tokens.spend("a", 15, 20), Some(Reason::TokenRevoked));
    assert_eq!(tokens.spend("b", 15, 20), Some(Reason::RateLimited));
    assert_eq!(tokens.spend("b", 20, 30), None);
}

#[tokio::test]
async fn of_many_changes_at_once_one_wins() {
    const AT_ONCE: usize = 8;
    let gate = strict();
    for round in 0..50 {
        let token = Draft::new().claim("jti", json!(format!("token-{round}"))).signed();
        let caller = gate.token(&token).await.unwrap();
        let ready = Barrier::new(AT_ONCE);
        let won = thread::scope(|scope| {
            let spend = || {
                ready.wait();
                gate.authenticator.spend(&caller).is_ok()
            };
            let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(spend)).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1, "round {round}");
    }
}
