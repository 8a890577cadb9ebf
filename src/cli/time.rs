//! Times and spans as people type them.

use std::{str::FromStr, time::SystemTime};

use prost_types::Timestamp;

/// A point in time: RFC 3339, or `+DURATION` from now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time(pub(super) Timestamp);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(duration) = text.strip_prefix('+') else {
            let time = text.parse().map_err(|_| "a time is 2027-01-31T00:00:00Z, or +30days from now");
            return Ok(Self(time?));
        };
        let duration = humantime::parse_duration(duration).map_err(|error| error.to_string())?;
        let time = SystemTime::now().checked_add(duration).ok_or("that is too far away")?;
        Ok(Self(time.into()))
    }
}

/// A length of time, such as `90days`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span(pub(super) prost_types::Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
        prost_types::Duration::try_from(span).map(Self).map_err(|_| "that is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_counted_from_now() {
        let now = Timestamp::from(SystemTime::now()).seconds;
        let Time(then) = "+2h".parse().unwrap();
        assert!((now + 7200..now + 7260).contains(&then.seconds));
    }

    #[test]
    fn a_span_is_read_in_its_unit() {
        let Span(span) = "90days".parse().unwrap();
        assert_eq!((span.seconds, span.nanos), (90 * 86_400, 0));
        assert!("ninety".parse::<Span>().is_err());
    }
}
