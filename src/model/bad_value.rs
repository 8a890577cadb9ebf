//! A configured value that reads well and yet cannot work.
//!
//! Each component judges its own `Config`; the configuration file and its lines are
//! not known here, so a value is named by its dotted path.

use std::{path::Path, time::Duration};

use humantime::format_duration;

/// A value that cannot work, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadValue {
    /// The dotted path in the configuration, such as `health.probe_timeout`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl BadValue {
    /// Names the field and the problem.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// Refuses a duration of zero, or one longer than any use of it.
    #[must_use]
    pub fn unless_span(field: &str, value: Duration) -> Option<Self> {
        (value.is_zero() || value > LONGEST_SPAN).then(|| {
            let longest = format_duration(LONGEST_SPAN);
            Self::new(field, format!("must be longer than zero and at most `{longest}`"))
        })
    }

    /// The same for the time between two repetitions of a thing: one that is done all
    /// the time leaves no time for anything else.
    #[must_use]
    pub fn unless_interval(field: &str, value: Duration) -> Option<Self> {
        (!(SHORTEST_INTERVAL..=LONGEST_SPAN).contains(&value)).then(|| {
            let (shortest, longest) = (format_duration(SHORTEST_INTERVAL), format_duration(LONGEST_SPAN));
            Self::new(field, format!("must be at least `{shortest}` and at most `{longest}`"))
        })
    }

    /// Refuses an empty path.
    #[must_use]
    pub fn unless_path(field: &str, value: &Path) -> Option<Self> {
        value.as_os_str().is_empty().then(|| Self::new(field, "must name a file"))
    }
}

/// Shorter is a slip of the unit, too.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Longer is a slip of the unit. Far longer would also overflow the clock when a
/// deadline is added up.
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_longer_than_zero_and_at_most_a_day() {
        assert_eq!(BadValue::unless_span("a.b", Duration::from_nanos(1)), None);
        assert_eq!(BadValue::unless_span("a.b", LONGEST_SPAN), None);
        for bad in [Duration::ZERO, Duration::MAX] {
            let refused = BadValue::unless_span("a.b", bad).unwrap();
            assert_eq!(refused, BadValue::new("a.b", "must be longer than zero and at most `1day`"));
        }
    }
}
