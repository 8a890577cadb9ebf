//! The trace that a call belongs to, as its caller says it: the headers
//! `traceparent` and `tracestate` of W3C Trace Context.
//!
//! What is not exactly of that form is as good as absent: the call is served all
//! the same, in a trace of its own.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, Value, field::display};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// The length of `00-TRACE-PARENT-FLAGS`.
const BYTES: usize = 55;
/// What must be carried on, at least (W3C Trace Context §3.3.1.5). More is dropped,
/// as it would be sent with every span.
const STATE_BYTES: usize = 512;

/// The trace that a caller names.
pub struct Trace(Context);

impl Trace {
    /// The one that these headers name, if they do.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        parent(headers).map(Self)
    }

    /// Its number, for the log: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> impl Value + use<> {
        display(self.0.span().span_context().trace_id())
    }

    /// Makes `span`, which has just begun, a part of it.
    pub fn adopt(self, span: &Span) {
        // Where no traces are sent, there is nothing to be a part of.
        let _ = span.set_parent(self.0);
    }
}

fn parent(headers: &HeaderMap) -> Option<Context> {
    let mut all = headers.get_all(PARENT).iter();
    let (Some(parent), None) = (all.next(), all.next()) else { return None };
    if !is_well_formed(parent.as_bytes()) {
        return None;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    context.span().span_context().is_valid().then_some(context)
}

/// The propagator of the library takes numbers of any length, and with signs.
fn is_well_formed(parent: &[u8]) -> bool {
    let Some((fields, rest)) = parent.split_at_checked(BYTES) else { return false };
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let form = fields.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => hex(*byte),
    });
    // A later version may say more, behind another dash; this one says no more.
    let version = fields.get(..2);
    form && version != Some(b"ff") && (rest.is_empty() || version != Some(b"00") && rest.starts_with(b"-"))
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).map(HeaderValue::to_str)?.ok()?;
        (key != STATE || value.len() <= STATE_BYTES).then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parents: &[&str], state: Option<&str>) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(PARENT, HeaderValue::from_str(parent).unwrap());
        }
        if let Some(state) = state {
            headers.insert(STATE, HeaderValue::from_str(state).unwrap());
        }
        parent(&headers)
    }

    #[test]
    fn a_trace_is_taken_as_its_caller_says() {
        let context = of(&[GOOD], Some("vendor=1")).unwrap();
        let span = context.span().span_context().clone();
        assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_id().to_string(), "b7ad6b7169203331");
        assert!(span.is_sampled() && span.is_remote());
        assert_eq!(span.trace_state().header(), "vendor=1");
        // A version to come.
        assert!(of(&[&format!("{}-more", GOOD.replacen("00", "01", 1))], None).is_some());
        // The state is dropped where it is too long, and the trace is not.
        let long = format!("vendor={}", "x".repeat(STATE_BYTES));
        assert_eq!(of(&[GOOD], Some(&long)).unwrap().span().span_context().trace_state().header(), "");
    }

    #[test]
    fn what_is_no_trace_is_as_good_as_absent() {
        let (zero_trace, zero_parent) = ("0".repeat(32), "0".repeat(16));
        for bad in [
            String::new(),
            "00".to_owned(),
            GOOD.to_uppercase(),
            format!("{GOOD}-"),
            format!("{GOOD}-more"),
            format!("{GOOD}0"),
            format!(" {GOOD}"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "+0", 1),
            GOOD.replacen("00-0", "00-+", 1),
            GOOD.replace('-', "_"),
            format!("{}more", GOOD.replacen("00", "01", 1)),
            format!("00-{zero_trace}-b7ad6b7169203331-01"),
            format!("00-0af7651916cd43dd8448eb211c80319c-{zero_parent}-01"),
        ] {
            assert!(of(&[&bad], None).is_none(), "{bad}");
        }
        assert!(of(&[], Some("vendor=1")).is_none());
        assert!(of(&[GOOD, GOOD], None).is_none());
    }
}
