//! What is logged.
//!
//! **Invariant:** a [`Filter`] can be read by `tracing-subscriber`.

use std::{fmt, str::FromStr};

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use super::{CALL, TRACED};

/// A filter of `tracing`, such as `info` or `info,skms::gate=debug`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Filter(String);

impl Filter {
    pub(super) fn parse(&self) -> Result<EnvFilter, FilterError> {
        // The PKCS#11 binding logs as an error what is an answer: that a mechanism
        // or an attribute is not there. What matters comes back as an error value.
        let quiet = if self.0.contains("cryptoki") { "" } else { "cryptoki=off," };
        // Whose call a line is about is worth as much at `warn`, and in one module alone.
        let spans = format!("{CALL}=info,{TRACED}=off");
        EnvFilter::try_new(format!("{quiet}{},{spans}", self.0)).map_err(|_| FilterError(self.0.clone()))
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A lone word that is no level would be read as the name of a module, and
        // silence all others. Nobody who writes `verbose` means that.
        let lone_word = !text.contains(['=', ',', '[']);
        if text.is_empty() || lone_word && text.parse::<LevelFilter>().is_err() {
            return Err(FilterError(text.to_owned()));
        }
        let filter = Self(text.to_owned());
        filter.parse().map(|_| filter)
    }
}

impl TryFrom<String> for Filter {
    type Error = FilterError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text that is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no filter; write `off`, `error`, `warn`, `info`, `debug` or `trace`, or such as `info,skms::gate=debug`"
)]
pub struct FilterError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_word_that_is_no_level_is_refused() {
        for good in ["info", "TRACE", "off", "warn,skms=debug", "skms::gate=trace", "[sign{key=x}]=debug"] {
            assert_eq!(good.parse::<Filter>().unwrap().to_string(), good);
        }
        for bad in ["", "verbose", "skms", "info,skms=loud", "=debug="] {
            assert_eq!(bad.parse::<Filter>(), Err(FilterError(bad.to_owned())));
        }
    }
}
