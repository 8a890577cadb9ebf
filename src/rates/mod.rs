//! How much each caller, each key and each address may ask for (token buckets,
//! GCRA, by `governor`).
//!
//! What is charged are *units*: one unit is about the work of one P-256 signature.
//! A call is charged by its method before its body is read ([`weight::of_call`]),
//! and once more by what it has a device do ([`weight::of_work`]), item by item.
//!
//! **Invariant:** nothing here waits. Who has used up its share is told when to
//! come again.

mod config;
mod weight;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    num::{NonZeroU8, NonZeroU32},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DashMapStateStore,
};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::telemetry;

pub use self::{
    config::{Config, Rate},
    weight::{Work, of_call, of_work},
};

/// The buckets of one kind. A key of the map is a hash, so that a bucket takes
/// 16 bytes whatever the name; the hash is seeded, so that nobody can aim at
/// another's bucket.
type Buckets = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock>;

/// More buckets than this are looked through for those that are full again …
const MANY: usize = 65_536;
/// … whenever so many charges were made: a fraction of a nanosecond for each of them.
const LOOK_EVERY: u64 = 16_384;

/// Every limit of this process. Cheap to clone.
#[derive(Clone)]
pub struct Rates(Arc<Inside>);

struct Inside {
    callers: Option<Buckets>,
    keys: Option<Buckets>,
    failures: Option<Buckets>,
    /// Addresses that failed too often, and until when they are not listened to.
    shut: RwLock<HashMap<u64, Instant>>,
    /// Of callers with these roles.
    weights: BTreeMap<String, NonZeroU8>,
    hasher: RandomState,
    charges: AtomicU64,
    clock: DefaultClock,
}

/// A share that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose share.
    pub limit: Limit,
    /// When it will do again.
    pub retry_after: Duration,
}

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// That of one caller.
    Caller,
    /// That of one key, whoever uses it.
    Key,
    /// The failed authentications of one address.
    Address,
}

impl Limit {
    /// The same for measurements.
    pub(crate) const fn label(self) -> telemetry::Limit {
        match self {
            Self::Caller => telemetry::Limit::Caller,
            Self::Key => telemetry::Limit::Key,
            Self::Address => telemetry::Limit::Address,
        }
    }

    /// The name in details.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Key => "key",
            Self::Address => "address",
        }
    }
}

impl Rates {
    /// The limits of this configuration, with nothing used yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let buckets = |rate: Rate| rate.quota().map(RateLimiter::dashmap);
        Self(Arc::new(Inside {
            callers: buckets(config.caller),
            keys: buckets(config.key),
            failures: config.failures().map(RateLimiter::dashmap),
            weights: config.weights.clone(),
            shut: RwLock::default(),
            hasher: RandomState::new(),
            charges: AtomicU64::new(0),
            clock: DefaultClock::default(),
        }))
    }

    /// How many calls of a caller with these roles begin in its turn.
    #[must_use]
    pub fn weight(&self, roles: &BTreeSet<String>) -> NonZeroU8 {
        let weights = &self.0.weights;
        // Mostly there are none.
        if weights.is_empty() {
            return NonZeroU8::MIN;
        }
        roles.iter().filter_map(|role| weights.get(role)).max().copied().unwrap_or(NonZeroU8::MIN)
    }

    /// Charges a caller, named by its id.
    ///
    /// # Errors
    /// Its share is used up; nothing was charged.
    pub fn charge_caller(&self, caller: &str, units: NonZeroU32) -> Result<(), Exceeded> {
        self.charge(self.0.callers.as_ref(), Limit::Caller, caller, units)
    }

    /// Charges a key, named by its id.
    ///
    /// # Errors
    /// Its share is used up; nothing was charged.
    pub fn charge_key(&self, key: &str, units: NonZeroU32) -> Result<(), Exceeded> {
        self.charge(self.0.keys.as_ref(), Limit::Key, key, units)
    }

    /// Notes an authentication that failed.
    pub fn failed(&self, address: &str) {
        let charged = self.charge(self.0.failures.as_ref(), Limit::Address, address, NonZeroU32::MIN);
        if let Err(exceeded) = charged {
            let (now, mut shut) = (Instant::now(), self.0.shut.write());
            if shut.len() >= MANY {
                shut.retain(|_, until| *until > now);
            }
            if shut.len() < MANY {
                shut.insert(self.0.hasher.hash_one(address), now + exceeded.retry_after);
            }
        }
    }

    /// Whether an address may try to prove who it is.
    ///
    /// # Errors
    /// It failed too often.
    pub fn may_try(&self, address: &str) -> Result<(), Exceeded> {
        let until = self.0.shut.read().get(&self.0.hasher.hash_one(address)).copied();
        let retry_after =
            until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        if retry_after.is_zero() { Ok(()) } else { Err(Exceeded { limit: Limit::Address, retry_after }) }
    }

    fn charge(
        &self,
        buckets: Option<&Buckets>,
        limit: Limit,
        name: impl Hash,
        units: NonZeroU32,
    ) -> Result<(), Exceeded> {
        let Some(buckets) = buckets else { return Ok(()) };
        // Counting them takes a look at every shard, and so is not done each time.
        let charges = self.0.charges.fetch_add(1, Ordering::Relaxed);
        if charges.is_multiple_of(LOOK_EVERY) && buckets.len() > MANY {
            buckets.retain_recent();
        }
        let checked = buckets.check_key_n(&self.0.hasher.hash_one(name), units);
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(later)) => Err(Exceeded { limit, retry_after: later.wait_time_from(self.0.clock.now()) }),
            // More than a full bucket holds; `Config` does not let that happen.
            Err(_) => Err(Exceeded { limit, retry_after: TOO_MUCH }),
        }
    }

    /// Forgets everybody who has used nothing lately. To be called now and then.
    pub fn tidy(&self) {
        for buckets in [&self.0.callers, &self.0.keys, &self.0.failures].into_iter().flatten() {
            buckets.retain_recent();
        }
        let now = Instant::now();
        self.0.shut.write().retain(|_, until| *until > now);
    }
}

/// When somebody may come again who asks for more than there ever will be.
const TOO_MUCH: Duration = Duration::from_secs(60);

fn quota(per_second: NonZeroU32, burst: NonZeroU32) -> Quota {
    Quota::per_second(per_second).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: u32) -> NonZeroU32 {
        NonZeroU32::new(units).unwrap()
    }

    #[test]
    fn each_has_a_share_of_its_own_and_is_told_when_to_come_again() {
        let share = Rate { per_second: 1, burst: weight::MOST.get() };
        let rates = Rates::new(&Config { caller: share, key: share, ..Config::default() });
        assert_eq!(rates.charge_caller("corp/alice", weight::MOST), Ok(()));
        let refused = rates.charge_caller("corp/alice", units(2)).unwrap_err();
        assert_eq!(refused.limit, Limit::Caller);
        assert!(refused.retry_after > Duration::from_secs(1), "{refused:?}");
        assert!(refused.retry_after <= Duration::from_secs(2), "{refused:?}");
        assert_eq!(rates.charge_caller("corp/bob", units(2)), Ok(()));
        assert_eq!(rates.charge_key("corp/alice", units(2)), Ok(()));
    }

    #[test]
    fn an_address_that_fails_too_often_is_shut_out_for_a_while() {
        let rates = Rates::new(&Config { failed_authentications_per_minute: 60, ..Config::default() });
        for _ in 0..60 {
            assert_eq!(rates.may_try("10.0.0.1"), Ok(()));
            rates.failed("10.0.0.1");
        }
        rates.failed("10.0.0.1");
        assert_eq!(rates.may_try("10.0.0.1").unwrap_err().limit, Limit::Address);
        assert_eq!(rates.may_try("10.0.0.2"), Ok(()));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let rates = Rates::new(&Config {
            caller: Rate { per_second: 0, burst: 0 },
            failed_authentications_per_minute: 0,
            ..Config::default()
        });
        for _ in 0..100 {
            assert_eq!(rates.charge_caller("corp/alice", weight::MOST), Ok(()));
            rates.failed("10.0.0.1");
        }
        assert_eq!(rates.may_try("10.0.0.1"), Ok(()));
    }

    #[test]
    fn there_are_never_many_more_than_those_who_call_now() {
        let rates = Rates::new(&Config::default());
        for name in 0..3 * MANY {
            rates.charge_caller(&name.to_string(), NonZeroU32::MIN).unwrap();
        }
        let there = rates.0.callers.as_ref().unwrap().len();
        assert!(there < 2 * MANY, "{there}");
    }

    #[test]
    fn those_who_use_nothing_are_forgotten() {
        let rates = Rates::new(&Config::default());
        for name in 0..100 {
            rates.charge_caller(&name.to_string(), NonZeroU32::MIN).unwrap();
        }
        assert_eq!(rates.0.callers.as_ref().unwrap().len(), 100);
        // One unit is back within a fraction of a millisecond.
        let begun = std::time::Instant::now();
        while !rates.0.callers.as_ref().unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            rates.tidy();
        }
    }
}
