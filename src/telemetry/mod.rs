//! What the gateway tells its operator: a log, to standard error; metrics, to whoever
//! asks for them; and traces, to a collector.
//!
//! Every floor may import it, so it knows none of them, only the nouns that label a
//! metric.

mod chain;
mod filter;
mod labels;
mod metrics;
mod process;
mod table;
mod trace_context;
mod traces;

use std::io::{self, IsTerminal};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::{Subscriber, warn};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry, reload,
    util::SubscriberInitExt,
};

pub use self::{
    chain::chain,
    filter::{Filter, FilterError},
    labels::{Class, Code, Crowded, Ended, Handshake, Limit, Malformed, Outcome, Reloaded, Scheduled, Step},
    metrics::{AuditState, DeviceTimes, Metrics, Pool, metrics},
    trace_context::Trace,
    traces::{Config as Traces, Endpoint, EndpointError},
};

/// The target of the span that puts the id of a call, and of its trace, into each line
/// that is logged for it: at every level, whatever the filter says of other modules.
pub const CALL: &str = "skms::call";

/// The target of the span that is sent to a collector. The log never has it, and nobody
/// makes it where nothing is sent.
pub const TRACED: &str = "skms::traced";

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

/// Sends the log of this process to standard error, and its traces to the collector,
/// from now on. To be called within a runtime.
///
/// # Errors
/// Refuses a filter that cannot be read, a collector that cannot be one, and to be
/// called twice.
pub fn init(config: &Config, traces: &Traces) -> Result<Handle, Error> {
    let traces = traces::provider(traces)?;
    let (subscriber, filter) = subscriber(config, traces.as_ref(), io::stderr().is_terminal(), io::stderr)?;
    subscriber.try_init().map_err(|_| Error::Twice)?;
    Ok(Handle { filter, traces })
}

/// The log and the traces, while they run.
pub struct Handle {
    filter: reload::Handle<EnvFilter, Registry>,
    traces: Option<SdkTracerProvider>,
}

impl Handle {
    /// Logs what this filter says from now on.
    ///
    /// # Errors
    /// Refuses a filter that cannot be read, or when the log is gone.
    pub fn reload(&self, filter: &Filter) -> Result<(), Error> {
        self.filter.reload(filter.parse()?).map_err(|_| Error::Gone)
    }

    /// Sends the traces that still wait. Blocks, but not for long.
    pub fn close(&self) {
        let closed = self.traces.as_ref().map(|traces| traces.shutdown_with_timeout(traces::FLUSH));
        if let Some(Err(error)) = closed {
            warn!(%error, "the last traces were not sent");
        }
    }
}

fn subscriber<W>(
    config: &Config,
    traces: Option<&SdkTracerProvider>,
    colours: bool,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync, reload::Handle<EnvFilter, Registry>), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.format {
        Format::Human => lines.with_ansi(colours).boxed(),
        // The fields of the event stand beside its time and level, where collectors look for
        // them. Of spans there is the one of the call, and once is enough.
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let (filter, handle) = reload::Layer::new(config.level.parse()?);
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("skms"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_filter(Targets::new().with_target(TRACED, LevelFilter::INFO))
    });
    Ok((registry().with(lines.with_filter(filter)).with(spans), handle))
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] traces::Error),
    /// The process already has a log.
    #[error("the log is already set up")]
    Twice,
    /// The process has no log any more.
    #[error("the log is gone")]
    Gone,
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
        let (subscriber, _) = subscriber(config, None, false, move || writer.clone()).unwrap();
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

    #[test]
    fn the_level_changes_while_the_log_runs() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, filter) =
            subscriber(&Config::default(), None, false, move || writer.clone()).unwrap();
        let handle = Handle { filter, traces: None };
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("one");
            handle.reload(&"skms=debug".parse().unwrap()).unwrap();
            tracing::debug!("two");
            handle.reload(&"error".parse().unwrap()).unwrap();
            tracing::info!("three");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        assert!(text.ends_with("DEBUG skms::telemetry::tests: two\n") && text.lines().count() == 1, "{text}");
        assert!(matches!(handle.reload(&Filter::default()), Err(Error::Gone)));
    }
}
