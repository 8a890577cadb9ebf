//! In what order keys are listed, and where in it a page ended.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Key, KeyId};

/// What keys are sorted by. Keys of the same time are sorted by their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The id.
    #[default]
    KeyId,
    /// When it was created.
    CreateTime,
    /// When it last changed.
    UpdateTime,
}

/// An order of keys (AIP-132). Downwards it is the same from the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What keys are sorted by.
    pub by: SortBy,
    /// From the largest to the smallest.
    pub descending: bool,
}

/// Where in an order a key stands. It stays where it is when that key is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Milliseconds since 1970; 0 where the order is that of ids.
    pub millis: i64,
    /// The id of the key.
    pub id: KeyId,
}

impl SortBy {
    const ALL: [Self; 3] = [Self::KeyId, Self::CreateTime, Self::UpdateTime];

    /// The name of the field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyId => "key_id",
            Self::CreateTime => "create_time",
            Self::UpdateTime => "update_time",
        }
    }
}

impl Place {
    /// Where this key stands.
    #[must_use]
    pub fn of(key: &Key, by: SortBy) -> Self {
        let millis = match by {
            SortBy::KeyId => 0,
            SortBy::CreateTime => millis(key.created),
            SortBy::UpdateTime => millis(key.updated),
        };
        Self { millis, id: key.id.clone() }
    }
}

/// Times are kept to the millisecond.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl FromStr for Order {
    type Err = UnknownOrder;

    /// Reads `FIELD`, `FIELD asc` or `FIELD desc`; nothing is the order of ids.
    fn from_str(text: &str) -> Result<Self, UnknownOrder> {
        let mut words = text.split_whitespace();
        let Some(field) = words.next() else { return Ok(Self::default()) };
        let by = SortBy::ALL.into_iter().find(|by| by.name() == field).ok_or(UnknownOrder)?;
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(UnknownOrder),
        };
        if words.next().is_some() { Err(UnknownOrder) } else { Ok(Self { by, descending }) }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.by.name(), if self.descending { "desc" } else { "asc" })
    }
}

/// A text that is no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of `key_id`, `create_time` and `update_time`, and behind it `asc` or `desc`")]
pub struct UnknownOrder;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_field_and_a_direction() {
        for (text, expected) in [
            ("", "key_id asc"),
            ("  ", "key_id asc"),
            ("key_id", "key_id asc"),
            (" create_time   desc ", "create_time desc"),
            ("update_time asc", "update_time asc"),
        ] {
            assert_eq!(text.parse::<Order>().unwrap().to_string(), expected, "{text:?}");
        }
        for bad in
            ["x", "desc", "key_id up", "key_id DESC", "key_id desc desc", "key_id, create_time", "Key_id"]
        {
            assert_eq!(bad.parse::<Order>(), Err(UnknownOrder), "{bad}");
        }
    }
}
