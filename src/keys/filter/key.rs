//! What keys are compared by.

use std::time::SystemTime;

use prost_types::Timestamp;
use skms_backend::{KeyType, ProtectionLevel};

use super::{Operator, Wrong, plain, state};
use crate::model::{Key, Purpose, State};

/// One comparison of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    /// Whether it is so; or, negated, whether it is not.
    Is { what: Is, negated: bool },
    /// A time against another. A time that a key does not have is neither before nor
    /// after any.
    Time { of: Time, operator: Operator, value: SystemTime },
}

/// What a key may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Is {
    Id(String),
    /// What the id begins with.
    IdFrom(String),
    KeyType(KeyType),
    Purpose(Purpose),
    State(State),
    Backend(String),
    Protection(ProtectionLevel),
    Owner(String),
    Label {
        name: String,
        value: String,
    },
    Labelled(String),
    Expiring,
}

/// A time of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    Create,
    Update,
    Expire,
}

impl Comparison {
    pub(super) fn new(field: &str, operator: Operator, value: &str) -> Result<Self, Wrong> {
        let time = |of| Self::time(of, operator, value);
        match field {
            "create_time" => return time(Time::Create),
            "update_time" => return time(Time::Update),
            "expire_time" if operator == Operator::Has && value == "*" => {
                return Ok(Self::Is { what: Is::Expiring, negated: false });
            }
            "expire_time" => return time(Time::Expire),
            "labels" => {
                return match operator {
                    Operator::Has => Ok(Self::Is { what: Is::Labelled(name(value)?), negated: false }),
                    _ => Err(Wrong::operator("write `labels:NAME` or `labels.NAME = VALUE`")),
                };
            }
            _ => {}
        }
        if let Some(label) = field.strip_prefix("labels.") {
            return Self::label(label, operator, value);
        }
        let what = match field {
            "key_id" => match value.strip_suffix('*') {
                Some(beginning) => Is::IdFrom(beginning.to_owned()),
                None => Is::Id(value.to_owned()),
            },
            "key_type" => Is::KeyType(value.parse().map_err(|_| {
                let known = KeyType::ALL.map(|key_type| format!("`{key_type}`")).join(", ");
                Wrong::value(format!("the key types are {known}"))
            })?),
            "purpose" => Is::Purpose(purpose(value)?),
            "state" => Is::State(state(value)?),
            "backend" => Is::Backend(value.to_owned()),
            "protection_level" => Is::Protection(protection(value)?),
            "owner" => Is::Owner(value.to_owned()),
            _ => return Err(Wrong::field(FIELDS)),
        };
        // Asked for last: of what is no field there is no operator either.
        let negated = operator.negates(field)?;
        // An asterisk elsewhere would be taken for more than it is.
        match &what {
            Is::Id(text) | Is::IdFrom(text) if text.contains('*') => {
                Err(Wrong::value("`*` stands at the end of a `key_id` only"))
            }
            _ => Ok(Self::Is { what, negated }),
        }
    }

    fn label(label: &str, operator: Operator, value: &str) -> Result<Self, Wrong> {
        if label.is_empty() {
            return Err(Wrong::field("the name of a label must follow `labels.`"));
        }
        let name = label.to_owned();
        let (what, negated) = match operator {
            Operator::Has if value == "*" => (Is::Labelled(name), false),
            Operator::Equal | Operator::Has => (Is::Label { name, value: value.to_owned() }, false),
            Operator::Unequal => (Is::Label { name, value: value.to_owned() }, true),
            _ => return Err(Wrong::operator("labels are compared with `=`, `!=` and `:`")),
        };
        Ok(Self::Is { what, negated })
    }

    fn time(of: Time, operator: Operator, value: &str) -> Result<Self, Wrong> {
        if operator == Operator::Has {
            return Err(Wrong::operator("times are compared with `=`, `!=`, `<`, `<=`, `>` and `>=`"));
        }
        Ok(Self::Time { of, operator, value: instant(value)? })
    }

    pub(super) fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Is { what, negated } => what.holds(key) != *negated,
            Self::Time { of, operator, value } => {
                let time = match of {
                    Time::Create => Some(key.created),
                    Time::Update => Some(key.updated),
                    Time::Expire => key.expires,
                };
                match operator {
                    Operator::Equal | Operator::Has => time == Some(*value),
                    Operator::Unequal => time != Some(*value),
                    Operator::Less => time.is_some_and(|time| time < *value),
                    Operator::AtMost => time.is_some_and(|time| time <= *value),
                    Operator::Greater => time.is_some_and(|time| time > *value),
                    Operator::AtLeast => time.is_some_and(|time| time >= *value),
                }
            }
        }
    }
}

impl Is {
    fn holds(&self, key: &Key) -> bool {
        match self {
            Self::Id(id) => key.id.as_str() == id,
            Self::IdFrom(beginning) => key.id.as_str().starts_with(beginning.as_str()),
            Self::KeyType(key_type) => key.key_type == *key_type,
            Self::Purpose(purpose) => key.purpose == *purpose,
            Self::State(state) => key.state() == *state,
            Self::Backend(name) => key.backend.as_str() == name,
            Self::Protection(level) => key
                .version(0)
                .or_else(|| key.versions.last())
                .is_some_and(|version| version.protection_level == *level),
            Self::Owner(owner) => key.owner == *owner,
            Self::Label { name, value } => key.labels.get(name) == Some(value),
            Self::Labelled(name) => key.labels.contains_key(name),
            Self::Expiring => key.expires.is_some(),
        }
    }
}

fn name(value: &str) -> Result<String, Wrong> {
    if value.is_empty() || value == "*" {
        return Err(Wrong::value("the name of a label"));
    }
    Ok(value.to_owned())
}

fn purpose(value: &str) -> Result<Purpose, Wrong> {
    let plain = plain(value, "key-purpose-");
    Purpose::ALL.into_iter().find(|purpose| purpose.name() == plain).ok_or_else(|| {
        let names = Purpose::ALL.map(|purpose| format!("`{}`", purpose.name())).join(", ");
        Wrong::value(format!("the purposes are {names}"))
    })
}

fn protection(value: &str) -> Result<ProtectionLevel, Wrong> {
    let plain = plain(value, "protection-level-");
    [ProtectionLevel::Software, ProtectionLevel::Tpm, ProtectionLevel::Hsm]
        .into_iter()
        .find(|level| level.name() == plain)
        .ok_or_else(|| Wrong::value("`protection_level` is `software`, `tpm` or `hsm`"))
}

fn instant(value: &str) -> Result<SystemTime, Wrong> {
    let wrong = || Wrong::value("a time is written `2027-01-31T00:00:00Z` (RFC 3339), from 1970 to 9999");
    // A day alone could be meant in any time zone.
    if !value.contains(['T', 't']) {
        return Err(wrong());
    }
    let time: Timestamp = value.parse().map_err(|_| wrong())?;
    // Looked at before it is converted: the conversion of absurd times panics.
    if !(0..=LATEST_SECOND).contains(&time.seconds) {
        return Err(wrong());
    }
    SystemTime::try_from(time).map_err(|_| wrong())
}

/// The end of the year 9999: later times have no RFC 3339 form.
const LATEST_SECOND: i64 = 253_402_300_799;

const FIELDS: &str = "the fields are `key_id`, `key_type`, `purpose`, `state`, `backend`, \
                      `protection_level`, `owner`, `labels.NAME`, `labels:NAME`, `create_time`, \
                      `update_time` and `expire_time`";
