//! Where traces go: to a collector that speaks OTLP over gRPC, if one is configured.
//!
//! Spans wait in a bounded queue and are sent in batches by a thread of their own.
//!
//! **Invariant:** a collector that does not answer delays no call and fails none; its
//! spans are dropped and counted, and the log says so at most once a minute.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use http::Uri;
use opentelemetry_otlp::{RetryPolicy, SpanExporter as Otlp, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter},
};
use parking_lot::Mutex;
use serde::Deserialize;
use tracing::warn;

use super::metrics::metrics;
use crate::model::BadValue;

/// Where traces go: the section `[traces]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The collector.
    pub endpoint: Endpoint,
    /// How many calls of a hundred are traced, of those whose callers do not say
    /// whether they are.
    pub sample_percent: u8,
    /// The name under which the traces of this gateway are filed.
    pub service_name: String,
}

impl Config {
    /// The values that cannot work.
    #[must_use]
    pub fn bad_values(&self) -> Vec<BadValue> {
        let percent = self.sample_percent;
        let sample = (percent > 100)
            .then(|| BadValue::new("traces.sample_percent", format!("must be 0 to 100, not `{percent}`")));
        let name = self
            .service_name
            .is_empty()
            .then(|| BadValue::new("traces.service_name", "must be a name, such as `skms`"));
        sample.into_iter().chain(name).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: Endpoint::default(), sample_percent: 10, service_name: "skms".to_owned() }
    }
}

/// The address of a collector, written `http://127.0.0.1:4317`; or, empty, that there
/// is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Option<String>);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let malformed = || EndpointError::Form(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(EndpointError::Https(text.to_owned())),
            _ => return Err(malformed()),
        }
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if bare && host { Ok(Self(Some(text.to_owned()))) } else { Err(malformed()) }
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A text that is no address of a collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is of another form.
    #[error("`{0}` is no address of a collector; write `http://HOST:PORT`, or nothing")]
    Form(String),
    /// It is of a form that is not spoken.
    #[error(
        "`{0}`: TLS to the collector is not supported; run a collector beside the gateway, on `http://127.0.0.1:4317`"
    )]
    Https(String),
}

/// Spans that may wait to be sent; what comes then is dropped. Two seconds of a
/// thousand traced calls each.
const QUEUE: usize = 2048;
/// Time between two batches.
const EVERY: Duration = Duration::from_secs(1);
/// A collector that takes longer has lost the batch.
const EXPORT: Duration = Duration::from_secs(5);
/// How long the end of the process may wait for the last batch.
pub(super) const FLUSH: Duration = Duration::from_secs(2);
/// How often the log says that the collector does not answer.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What makes spans and sends them; none where there is no collector. To be called
/// within a runtime.
pub(super) fn provider(config: &Config) -> Result<Option<SdkTracerProvider>, Error> {
    let Some(endpoint) = &config.endpoint.0 else { return Ok(None) };
    let exporter = Otlp::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT)
        // The next batch is the next try; repeating this one would only hold it up.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| Error { source: Box::new(error) })?;
    let batches =
        BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(EVERY).build();
    let exporter = Counted { exporter, said: Mutex::new(None) };
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let ratio = f64::from(config.sample_percent) / 100.0;
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(Resource::builder().with_service_name(config.service_name.clone()).build())
        .build();
    Ok(Some(provider))
}

/// Traces cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot send traces")]
pub struct Error {
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Counts what was sent, and says when nothing is.
struct Counted<E> {
    exporter: E,
    /// When it was last said.
    said: Mutex<Option<Instant>>,
}

impl<E> fmt::Debug for Counted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        metrics().spans(outcome.is_ok(), spans);
        if let Err(error) = &outcome
            && self.is_due()
        {
            warn!(%error, spans, "cannot send traces to the collector");
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E> Counted<E> {
    /// Whether it is time to say it again.
    fn is_due(&self) -> bool {
        let mut said = self.said.lock();
        let due = said.is_none_or(|said| said.elapsed() >= SAY_EVERY);
        if due {
            *said = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_address_or_nothing() {
        assert_eq!("".parse::<Endpoint>(), Ok(Endpoint::default()));
        for good in ["http://127.0.0.1:4317", "http://collector.local:4317/", "http://[::1]:1"] {
            assert!(good.parse::<Endpoint>().is_ok(), "{good}");
        }
        for bad in [
            "127.0.0.1:4317",
            "grpc://h:1",
            "http://",
            "http://h:1/v1/traces",
            "http://u:p@h:1",
            "http://h:1/?a=b",
        ] {
            assert_eq!(bad.parse::<Endpoint>(), Err(EndpointError::Form(bad.to_owned())));
        }
        let tls = "https://127.0.0.1:4317";
        assert_eq!(tls.parse::<Endpoint>(), Err(EndpointError::Https(tls.to_owned())));
    }

    #[test]
    fn a_collector_that_is_away_is_said_once_a_minute() {
        let counted = Counted { exporter: (), said: Mutex::new(None) };
        assert!(counted.is_due());
        assert!(!counted.is_due());
        *counted.said.lock() = Instant::now().checked_sub(SAY_EVERY);
        assert!(counted.is_due());
    }
}
