//! What the gateway tells its operator: one log, to standard error.

mod filter;

use std::io::{self, IsTerminal};

use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::SubscriberExt, registry, util::SubscriberInitExt};

pub use self::filter::{Filter, FilterError};

/// What is logged and how: the section `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is logged.
    pub level: Filter,
    /// How a line looks.
    pub format: Format,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For a person at a terminal.
    #[default]
    Human,
    /// One JSON object a line, for a collector.
    Json,
}

/// Sends the log of this process to standard error, from now on.
///
/// # Errors
/// Refuses a filter that cannot be read, and to be called twice.
pub fn init(config: &Config) -> Result<(), Error> {
    subscriber(config, io::stderr().is_terminal(), io::stderr)?.try_init().map_err(|_| Error::Twice)
}

fn subscriber<W>(config: &Config, colours: bool, writer: W) -> Result<impl Subscriber + Send + Sync, Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.format {
        Format::Human => lines.with_ansi(colours).boxed(),
        // The fields of the event stand beside its time and level, where collectors look for them.
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(registry().with(config.level.parse()?).with(lines))
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The process already has a log.
    #[error("the log is already set up")]
    Twice,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(config: &Config) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(config, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(key = "payroll", "key destroyed");
            tracing::debug!("not at this level");
        });
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_carries_the_fields_beside_the_level() {
        let text = logged(&Config { format: Format::Json, ..Config::default() });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["message"], &line["key"]),
            (&"INFO".into(), &"key destroyed".into(), &"payroll".into())
        );
    }

    #[test]
    fn a_human_line_is_plain_text_away_from_a_terminal() {
        let text = logged(&Config::default());
        assert!(text.ends_with("INFO skms::telemetry::tests: key destroyed key=\"payroll\"\n"), "{text}");
    }
}
