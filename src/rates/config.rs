//! The limits of rates: the section `[rates]`.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroU32},
    time::Duration,
};

use governor::Quota;
use serde::Deserialize;

use super::weight;
use crate::model::BadValue;

/// How much may be asked for: the section `[rates]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of one caller, over all keys.
    pub caller: Rate,
    /// Of one key, over all callers.
    pub key: Rate,
    /// How many calls of a caller with this role begin in its turn, where others wait for the
    /// same device; 1 where a caller has none of them, the most where it has several.
    pub weights: BTreeMap<String, NonZeroU8>,
    /// How often one address may fail to prove who it is; 0: no limit.
    pub failed_authentications_per_minute: u32,
}

/// A rate in units, of which one is about the work of a P-256 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Units that come back each second; 0: no limit.
    pub per_second: u32,
    /// Units that can be used at once after a rest.
    pub burst: u32,
}

impl Rate {
    /// The same for `governor`; `None` where there is no limit.
    pub(super) fn quota(self) -> Option<Quota> {
        let (per_second, burst) = (NonZeroU32::new(self.per_second)?, NonZeroU32::new(self.burst)?);
        Some(super::quota(per_second, burst))
    }

    fn bad_value(self, field: &str) -> Option<BadValue> {
        let most = weight::MOST;
        (self.per_second != 0 && self.burst < most.get()).then(|| {
            let problem = format!("must be at least {most}, the price of the dearest single call");
            BadValue::new(format!("{field}.burst"), problem)
        })
    }
}

impl Config {
    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let rates = [self.caller.bad_value("rates.caller"), self.key.bad_value("rates.key")];
        let heavy = self.weights.iter().filter(|(_, weight)| **weight > HEAVIEST).map(|(role, _)| {
            let problem = format!("must be at least 1 and at most {HEAVIEST}");
            BadValue::new(format!("rates.weights.{role}"), problem)
        });
        rates.into_iter().flatten().chain(heavy).collect()
    }

    pub(super) fn failures(&self) -> Option<Quota> {
        let times = NonZeroU32::new(self.failed_authentications_per_minute)?;
        Quota::with_period(MINUTE / times.get()).map(|quota| quota.allow_burst(times))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            caller: Rate::default(),
            key: Rate::default(),
            weights: BTreeMap::new(),
            failed_authentications_per_minute: 300,
        }
    }
}

impl Default for Rate {
    /// More signatures than a core makes, and ten keys of the dearest type a second.
    fn default() -> Self {
        Self { per_second: 100_000, burst: 200_000 }
    }
}

/// With more, others would wait as long as without any turns.
const HEAVIEST: NonZeroU8 = NonZeroU8::new(64).unwrap();

const MINUTE: Duration = Duration::from_secs(60);
